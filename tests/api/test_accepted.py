"""What an API server lets through is what the models read: specs made from the schemas, asked of a real one.

A gap between the two is an object that exists and that no operator can act on.
"""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.accepted import progression_specs, rollout_specs, training_specs, values
from tests.api.engine.kube import Kube

from belay_api import names
from belay_api.crd import RESOURCES, Resource, structural
from belay_api.rollout.progression import RLProgressionSpec
from belay_api.rollout.spec import RLRolloutSpec
from belay_api.training import RLTrainingJobSpec

SPECS = 200
_STRATEGIES: dict[Any, Any] = {
    RLRolloutSpec: rollout_specs,
    RLTrainingJobSpec: training_specs,
    RLProgressionSpec: progression_specs,
}


def drawn(strategy: st.SearchStrategy[Any]) -> list[dict[str, Any]]:
    """Return specs from a strategy: the API server is asked about all in one call."""
    made = []

    @settings(max_examples=SPECS, database=None, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def collect(spec: dict[str, Any]) -> None:
        made.append(spec)

    collect()
    return made


def accepted(kube: Kube, kind: str, specs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the specs that the API server takes, by object name, with its defaults in them."""
    items = [
        {"apiVersion": names.API_VERSION, "kind": kind, "metadata": {"name": f"a{number}"}, "spec": spec}
        for number, spec in enumerate(specs)
    ]
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    rows = '{.metadata.name}{"\\t"}{.spec}{"\\n"}'
    text = kube.run("create", "--dry-run=server", "-f", "-", "-o", f"jsonpath={rows}", stdin=listed, check=False)
    return {name: json.loads(spec) for name, _, spec in (row.partition("\t") for row in text.split("\n") if row)}


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.kind)
def test_the_models_read_whatever_the_api_server_accepts(kube: Kube, resource: Resource) -> None:
    made = _STRATEGIES.get(resource.spec)
    specs = drawn(made() if made is not None else values(structural(resource.spec)))
    taken = accepted(kube, resource.kind, specs)
    assert len(taken) > SPECS / 10, "nearly everything was refused: this test would pass by testing nothing"
    for spec in taken.values():
        resource.spec.model_validate(spec)


def test_the_strategy_of_rollouts_keeps_every_rule(kube: Kube) -> None:
    specs = drawn(rollout_specs())
    taken = accepted(kube, "RLRollout", specs)
    assert [spec for number, spec in enumerate(specs) if f"a{number}" not in taken] == []
