"""The real cluster with the chart installed; one namespace per test module, deleted at the end."""

import copy
import os
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from belay_demo.install import EXAMPLES, SYSTEM, chart, use_cluster
from belay_demo.kube import Failed, Namespace, run


@pytest.fixture(scope="session")
def cluster() -> Namespace:
    """Return the namespace Belay is installed in; `make test-e2e` has brought the cluster up and built the images."""
    use_cluster()
    chart()
    return Namespace(SYSTEM)


@pytest.fixture(scope="module")
def here(cluster: Namespace, request: pytest.FixtureRequest) -> Iterator[Namespace]:
    """Return an empty namespace of this module's own; what was in it is printed when a test failed."""
    name = "e2e-" + request.module.__name__.rsplit(".", 1)[-1].removeprefix("test_").replace("_", "-")
    remove(Namespace(name))
    run("kubectl", "create", "namespace", name)
    failed_before = request.session.testsfailed
    yield Namespace(name)
    if request.session.testsfailed > failed_before:
        _tell(Namespace(name))
        if os.environ.get("BELAY_KEEP"):  # leave the scene for whoever looks for the cause
            return
    remove(Namespace(name), wait=False)


@pytest.fixture(scope="module")
def gateway(here: Namespace) -> Namespace:
    """Return the namespace with the examples' Gateway, programmed."""
    here.apply(EXAMPLES / "00-gateway.yaml")
    here.kubectl("wait", "--for=condition=Programmed", "gateway/public", "--timeout=120s")
    return here


@pytest.fixture(scope="module")
def published(gateway: Namespace) -> dict[str, dict[str, Any]]:
    """Return the specs of two policies, trained for a moment: how well they play is not the question here."""
    template = yaml.safe_load((EXAMPLES / "10-training.yaml").read_text())
    for first, name in enumerate(("one", "two")):
        job = copy.deepcopy(template)
        job["metadata"] = {"name": name}
        job["spec"] |= {"budget": {"steps": 2048}, "seeds": {"count": 1, "first": first}}
        job["spec"] |= {"evaluation": {"every": 1024, "episodes": 5}, "publish": {"family": name}}
        gateway.apply(job)
    names = [
        gateway.wait(
            f"{name} to publish", lambda name=name: gateway.status("rltj", name).get("publishedPolicy"), timeout_s=300
        )
        for name in ("one", "two")
    ]
    return dict(zip("ab", (gateway.get("rlp", name)["spec"] for name in names), strict=True))


def remove(namespace: Namespace, *, wait: bool = True) -> None:
    """Delete a namespace, its training jobs first: docs/guides/operate.md says why."""
    namespace.kubectl("delete", "rltj", "--all", "--cascade=foreground", "--timeout=120s")
    run(
        *(
            "kubectl",
            "delete",
            "namespace",
            namespace.name,
            "--ignore-not-found",
            "--timeout=120s",
            f"--wait={str(wait).lower()}",
        )
    )


def _tell(namespace: Namespace) -> None:
    for words in (["get", "rl,pods", "-o", "wide"], ["get", "events", "--sort-by=.metadata.creationTimestamp"]):
        print(namespace.kubectl(*words))
    print(namespace.kubectl("get", "rl", "-o", "yaml"))
    try:
        print(run("kubectl", "-n", SYSTEM, "logs", "deploy/belay-operator", "--tail", "200"))
    except Failed as error:
        print(error)
