"""Options of the conformance suite when it is run against a server of one's own."""

import json
from pathlib import Path

import pytest
from tests.conformance.serving import Target


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("serving", "conformance of a serving runtime")
    group.addoption("--serving-url", help="what predictions are posted to")
    group.addoption("--serving-observation", default="[0, 0, 0, 0]", help="one observation the policy takes, as JSON")
    group.addoption("--serving-policy", help="name it must answer with")
    group.addoption("--serving-namespace", help="namespace its receipts must name")
    group.addoption("--serving-receipt-key", type=Path, help="file with the namespace's receipt key")


@pytest.fixture(scope="session")
def target(request: pytest.FixtureRequest) -> Target:
    option = request.config.getoption
    if option("--serving-url") is None:
        raise pytest.UsageError("--serving-url is needed: http://host:port/predictions/policy")
    key = option("--serving-receipt-key")
    return Target(
        url=option("--serving-url"),
        observation=json.loads(option("--serving-observation")),
        policy=option("--serving-policy"),
        namespace=option("--serving-namespace"),
        receipt_key=key.read_bytes() if key else None,
    )
