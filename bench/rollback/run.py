"""From the sample that proves a regression to the last request the candidate serves.

Every rollback begins with the same policy of 40 % less return. The instant of the proof is computed afterwards from the
episodes as the logbook got them, with the operator's own `judge`: the first moment at which what had been reported and
had passed its grace was enough for Fail, and not withheld because too many reports came late, as they do where others
use the machine. The last request is the last answer any user got from the candidate.
"""

import asyncio
import bisect
import contextlib
import json
import random
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import yaml

from belay_api.reasons import Verdict
from belay_api.rollout import RLRolloutSpec
from belay_api.units import parse_duration, parse_instant
from belay_api.wire import Statistics, VersionStatistics, WindowStatistics
from belay_client import AsyncClient
from belay_demo.install import EXAMPLES, SYSTEM, chart, use_cluster
from belay_demo.kube import Failed, Namespace, run
from belay_demo.players import Players
from belay_operator.rollout.analysis.grace import withheld
from belay_operator.rollout.analysis.queries import budget, comparisons, windows
from belay_operator.rollout.analysis.verdict import judge
from ranges import check

HERE = Path(__file__).parent
LOAD = yaml.safe_load((HERE / "load.yaml").read_text())
BENCH = Namespace("bench-rollback")
ROLLOUT = "canary"


@dataclass
class Played:
    """What the users saw, in seconds since the epoch."""

    episodes: list[tuple[str, float, float, float]] = field(default_factory=list)  # version, start, reported, return
    answered: dict[str, list[float]] = field(default_factory=dict)  # version -> times of its answers
    failures: list[tuple[float, str]] = field(default_factory=list)  # when, and the client's words
    requests: int = 0


def policies() -> tuple[str, str]:
    """Train two policies, as little as possible, and keep one pod of each running."""
    job = yaml.safe_load((EXAMPLES / "40-undertrained.yaml").read_text())
    found = []
    for name, first in (("one", 1), ("two", 2)):
        job["metadata"] = {"name": name}
        job["spec"]["seeds"] = {"count": 1, "first": first}
        job["spec"]["publish"] = {"family": "bench", "serving": {"replicas": 1}}
        BENCH.apply(job)
    for name in ("one", "two"):
        policy = BENCH.wait(f"job {name}", lambda n=name: BENCH.status("rltj", n).get("publishedPolicy"), timeout_s=300)
        BENCH.wait(policy, lambda p=policy: BENCH.status("rlp", p).get("readyReplicas"), timeout_s=120)
        found.append(policy)
    return found[0], found[1]


def rollout(policy: str) -> dict[str, Any]:
    """Return the rollout under test."""
    return {
        "apiVersion": "belay.dev/v1alpha1",
        "kind": "RLRollout",
        "metadata": {"name": ROLLOUT},
        "spec": {
            "policy": {"name": policy},
            "traffic": {"gatewayAPI": {"parentRefs": [{"name": "public"}]}},
            "steps": [{"setWeight": LOAD["weight"]}, {"analyze": {}}],
            "analysis": {
                "window": LOAD["window"],
                "grace": LOAD["grace"],
                "metrics": [
                    {
                        "name": "return",
                        "source": {"logbook": {"outcome": "return"}},
                        "compare": {"maxRegression": "10%"},
                    }
                ],
            },
        },
    }


async def play(played: Played, *, url: str, candidate: str, outcomes: str, token: str) -> None:
    """Let all users play until cancelled."""
    headers = {"authorization": f"Bearer {token}"}
    async with (
        AsyncClient(url, fallback_action=0, timeout_s=2.0) as client,
        httpx.AsyncClient(timeout=10, headers=headers) as http,
        asyncio.TaskGroup() as group,
    ):
        for number in range(LOAD["users"]):
            group.create_task(_user(played, client, http, outcomes, candidate, random.Random(number)))


async def _user(  # noqa: PLR0917 - called in one place
    played: Played,
    client: AsyncClient,
    http: httpx.AsyncClient,
    outcomes: str,
    candidate: str,
    rng: random.Random,
) -> None:
    while True:
        began = version = None
        async with client.episode() as episode:
            for _ in range(LOAD["decisions"]):
                answer = await episode.act([rng.uniform(-0.05, 0.05) for _ in range(4)])
                at = time.time()
                played.requests += 1
                if answer.error:
                    played.failures.append((at, answer.error))
                if answer.policy:
                    played.answered.setdefault(answer.policy, []).append(at)
                    began, version = began or at, version or answer.policy
                await asyncio.sleep(LOAD["think_s"])
            memory = episode.memory
        if memory.receipt is None or memory.moved or began is None or version is None:
            continue
        mean = LOAD["returns"]["candidate" if version == candidate else "stable"]
        value = rng.gauss(mean, LOAD["returns"]["sd"])
        sent = time.time()
        answer = await http.post(outcomes, json={"items": [{"receipt": memory.receipt, "outcomes": {"return": value}}]})
        answer.raise_for_status()
        played.episodes.append((version, began, sent, value))


def proof(played: Played, spec: RLRolloutSpec, *, stable: str, candidate: str, since: float, until: float) -> float:
    """Return the first instant in (since, until] at which the reported episodes prove the regression."""
    grace, window = spec.analysis.grace.total_seconds(), spec.analysis.window.total_seconds()
    [(_, comparison)] = comparisons(spec.analysis)
    spend = budget(spec.analysis)
    episodes = sorted((e for e in played.episodes if e[1] >= since), key=lambda e: max(e[1] + grace, e[2]))
    countable = [max(start + grace, sent) for _, start, sent, _ in episodes]
    for instant in countable[: bisect.bisect_right(countable, until)]:
        seen = episodes[: bisect.bisect_right(countable, instant)]
        sides = [
            VersionStatistics(version=side, windows=list(_windows([e for e in seen if e[0] == side], window, grace)))
            for side in (candidate, stable)
        ]
        look = Statistics(outcome="return", at=datetime.fromtimestamp(instant, UTC), etag="", versions=sides)
        evidence = judge(comparison, windows(look, candidate), windows(look, stable), budget=spend)
        evidence = withheld(evidence, look, candidate=candidate, stable=stable, grace=spec.analysis.grace)
        if evidence.verdict is Verdict.FAIL:
            return instant
    raise Failed("the operator saw a regression that its own judge does not see in the same episodes")


def _windows(
    episodes: list[tuple[str, float, float, float]], window: float, grace: float
) -> Iterator[WindowStatistics]:
    starts = sorted({start // window for _, start, _, _ in episodes})
    for index in starts:
        inside = [(value, sent <= start + grace) for _, start, sent, value in episodes if start // window == index]
        values = [value for value, in_time in inside if in_time]
        late = len(inside) - len(values)
        mean = statistics.fmean(values) if values else None
        yield WindowStatistics(
            start=datetime.fromtimestamp(index * window, UTC),
            count=len(values),
            missing=late,
            late=late,
            mean=mean,
            m2=sum((value - mean) ** 2 for value in values) if mean is not None else 0.0,
            min=min(values, default=None),
            max=max(values, default=None),
        )


async def one(played: Played, number: int, *, stable: str, candidate: str) -> dict[str, float]:
    """Bring the candidate in once, wait until it is taken back, and return how long each part took, in seconds."""
    before = len((await _status()).get("history", []))
    begin = time.time()
    if number == 0:
        await asyncio.to_thread(BENCH.patch, "rlr", ROLLOUT, {"spec": {"policy": {"name": candidate}}})
    else:
        command = f"belay.dev/command=retry@{number}"
        await asyncio.to_thread(BENCH.kubectl, "annotate", "rlr", ROLLOUT, command, "--overwrite")
    since: float | None = None
    for _ in range(600):
        status = await _status()
        if started := status.get("analysisStartedAt"):
            since = parse_instant(started).timestamp()
        rollback = status.get("rollback", {})
        done = rollback.get("drainedAt") and parse_instant(rollback["decidedAt"]).timestamp() > begin
        if done and (len(status["history"]) > before or before == 10):
            break
        await asyncio.sleep(0.2)
    else:
        raise Failed(f"rollback {number} did not end; see: kubectl -n {BENCH.name} get rlr {ROLLOUT} -o yaml")
    assert since is not None, "a rollback without an analysis"
    decided, accepted, drained = (
        parse_instant(rollback[name]).timestamp() for name in ("decidedAt", "weightZeroAt", "drainedAt")
    )
    spec = RLRolloutSpec.model_validate(rollout(candidate)["spec"])
    # Status instants are cut to the millisecond, so `until` gets one more.
    proven = proof(played, spec, stable=stable, candidate=candidate, since=since, until=decided + 1)
    last = max(at for at in played.answered[candidate] if at > begin)
    return {
        "last": last - proven,
        "decided": decided - proven,
        "accepted": accepted - decided,
        "drained": drained - decided,
    }


async def _status() -> dict[str, Any]:
    return await asyncio.to_thread(BENCH.status, "rlr", ROLLOUT)


async def measure(stable: str, candidate: str) -> dict[str, float]:
    """Return the figures of all rollbacks."""
    host = run(
        *("kubectl", "-n", "envoy-gateway-system", "get", "service", "-o", "jsonpath={.items[0].spec.clusterIP}"),
        *("-l", f"gateway.envoyproxy.io/owning-gateway-namespace={BENCH.name}"),
    )
    logbook = run("kubectl", "-n", SYSTEM, "get", "service", "belay-logbook", "-o", "jsonpath={.spec.clusterIP}")
    token = BENCH.kubectl("create", "token", "default", "--audience=belay-logbook", "--duration=1h").strip()
    played = Played()
    task = asyncio.create_task(
        play(
            played,
            url=f"http://{host}/predictions/{ROLLOUT}",
            candidate=candidate,
            outcomes=f"http://{logbook}:8600/v1/namespaces/{BENCH.name}/outcomes",
            token=token,
        )
    )
    found = []
    try:
        await asyncio.sleep(5)
        for number in range(LOAD["rollbacks"]):
            took = await one(played, number, stable=stable, candidate=candidate)
            found.append(took)
            print(
                f"{datetime.now(UTC):%H:%M:%S} rollback {number + 1:2}: proof -> decided {took['decided']:.2f} s, "
                f"-> last request {took['last']:.2f} s; "
                f"decided -> accepted {took['accepted']:.2f} s, -> drained {took['drained']:.2f} s",
                flush=True,
            )
            played.episodes.clear()
            await asyncio.sleep(parse_duration(LOAD["grace"]).total_seconds())
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    for at, error in played.failures[:20]:
        print(f"failed {datetime.fromtimestamp(at, UTC):%H:%M:%S.%f}: {error}")
    return {
        "proof_to_last_request_s_p50": statistics.median(took["last"] for took in found),
        "proof_to_last_request_s_max": max(took["last"] for took in found),
        "proof_to_decided_s_p50": statistics.median(took["decided"] for took in found),
        "decided_to_accepted_s_p50": statistics.median(took["accepted"] for took in found),
        "decided_to_drained_s_p50": statistics.median(took["drained"] for took in found),
        "failed_requests": float(len(played.failures)),
        "requests": float(played.requests),
    }


def main() -> int:
    """Run the benchmark against the cluster that `make cluster images` has brought up."""
    use_cluster()
    chart()
    BENCH.kubectl("delete", "rltj", "--all", "--cascade=foreground", "--timeout=120s")
    run("kubectl", "delete", "namespace", BENCH.name, "--ignore-not-found", "--wait", "--timeout=120s")
    run("kubectl", "create", "namespace", BENCH.name)
    BENCH.apply(EXAMPLES / "00-gateway.yaml")
    stable, candidate = policies()
    BENCH.apply(rollout(stable))
    BENCH.wait("the first policy", lambda: BENCH.status("rlr", ROLLOUT).get("phase") == "Healthy", timeout_s=120)
    Players(BENCH, rollout=ROLLOUT).url()  # waits for the Gateway's Service
    measured = asyncio.run(measure(stable, candidate))
    (HERE / "results.json").write_text(json.dumps(measured, indent=1) + "\n")
    run("kubectl", "delete", "namespace", BENCH.name, "--wait=false")
    return check(HERE / "ranges.yaml", measured)


if __name__ == "__main__":
    sys.exit(main())
