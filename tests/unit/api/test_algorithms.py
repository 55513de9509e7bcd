"""Algorithms are spelt alike everywhere: in a resource, in code, in the rules of the CRD."""

import pytest

from belay_api.algorithms import ALGORITHMS, AlgorithmSpec


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_resource_spells_an_algorithm_as_the_rules_do(name: str) -> None:
    spec = AlgorithmSpec.model_validate({name: {"gamma": 0.9}})
    assert spec.dump() == {name: {"gamma": 0.9}}
    assert spec.chosen == name
