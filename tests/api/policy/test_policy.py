"""Policies on a real API server."""

from pathlib import Path

import yaml
from tests.api.engine.kube import Kube, eventually
from tests.api.engine.process import Starter
from tests.api.faults import FaultProxy

CASES = Path(__file__).parents[1] / "schema" / "good"
REAL = {"TEST_KIND_MODULES": "real", "BELAY_TRAINER_IMAGE": "trainer:test", "BELAY_HANDLER_IMAGE": "handler:test"}
KEY = "belay-receipt-key"


def test_trust_in_the_receipt_key_ends_with_the_policy_it_was_made_for(kube: Kube, start: Starter) -> None:
    """A namespace that is deleted and made anew takes the key with it; its new policies must get one."""
    policy = yaml.safe_load((CASES / "policy.yaml").read_text())
    start(**REAL).ready()
    kube.apply(policy)
    eventually(lambda: kube.get("secret", KEY), what="the receipt key exists")
    name = policy["metadata"]["name"]
    eventually(lambda: kube.get("deployment", name), what="its Deployment exists")
    # This server has no garbage collector: the test removes what it would.
    for thing in (f"rlpolicy/{name}", f"deployment/{name}", f"service/{name}", f"secret/{KEY}"):
        kube.run("delete", thing)
    kube.apply(policy)
    eventually(lambda: kube.get("secret", KEY), what="the receipt key exists again")


def test_policies_of_a_namespace_write_their_common_receipt_key_once(
    kube: Kube, start: Starter, proxy: FaultProxy
) -> None:
    policy = yaml.safe_load((CASES / "policy.yaml").read_text())
    start(kubeconfig=proxy.kubeconfig, **REAL).ready()
    for name in ("one", "two", "three"):
        kube.apply({**policy, "metadata": {"name": name}})
        eventually(lambda name=name: kube.get("deployment", name), what="its Deployment exists")
    assert len(proxy.seen(writes=True, path=f"/secrets/{KEY}")) == 1
