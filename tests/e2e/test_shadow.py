"""A shadow on a real gateway: what it decides is compared, and whatever becomes of it touches no answer.

Real policies, real TorchServe, real Envoy. The shadow is well, then hangs, then dies again and again; callers are asked
all along. Not one request may fail, and none may take longer for it.
"""

import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from tests.e2e.steady import Steady

from belay_api.users import write_headers
from belay_demo.install import EXAMPLES
from belay_demo.kube import Failed, Namespace
from belay_operator.rollout.users import buckets

ROLLOUT = "shadowed"
PERIOD_S = 20  # of each way to be unwell: some hundreds of requests
SLOWER = 2.0  # a shadow that costs callers anything costs them a time-out, which is a thousand times a usual answer
SPEC: dict[str, Any] = {
    "replicas": 1,
    "steps": [{"shadow": {"duration": "1h", "minPairs": 50}}, {"setWeight": 50}, {"pause": {"duration": "1h"}}],
    "bake": {"duration": "1s", "keepWarm": "1s"},
}
# Every worker of a serving pod stands still, as one that waits for a lock, or goes on.
SIGNAL = """
import os, pathlib, signal, sys
for one in pathlib.Path("/proc").glob("[0-9]*"):
    try:
        words = (one / "cmdline").read_bytes()
    except OSError:
        continue
    if b"model_service_worker" in words and int(one.name) != os.getpid():  # whose own words have it too
        os.kill(int(one.name), getattr(signal, sys.argv[1]))
"""


@pytest.fixture(scope="module")
def asked(gateway: Namespace, published: dict[str, dict[str, Any]]) -> Iterator[Steady]:
    """Serve `a` to steady callers, with `b` as its shadow."""
    for name in "ab":
        policy = {"apiVersion": "belay.dev/v1alpha1", "kind": "RLPolicy", "metadata": {"name": name}}
        gateway.apply(policy | {"spec": published[name]})
    rollout = yaml.safe_load((EXAMPLES / "20-rollout.yaml").read_text())
    rollout["metadata"] = {"name": ROLLOUT}
    rollout["spec"] = {"policy": {"name": "a"}, "traffic": rollout["spec"]["traffic"], **SPEC}
    gateway.apply(rollout)
    gateway.wait("a to serve", lambda: _status(gateway).get("phase") == "Healthy", timeout_s=240)
    steady = Steady(gateway, ROLLOUT, asking={"episode": "e"})
    steady.start()
    yield steady
    steady.stop()
    gateway.kubectl("delete", "rlr", ROLLOUT, "--wait")
    gateway.kubectl("delete", "rlp", "a", "b", "--ignore-not-found", "--wait")


@pytest.mark.timeout(900)
def test_a_shadow_that_hangs_and_dies_touches_no_answer(gateway: Namespace, asked: Steady) -> None:
    time.sleep(PERIOD_S)
    before = asked.settled()
    gateway.patch("rlr", ROLLOUT, {"spec": {"policy": {"name": "b"}}})
    gateway.wait("the mirror", lambda: _status(gateway).get("step", {}).get("mirror", {}).get("since"), timeout_s=240)

    took = {"well": _after(asked)}
    found = gateway.wait(
        "pairs", lambda: _status(gateway).get("shadow", {}).get("pairs", 0) >= 50 and _status(gateway), timeout_s=90
    )
    assert found["shadow"]["sides"]["candidate"]["failed"] == 0
    assert sum(cell["pairs"] for cell in found["shadow"]["choices"]) == found["shadow"]["pairs"]
    assert found["shadow"]["answered"] > 0.9

    _signal(gateway, "SIGSTOP")
    took["hanging"] = _after(asked)
    _signal(gateway, "SIGCONT")

    for _ in range(3):
        gateway.kubectl("delete", "pod", "-l", "belay.dev/policy=b", "--grace-period=0", "--force")
        time.sleep(PERIOD_S / 3)
    took["dying"] = _after(asked)

    end = asked.settled()
    assert (end["failed"], end["by"].keys()) == (before["failed"], {"a"}), end["causes"]
    for how, p99_s in took.items():
        assert p99_s <= SLOWER * before["p99_s"] + 0.1, f"{how}: {took}, before {before['p99_s']}"
    assert "weight" not in _status(gateway)


@pytest.mark.timeout(600)
def test_a_mirror_starts_no_episode_and_ends_with_its_step(gateway: Namespace, asked: Steady) -> None:
    gateway.wait("the shadow is back", lambda: gateway.status("rlp", "b").get("readyReplicas"), timeout_s=240)
    gateway.wait("mirrors", lambda: _metric(gateway, "b", "belay_mirrors_total"), timeout_s=60)
    # While it loaded TorchServe answered some itself, with 503, and of those nobody can tell what they were.
    requests = _metric(gateway, "b", "belay_requests_total")
    time.sleep(PERIOD_S / 4)
    assert _metric(gateway, "b", "belay_requests_total") == requests
    assert _metric(gateway, "b", "belay_starts_reported_total") == 0
    gateway.kubectl("annotate", "rlr", ROLLOUT, "belay.dev/command=skip@1", "--overwrite")
    gateway.wait("half of the traffic", lambda: _status(gateway).get("weight", {}).get("applied") == 50, timeout_s=120)
    time.sleep(2)  # from accepted to in force a route takes a quarter of a second
    mirrored = _metric(gateway, "b", "belay_mirrors_total")
    gateway.wait("answers of b", lambda: asked.answered().get("b"), timeout_s=60)
    assert _metric(gateway, "b", "belay_mirrors_total") - mirrored <= 5, "those that were on their way"
    assert asked.settled()["failed"] == 0


@pytest.mark.timeout(600)
def test_who_is_matched_meets_the_candidate_and_nobody_else_does(gateway: Namespace, asked: Steady) -> None:
    internal = {"x-user-group": "internal"}
    headers = [{"name": name, "value": value} for name, value in (internal | {"x-region": "eu"}).items()]
    steps = [{"match": {"headers": headers}}, {"pause": {"duration": "1h"}}]
    gateway.patch("rlr", ROLLOUT, {"spec": {"steps": steps}})
    gateway.wait("the match", lambda: "segment" in _status(gateway).get("weight", {}), timeout_s=120)
    gateway.wait("it is in force", lambda: _status(gateway)["weight"].get("applied") == 100, timeout_s=120)
    time.sleep(2)  # from accepted to in force a route takes a quarter of a second
    both = internal | {"x-region": "eu"}
    said = asked.who_answers({}, internal, both, both | {"x-belay-policy": "a"}, {"x-belay-policy": "b"})
    # Episodes under way stay where they began, also those of the matched.
    assert said == ["a", "a", "b", "a", "b"]
    assert asked.settled()["failed"] == 0


@pytest.mark.timeout(600)
def test_the_preview_address_leads_to_the_candidate_alone(gateway: Namespace, asked: Steady) -> None:
    """While `b` answers some users: beside whatever its trial is, and whatever header an episode brings."""
    preview = {"hostnames": ["preview.example.com"]}
    gateway.patch("rlr", ROLLOUT, {"spec": {"traffic": {"gatewayAPI": {"preview": preview}}}})
    there = {"host": "preview.example.com"}
    gateway.wait("the preview", lambda: asked.who_answers(there) == ["b"], timeout_s=60)
    assert asked.who_answers(there | {"x-belay-policy": "a"}, {}) == ["b", "a"]
    gateway.kubectl("annotate", "rlr", ROLLOUT, "belay.dev/command=abort@2", "--overwrite")
    gateway.wait("stable in its place", lambda: asked.who_answers(there) == ["a"], timeout_s=60)
    assert asked.settled()["failed"] == 0


@pytest.fixture
def known(gateway: Namespace, asked: Steady) -> Iterator[Steady]:
    """Serve `a` by a rollout that assigns users, and send some requests that say no user."""
    traffic = yaml.safe_load((EXAMPLES / "20-rollout.yaml").read_text())["spec"]["traffic"]
    traffic["gatewayAPI"]["assignment"] = "User"
    steps = [{"setWeight": 37}, {"pause": {}}, {"setWeight": 55}, {"pause": {}}]
    rollout = {"apiVersion": "belay.dev/v1alpha1", "kind": "RLRollout", "metadata": {"name": "known"}}
    gateway.apply(rollout | {"spec": {"policy": {"name": "a"}, "traffic": traffic, **SPEC, "steps": steps}})
    gateway.wait("a to serve", lambda: gateway.status("rlr", "known").get("phase") == "Healthy", timeout_s=240)
    steady = Steady(gateway, "known", callers=1, asking={"episode": "e"})
    steady.start()
    yield steady
    steady.stop()
    gateway.kubectl("delete", "rlr", "known", "--wait")


@pytest.mark.timeout(900)
def test_users_have_the_version_that_the_draw_says_and_keep_it_when_others_join(
    gateway: Namespace, known: Steady
) -> None:
    gateway.patch("rlr", "known", {"spec": {"policy": {"name": "b"}}})
    users = [write_headers(1_000 + number) for number in range(100)]
    for percent, command in ((37, "resume@1"), (55, "abort@2")):
        status = gateway.wait(f"{percent} %", lambda percent=percent: _known_at(gateway, percent), timeout_s=240)
        time.sleep(2)  # from accepted to in force a route takes a quarter of a second
        having = buckets(percent, trial=f"{gateway.name}/known/b/{status['candidate']['since']}")
        digits = [(one["x-belay-user-tens"], one["x-belay-user-ones"]) for one in users]
        wanted = ["b" if {one, (one[0], None)} & set(having) else "a" for one in digits]
        assert wanted.count("b") == percent
        assert known.who_answers(*users) == wanted
        # Episodes under way stay where they began, whatever their client sends beside their pin.
        for pinned in "ab":
            assert known.who_answers(*({**one, "x-belay-policy": pinned} for one in users[::9])) == [pinned] * 12
        gateway.kubectl("annotate", "rlr", "known", f"belay.dev/command={command}", "--overwrite")
    gateway.wait("taken back", lambda: gateway.status("rlr", "known").get("phase") == "RolledBack", timeout_s=120)
    assert set(known.who_answers(*users)) == {"a"}
    end = known.settled()
    assert (end["failed"], end["by"].keys()) == (0, {"a"}), "who says no user stays with stable"


def _known_at(here: Namespace, percent: int) -> dict[str, Any] | None:
    """The status once so many percent of users have the candidate."""
    status = here.status("rlr", "known")
    return status if status.get("weight", {}).get("applied") == percent else None


def _after(asked: Steady) -> float:
    """Seconds that 99 of 100 callers waited at most, once only what is so now is counted."""
    time.sleep(PERIOD_S)
    return float(asked.settled()["p99_s"])


def _signal(here: Namespace, name: str) -> None:
    pod = here.items("pods", "belay.dev/policy=b")[0]["metadata"]["name"]
    here.kubectl("exec", pod, "--", "python3", "-c", SIGNAL, name)


def _metric(here: Namespace, policy: str, name: str) -> float:
    """The pod's own count; 0 while it does not answer."""
    read = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8083/metrics', timeout=5).read().decode())"
    try:
        pod = here.items("pods", f"belay.dev/policy={policy}")[0]["metadata"]["name"]
        text = here.kubectl("exec", pod, "--", "python3", "-c", read)
    except (Failed, IndexError):
        return 0.0
    lines = [line for line in text.splitlines() if line.startswith(f"{name}{{")]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def _status(here: Namespace) -> dict[str, Any]:
    return here.status("rlr", ROLLOUT)
