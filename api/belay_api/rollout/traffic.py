"""How requests reach the policies."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from belay_api.model import Model, exactly_one, rule, rules
from belay_api.rollout.common import LABEL, SUBDOMAIN


class ParentRef(Model):
    """The Gateway a route attaches to."""

    name: Annotated[str, Field(pattern=rf"^{SUBDOMAIN}$", max_length=253)]
    """Name of the Gateway."""
    namespace: Annotated[str, Field(pattern=rf"^{LABEL}$", max_length=63)] | None = None
    """Its namespace; unset: this one. Its listener must allow routes from here."""
    section_name: Annotated[str, Field(pattern=rf"^{SUBDOMAIN}$", max_length=253)] | None = None
    """One listener of it; unset: all."""


Hostname = Annotated[str, Field(pattern=rf"^(\*\.)?{SUBDOMAIN}$", max_length=253)]


class PreviewTraffic(Model):
    """An address that leads to the candidate alone, from its first step on and whatever its weight, and to stable while
    there is none. A rollback takes the candidate out of it; one that `rollback.keepCandidate` keeps comes back.

    What comes by it is evidence of no comparison, and is not mirrored. Limits hold over all that the candidate's pods
    answer."""

    hostnames: Annotated[list[Hostname], Field(min_length=1, max_length=16)]
    """Host names of the preview, none of which is among the rollout's own. The path is the rollout's."""


class Assignment(StrEnum):
    """What stays with the version that a weight gave it."""

    EPISODE = "Episode"
    """Each episode is given by itself: a user who comes back may meet another version."""
    USER = "User"
    """All episodes of a user go to one version while a weight stands; a raise keeps those who have the candidate."""


class GatewayTraffic(Model):
    """Traffic through the Gateway API: Belay owns one HTTPRoute of the rollout's name."""

    model_config = {
        "json_schema_extra": rules(
            rule(
                "!has(self.path) || !(self.path.contains('//') || self.path.matches('/[.][.]?(/|$)'))",
                "gatewayAPI.path has an empty, '.' or '..' segment, and no Gateway takes such a route: leave it out",
            ),
            rule(
                "!has(self.preview) || !has(self.hostnames)"
                " || !self.preview.hostnames.exists(name, name in self.hostnames)",
                "preview.hostnames has a name that is in gatewayAPI.hostnames too, and its requests would go to "
                "either: give the preview a name of its own, e.g. preview.example.com",
            ),
            rule(
                " && ".join(
                    f"has(self.{name}) == has(oldSelf.{name}) && (!has(self.{name}) || self.{name} == oldSelf.{name})"
                    for name in ("parentRefs", "hostnames", "path", "assignment")
                ),
                "spec.traffic is immutable: episodes under way would be lost; create an RLRollout of another name. "
                "Only gatewayAPI.preview may change",
            ),
        )
    }

    parent_refs: Annotated[list[ParentRef], Field(min_length=1, max_length=8)]
    """Gateways the route attaches to."""
    hostnames: Annotated[list[Hostname], Field(max_length=16)] = Field(default_factory=list)
    """Host names served; empty: all the Gateway's."""
    path: Annotated[str, Field(pattern=r"^/[A-Za-z0-9/_.-]*$", max_length=512)] | None = None
    """Public path, matched exactly; unset: `/predictions/<name of the rollout>`."""
    assignment: Assignment = Assignment.EPISODE
    """What a weight is a share of, and what a comparison counts. `User`: requests say whose episode begins
    (`client.episode(user=…)`), a weight is a percentage of the users, and each of them counts once in a trial, by the
    first episode she began in it. Requests that do not say it stay with stable until all have the candidate."""
    preview: PreviewTraffic | None = None
    """An address of the candidate's own, an HTTPRoute `<name of the rollout>-preview`. It may be added, changed and
    removed at any time. Unset: none."""


class ReplicasTraffic(Model):
    """Traffic without a gateway: Belay owns one Service of the rollout's name, and the weight is the ratio of pods.

    A connection is what is assigned, and it stays where it began. So what a step asks for is met as nearly as pods
    allow, `status.weight.pods` says how nearly, and a client opens one connection per episode."""


@exactly_one("spec.traffic", "a gateway that sends requests by weight, or a Service whose pods are the weight")
class TrafficSpec(Model):
    """How requests reach the policies. Exactly one of its fields is set."""

    gateway_api: GatewayTraffic | None = Field(default=None, alias="gatewayAPI")
    """Weighted HTTPRoute with pinned episodes."""
    replicas: ReplicasTraffic | None = None
    """One Service with pods of both versions: needs no gateway. Write `{}`."""

    @property
    def by_user(self) -> bool:
        """Whether users are assigned, and not episodes."""
        return self.gateway_api is not None and self.gateway_api.assignment is Assignment.USER
