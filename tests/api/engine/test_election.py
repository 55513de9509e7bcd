"""One writer at a time: the Lease, its handover, its loss."""

import time

from tests.api.engine.kube import Kube, eventually
from tests.api.engine.process import Starter
from tests.api.engine.test_reconcile import phase, training_job
from tests.api.faults import Fault, FaultProxy

QUICK = "6/4/1"  # a busy machine may be three seconds late to renew


def holder(kube: Kube) -> str:
    lease = Kube(kube.kubeconfig, "belay-system").get("lease", "belay-operator") or {}
    return str(lease.get("spec", {}).get("holderIdentity", ""))


def test_the_second_waits_and_takes_over_at_once_when_the_first_ends_in_order(kube: Kube, start: Starter) -> None:
    first = start(BELAY_LEADER_ELECTION="15/10/2", BELAY_POD_NAME="first").ready()
    second = start(BELAY_LEADER_ELECTION="15/10/2", BELAY_POD_NAME="second")
    eventually(lambda: "health on port" in second.text(), what="the second is up")
    time.sleep(2.5)
    assert "leading" not in second.text()
    assert second.ask("/livez")[0] == second.ask("/readyz")[0] == 200
    assert holder(kube).startswith("first")
    assert first.terminate() == 0
    began = time.monotonic()
    second.ready()
    assert time.monotonic() - began < 10, "the Lease was given back, nobody waits 15 s for it"
    kube.apply(training_job("a"))
    eventually(lambda: phase(kube, "a") == "Running", what="the second works")


def test_the_second_takes_over_when_the_first_is_killed(kube: Kube, start: Starter) -> None:
    first = start(BELAY_LEADER_ELECTION=QUICK, BELAY_POD_NAME="first").ready()
    second = start(BELAY_LEADER_ELECTION=QUICK, BELAY_POD_NAME="second")
    eventually(lambda: "health on port" in second.text(), what="the second is up")
    first.kill()
    kube.apply(training_job("a"))
    second.ready()
    eventually(lambda: phase(kube, "a") == "Running", what="the second works")
    assert holder(kube).startswith("second")


def test_a_leader_that_cannot_renew_ends_its_process(kube: Kube, start: Starter, proxy: FaultProxy) -> None:
    leader = start(kubeconfig=proxy.kubeconfig, BELAY_LEADER_ELECTION=QUICK).ready()
    proxy.inject(Fault(path="/leases", code=500))
    eventually(lambda: leader.returncode is not None, what="the process ended")
    assert leader.returncode == 1
    assert "could not be renewed" in leader.text()


def test_sigterm_while_waiting_ends_the_process(kube: Kube, start: Starter) -> None:
    start(BELAY_LEADER_ELECTION=QUICK, BELAY_POD_NAME="first").ready()
    second = start(BELAY_LEADER_ELECTION=QUICK, BELAY_POD_NAME="second")
    eventually(lambda: "health on port" in second.text(), what="the second is up")
    time.sleep(0.5)
    assert second.terminate() == 0
