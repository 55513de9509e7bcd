"""Which nodes a pod wants and which it must have, in Kubernetes' own form: labels of nodes, and pods that are there."""

from typing import Annotated, Any, Literal

from pydantic import Field

from belay_api.model import Model, rule, rules

_KEY = Annotated[str, Field(min_length=1, max_length=317)]
_VALUES = Annotated[list[Annotated[str, Field(max_length=63)]], Field(max_length=32)]
_WEIGHT = Annotated[int, Field(ge=1, le=100)]
_NEEDS_VALUES = "self.operator in ['Exists', 'DoesNotExist'] ? (!has(self.values) || size(self.values) == 0) : "
_MOST = 8  # of anything in a list below


def _rules(also: str) -> dict[str, Any]:
    return rules(
        rule(
            f"{_NEEDS_VALUES}(has(self.values) && {also})",
            "affinity: In and NotIn need values, Gt and Lt exactly one, Exists and DoesNotExist none",
        )
    )


class NodeRequirement(Model):
    """A condition on one label of a node."""

    model_config = {
        "json_schema_extra": _rules(
            "(self.operator in ['Gt', 'Lt'] ? size(self.values) == 1 : size(self.values) > 0)",
        )
    }

    key: _KEY
    """Label of the node."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]
    """How it is compared with `values`."""
    values: _VALUES = Field(default_factory=list)
    """What it is compared with; for Gt and Lt one whole number, as text."""


class NodeTerm(Model):
    """Conditions that hold together."""

    match_expressions: Annotated[list[NodeRequirement], Field(max_length=_MOST)] = Field(default_factory=list)
    """Conditions on labels."""


class NodeSelector(Model):
    """Which nodes will do."""

    node_selector_terms: Annotated[list[NodeTerm], Field(min_length=1, max_length=_MOST)]
    """A node must fit one of them."""


class PreferredNodes(Model):
    """Nodes that are better."""

    weight: _WEIGHT
    """How much better."""
    preference: NodeTerm
    """Which nodes."""


class NodeAffinity(Model):
    """By labels of nodes."""

    required_during_scheduling_ignored_during_execution: NodeSelector | None = None
    """Nodes that will do."""
    preferred_during_scheduling_ignored_during_execution: Annotated[list[PreferredNodes], Field(max_length=_MOST)] = (
        Field(default_factory=list)
    )
    """Nodes that are better than others."""


class LabelRequirement(Model):
    """A condition on one label of a pod."""

    model_config = {"json_schema_extra": _rules("size(self.values) > 0")}

    key: _KEY
    """Label of the pod."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    """How it is compared with `values`."""
    values: _VALUES = Field(default_factory=list)
    """What it is compared with."""


class LabelSelector(Model):
    """Which pods are meant; all conditions hold together."""

    match_labels: dict[str, str] = Field(default_factory=dict)
    """Labels with these values."""
    match_expressions: Annotated[list[LabelRequirement], Field(max_length=_MOST)] = Field(default_factory=list)
    """Further conditions."""


class PodTerm(Model):
    """Beside which pods, or away from which."""

    label_selector: LabelSelector | None = None
    """Which pods of the namespace; unset: none."""
    topology_key: _KEY
    """Label of nodes whose value says what beside means, such as `kubernetes.io/hostname`."""


class PreferredPods(Model):
    """Places beside pods that are better, or worse."""

    weight: _WEIGHT
    """How much."""
    pod_affinity_term: PodTerm
    """Which pods."""


class PodAffinity(Model):
    """By pods that are there already."""

    required_during_scheduling_ignored_during_execution: Annotated[list[PodTerm], Field(max_length=_MOST)] = Field(
        default_factory=list
    )
    """What must hold."""
    preferred_during_scheduling_ignored_during_execution: Annotated[list[PreferredPods], Field(max_length=_MOST)] = (
        Field(default_factory=list)
    )
    """What is better."""


class Affinity(Model):
    """Where the scheduler puts the pods."""

    node_affinity: NodeAffinity | None = None
    """By labels of nodes."""
    pod_affinity: PodAffinity | None = None
    """Beside pods."""
    pod_anti_affinity: PodAffinity | None = None
    """Away from pods."""
