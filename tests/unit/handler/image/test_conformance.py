"""TorchServe with our handler passes the conformance suite, whichever format the network has."""

import pytest
from tests.conformance.serving import Target, TestServing
from tests.unit.handler.image.conftest import KEY, Pod

__all__ = ["TestServing"]


@pytest.fixture
def target(pod: Pod) -> Target:
    return Target(
        url=pod.url, observation=[0.1, 0.2, 0.3, 0.4], policy="cartpole-1", namespace="team-a", receipt_key=KEY
    )
