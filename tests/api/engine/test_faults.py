"""What the network and the API server do at the worst moment, and the engine all the same ends at the truth."""

import time

import pytest
from tests.api.engine.kube import Kube, eventually
from tests.api.engine.process import OperatorProcess, Starter
from tests.api.engine.test_reconcile import finish_job, phase, training_job
from tests.api.faults import Fault, FaultProxy


@pytest.fixture
def operator(start: Starter, proxy: FaultProxy) -> OperatorProcess:
    return start(kubeconfig=proxy.kubeconfig, BELAY_RESYNC_S="3").ready()


def test_deletions_in_a_watch_gap_are_found_by_the_resync(kube: Kube, start: Starter, proxy: FaultProxy) -> None:
    operator = start(kubeconfig=proxy.kubeconfig, BELAY_RESYNC_S="3").ready()
    for name in ("a", "b"):
        kube.apply(training_job(name))
        eventually(lambda name=name: kube.get("job", f"{name}-a1"), what="the Job exists")
    # The Job watch dies, comes back only as "410 Gone" and thus with a new list: kopf never hears of the deletion.
    gap = proxy.inject(Fault(path="/jobs$", watch=True, code=410))
    proxy.break_watches()
    time.sleep(0.3)
    uid = (kube.get("job", "a-a1") or {})["metadata"]["uid"]
    kube.run("delete", "job", "a-a1", "--cascade=background")
    eventually(
        lambda: (found := kube.get("job", "a-a1")) and found["metadata"]["uid"] != uid,
        what="the lost deletion is noticed and the Job made again",
        timeout_s=30,
    )
    gap.times = 0
    assert operator.metric("belay_watch_missed_total") >= 1


def test_an_operator_that_is_there_before_the_crds_watches_them_once_they_come(
    kube: Kube, start: Starter, proxy: FaultProxy
) -> None:
    """Without the resync: what is not watched must not be found by luck."""
    absent = proxy.inject(Fault(path="^/apis/belay.dev/", code=404))
    operator = start(kubeconfig=proxy.kubeconfig, BELAY_RESYNC_S="3600")
    eventually(lambda: "install Belay's CRDs" in operator.text(), what="the operator says what it waits for")
    time.sleep(3)  # whatever begins without them has begun by now
    assert operator.ask("/livez")[0] == 200
    assert operator.ask("/readyz")[0] == 503
    absent.times = 0
    operator.ready()
    kube.apply(training_job("a"))
    eventually(lambda: phase(kube, "a") == "Running", what="status written")
    assert operator.metric("belay_watch_missed_total") == 0


def test_sigterm_before_the_world_is_known_ends_the_process(kube: Kube, start: Starter, proxy: FaultProxy) -> None:
    proxy.inject(Fault(path="/jobs$", watch=False, delay_s=300))
    operator = start(kubeconfig=proxy.kubeconfig)
    eventually(lambda: proxy.seen(path="/pods$"), what="the first lists are under way")
    time.sleep(1)
    assert operator.terminate() == 0


def test_broken_watches_come_back(kube: Kube, operator: OperatorProcess, proxy: FaultProxy) -> None:
    for number in range(3):
        proxy.break_watches()
        kube.apply(training_job(f"a{number}"))
        eventually(lambda number=number: phase(kube, f"a{number}") == "Running", what="seen after the break")


def test_a_watch_that_ends_by_an_error_begins_anew(kube: Kube, operator: OperatorProcess, proxy: FaultProxy) -> None:
    """An API server that is overloaded or stops says 500 or 504 in the stream; only 410 was understood."""
    error = proxy.inject(Fault(path="/rltrainingjobs$", watch=True, code=504, event=True))
    proxy.break_watches()
    eventually(lambda: "the watch of RLTrainingJob broke" in operator.text(), what="the error is told")
    error.times = 0
    kube.apply(training_job("a"))
    eventually(lambda: phase(kube, "a") == "Running", what="seen after the error")
    assert operator.returncode is None


def test_a_start_lists_each_kind_once_and_asks_no_discovery_what_to_watch(
    kube: Kube, start: Starter, proxy: FaultProxy
) -> None:
    """It listed each three times; and a kind that was missing from discovery for a moment was watched never."""
    kube.apply(training_job("before"))
    operator = start(kubeconfig=proxy.kubeconfig, BELAY_RESYNC_S="3600").ready()
    eventually(lambda: phase(kube, "before") == "Running", what="status written")
    time.sleep(8)
    lists = [one.path.rpartition("/")[2] for one in proxy.seen() if "limit=" in one.query]
    ours = ("rltrainingjobs", "rlpolicies", "rlrollouts", "rlprogressions")
    assert set(lists) - {"httproutes"} == {
        *ours,
        "jobs",
        "pods",
        "deployments",
        "services",
        "endpointslices",
    }  # other tests may have installed the Gateway API
    assert len(lists) == len(set(lists))
    assert len(proxy.seen(path="^/apis/batch/v1$")) == 1, "whether the kind is served, and nothing more"
    assert operator.metric("belay_watch_missed_total") == 0


def test_conflicts_are_decided_again_at_once(kube: Kube, operator: OperatorProcess, proxy: FaultProxy) -> None:
    proxy.inject(Fault(method="PUT", path="/rltrainingjobs/a/status", code=409, times=2))
    kube.apply(training_job("a"))
    eventually(lambda: phase(kube, "a") == "Running", what="status written")
    assert "pass failed" not in operator.text(), "two conflicts are ordinary, not failures"


def test_a_stale_decision_never_overwrites_a_newer_status(
    kube: Kube, operator: OperatorProcess, proxy: FaultProxy
) -> None:
    """Somebody writes the object while our status is on its way: ours is refused, and made again from what is there."""
    kube.apply(training_job("a"))
    eventually(lambda: phase(kube, "a") == "Running", what="status written")
    changed: list[str] = []

    def change(seen: object) -> None:
        changed.append(kube.run("label", "rltrainingjob", "a", "racing=yes"))

    proxy.inject(Fault(method="PUT", path="/rltrainingjobs/a/status", times=1, call=change))
    before = time.monotonic()
    finish_job(kube, "a")
    eventually(lambda: phase(kube, "a") == "Succeeded", what="the end is written")
    assert changed
    codes = [one.code for one in proxy.seen(since=before, path="/rltrainingjobs/a/status")]
    assert codes == [409, 200]


@pytest.mark.parametrize("code", [429, 500, 503])
def test_an_overloaded_server_is_asked_again(
    kube: Kube, operator: OperatorProcess, proxy: FaultProxy, code: int
) -> None:
    proxy.inject(Fault(method="PUT|PATCH", path="a", code=code, headers={"Retry-After": "1"}, times=3))
    kube.apply(training_job("a"))
    eventually(lambda: phase(kube, "a") == "Running", what="status written after all")
    eventually(lambda: kube.get("job", "a-a1"), what="the Job after all")


def test_retry_after_is_obeyed(kube: Kube, operator: OperatorProcess, proxy: FaultProxy) -> None:
    proxy.inject(Fault(method="PUT", path="/rltrainingjobs/a/status", code=429, headers={"Retry-After": "2"}, times=1))
    kube.apply(training_job("a"))
    eventually(lambda: phase(kube, "a") == "Running", what="status written")
    tries = [one.at for one in proxy.seen(path="/rltrainingjobs/a/status")]
    assert tries[1] - tries[0] >= 2.0


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_answer_that_never_comes_doubles_nothing(
    kube: Kube, operator: OperatorProcess, proxy: FaultProxy, when: str
) -> None:
    """`after`: the write was done, we just do not know. Doing it again must be harmless."""
    proxy.inject(Fault(method="PUT|PATCH|POST", drop=when, times=4))
    kube.apply(training_job("a"))
    eventually(lambda: kube.get("job", "a-a1"), what="the Job exists")
    eventually(lambda: phase(kube, "a") == "Running", what="status written")
    assert len(kube.all("jobs")) == 1


def test_a_slow_object_does_not_hold_up_the_others(kube: Kube, operator: OperatorProcess, proxy: FaultProxy) -> None:
    proxy.inject(Fault(path="/slow", delay_s=300))
    kube.apply(training_job("slow"))
    kube.apply(training_job("quick"))
    eventually(lambda: phase(kube, "quick") == "Running", what="the quick one")
    assert phase(kube, "slow") is None


def test_a_refused_child_is_told_in_an_event_and_retried(
    kube: Kube, operator: OperatorProcess, proxy: FaultProxy
) -> None:
    refusal = proxy.inject(Fault(method="PATCH", path="/jobs/a-a1", code=422))
    kube.apply(training_job("a"))
    event = eventually(lambda: [e for e in kube.all("events") if e["reason"] == "ChildRefused"], what="the event")[0]
    assert event["type"] == "Warning"
    assert "Job a-a1" in event["message"]
    refusal.times = 0
    eventually(lambda: kube.get("job", "a-a1"), what="the Job once it is accepted")


def test_no_event_can_be_posted_and_nothing_waits_for_it(
    kube: Kube, operator: OperatorProcess, proxy: FaultProxy
) -> None:
    proxy.inject(Fault(method="POST", path="/events$", code=403))
    kube.apply(training_job("a"))
    eventually(lambda: kube.get("job", "a-a1"), what="the Job exists")
    finish_job(kube, "a")
    eventually(lambda: phase(kube, "a") == "Succeeded", what="the end is written")
    eventually(lambda: operator.metric("belay_events_dropped_total") == 1, what="the loss is counted")


def test_a_kill_after_any_write_loses_and_doubles_nothing(kube: Kube, start: Starter, proxy: FaultProxy) -> None:
    """kill -9 right after the n-th write, for every n; the next process finishes what the last one began."""
    for number in range(4):
        name = f"k{number}"
        victim = start(kubeconfig=proxy.kubeconfig).ready()
        passed = proxy.inject(Fault(method="PUT|PATCH|POST", path=name, times=number))
        deadly = proxy.inject(
            Fault(method="PUT|PATCH|POST", path=name, times=1, call=lambda seen, v=victim: v.kill(), call_when="after")
        )
        kube.apply(training_job(name))
        if number < 3:  # there are three writes: status, ConfigMap, Job
            eventually(lambda victim=victim: victim.returncode is not None, what=f"killed at write {number + 1}")
        else:
            eventually(lambda name=name: kube.get("job", f"{name}-a1"), what="the Job exists")
            victim.kill()
        passed.times = deadly.times = 0
        heir = start(kubeconfig=proxy.kubeconfig).ready()
        job = eventually(lambda name=name: kube.get("job", f"{name}-a1"), what="the Job exists")
        eventually(lambda name=name: phase(kube, name) == "Running", what="status written")
        time.sleep(0.3)
        assert (kube.get("job", f"{name}-a1") or {})["metadata"]["uid"] == job["metadata"]["uid"]
        assert len([j for j in kube.all("jobs") if j["metadata"]["name"].startswith(name)]) == 1
        heir.kill()


def test_the_api_server_away_for_a_while(kube: Kube, operator: OperatorProcess, proxy: FaultProxy) -> None:
    kube.apply(training_job("a"))
    eventually(lambda: phase(kube, "a") == "Running", what="status written")
    away = proxy.inject(Fault(drop="before"))
    proxy.break_watches()
    kube.apply(training_job("b"))
    time.sleep(4)
    assert operator.returncode is None
    assert operator.ask("/livez")[0] == 200
    away.times = 0
    eventually(lambda: phase(kube, "b") == "Running", what="b after the outage", timeout_s=30)
