"""From the sample that proves a regression to the last request the candidate serves, while much else goes wrong.

Every rollback begins with the same policy of 40 % less return. The instant of the proof is computed afterwards from the
episodes as the logbook got them (`proof.py`). The last request is the last answer any user got from the candidate.
Meanwhile users play, a webhook hangs and pods of another candidate are dead (`trouble.py`).

    make bench-rollback                                on the cluster of `make cluster images` (`cluster.py`)
    make bench-rollback ARGS=--stand-in                on an API server of its own, without pods (`stand_in.py`)
    make bench-rollback ARGS="--stand-in --quick"      a few, with less of everything and without bands
    make bench-rollback ARGS=--beside-argo             another question: both controllers' way back (`beside_argo.py`)
"""

import argparse
import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

from cluster import cluster  # noqa: E402
from figures import figures_of  # noqa: E402
from played import Played, play  # noqa: E402
from proof import proof  # noqa: E402
from stage import BENCH, ROLLOUT, Stage, StageOf  # noqa: E402
from stand_in import stand_in  # noqa: E402
from trouble import Silence, dead_pods, hanging_webhook  # noqa: E402

from belay_api.rollout.spec import RLRolloutSpec  # noqa: E402
from belay_api.units import parse_duration, parse_instant  # noqa: E402
from belay_demo.kube import Failed  # noqa: E402
from belay_operator.engine.client import Client  # noqa: E402
from belay_operator.engine.resources import resource_of  # noqa: E402
from kubeapi import connect  # noqa: E402
from ranges import check  # noqa: E402
from watching import Watcher  # noqa: E402

RLROLLOUT = resource_of("RLRollout")
OUTAGE = "outage"
ENDS_WITHIN_S = 180
HISTORY = 10  # entries that a rollout's status keeps


def main() -> int:
    """Run the benchmark and hold it against its bands."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--stand-in", action="store_true", help="without a cluster: see stand_in.py for what that shows"
    )
    parser.add_argument("--beside-argo", action="store_true", help="see beside_argo.py")
    parser.add_argument("--quick", action="store_true", help="a few rollbacks with less of everything, and no bands")
    options = parser.parse_args()
    place = "beside_argo" if options.beside_argo else "stand_in" if options.stand_in else "cluster"
    load = yaml.safe_load((HERE / "load.yaml").read_text())
    load |= load.pop("places")[place] | (load.pop("quick") if options.quick else {})
    if options.beside_argo:
        from beside_argo import beside_argo  # noqa: PLC0415  what `bench/engine` is made of, which nobody else needs

        measured = asyncio.run(beside_argo(load))
    else:
        stage_of = partial(stand_in if options.stand_in else cluster, load=load)
        measured = asyncio.run(measure(stage_of, load))
    (HERE / "results.json").write_text(json.dumps(measured, indent=1) + "\n")
    if options.quick:
        print(json.dumps(measured, indent=1))
        return 0
    return check(HERE / f"ranges.{place}.yaml", measured)


async def measure(stage_of: StageOf, load: Mapping[str, Any]) -> dict[str, float]:
    """Return the figures of all rollbacks."""
    async with contextlib.AsyncExitStack() as stack:
        stage = await stack.enter_async_context(stage_of(load["dead_pods"]))
        client = await connect(stage.kubeconfig)
        stack.push_async_callback(client.close)
        statuses: dict[str, Mapping[str, Any]] = {}

        def status_of(rollout: Mapping[str, Any]) -> None:
            statuses[rollout["metadata"]["name"]] = rollout.get("status") or {}

        watcher = Watcher(client, RLROLLOUT, BENCH.name, status_of)
        watching = asyncio.create_task(watcher.run())
        stack.callback(watching.cancel)
        webhook = await stack.enter_async_context(hanging_webhook(client, load["hanging"]))
        bench = Bench(client, watcher, statuses, stage, webhook, load)
        await bench.prepare()
        await dead_pods(client, BENCH.name, stage.outage.candidate, stage.silent)
        played = Played()
        playing = asyncio.create_task(
            play(
                played,
                stage.player,
                outcomes=stage.outcomes,
                token=stage.token,
                candidate=stage.measured.candidate,
                load=dict(load),
            )
        )
        try:
            await asyncio.sleep(5)
            took = await bench.rollbacks(played, playing)
        finally:
            playing.cancel()
            await asyncio.gather(playing, return_exceptions=True)
    for at, error in played.failures[:20]:
        print(f"failed {datetime.fromtimestamp(at, UTC):%H:%M:%S.%f}: {error}")
    figures = figures_of(took) | {"requests": float(played.requests), "hanging_writes_at_once": float(webhook.most)}
    return figures | ({} if stage.asked else {"failed_requests": float(len(played.failures))})


@dataclass(frozen=True, slots=True)
class Bench:
    """The rollouts under measurement, and what the API server says of them."""

    client: Client
    watcher: Watcher
    statuses: Mapping[str, Mapping[str, Any]]
    """Of rollouts, by name, as the watcher brings them."""
    stage: Stage
    webhook: Silence
    load: Mapping[str, Any]

    async def prepare(self) -> None:
        """Bring the measured rollout to rest on stable, and the other's candidate on trial, where it stays."""
        load, stage = self.load, self.stage
        await self.client.create(rollout(ROLLOUT, stage.measured.stable, measured(load)))
        await self.client.create(rollout(OUTAGE, stage.outage.stable, outage(load)))
        for name in (ROLLOUT, OUTAGE):
            await self._until(name, lambda status: status.get("phase") == "Healthy", "rests on its first policy")
        await self._patch(OUTAGE, {"spec": {"policy": {"name": stage.outage.candidate}}})
        await self._until(OUTAGE, lambda status: status.get("weight"), "has a candidate on trial")

    async def rollbacks(self, played: Played, playing: asyncio.Task[None]) -> list[dict[str, float]]:
        """Take the candidate back again and again. Raises: Failed where the trouble was none; what ended the users."""
        found = []
        for number in range(self.load["rollbacks"]):
            asked = self.stage.asked() if self.stage.asked else 0
            took = await self._one(played, number)
            found.append(took)
            print(
                f"{datetime.now(UTC):%H:%M:%S} rollback {number + 1:2}: proof -> decided {took['decided']:.2f} s, "
                f"-> last request {took['last']:.2f} s; "
                f"decided -> accepted {took['accepted']:.2f} s, -> drained {took['drained']:.2f} s",
                flush=True,
            )
            if playing.done():
                playing.result()
            if (self.stage.asked and self.stage.asked() == asked) or not self.statuses[OUTAGE].get("weight"):
                raise Failed(f"nobody asked the dead pods; see the rollout {OUTAGE}: {self.statuses[OUTAGE]}")
            del played.episodes[:-1000]  # the last ones are what is known before the next trial
            await asyncio.sleep(parse_duration(self.load["grace"]).total_seconds())
        return found

    async def _one(self, played: Played, number: int) -> dict[str, float]:
        """Bring the candidate in once, wait until it is taken back, and return how long each part took, in seconds."""
        sides, begin = self.stage.measured, time.time()
        before = len(self.statuses[ROLLOUT].get("history", ()))
        if number == 0:
            await self._patch(ROLLOUT, {"spec": {"policy": {"name": sides.candidate}}})
        else:
            await self._patch(ROLLOUT, {"metadata": {"annotations": {"belay.dev/command": f"retry@{number}"}}})

        def judged(status: Mapping[str, Any]) -> bool:
            started = status.get("analysisStartedAt")
            return started is not None and parse_instant(started).timestamp() > begin

        def done(status: Mapping[str, Any]) -> bool:
            rollback = status.get("rollback") or {}
            new = "decidedAt" in rollback and parse_instant(rollback["decidedAt"]).timestamp() > begin
            recorded = len(status.get("history", ())) > before or before == HISTORY
            return new and "drainedAt" in rollback and recorded

        on_trial = await self._until(ROLLOUT, judged, f"has the candidate on trial, number {number + 1}")
        self.webhook.holds.set()
        status = await self._until(ROLLOUT, done, f"has taken the candidate back, number {number + 1}")
        self.webhook.let_go()
        rollback = status["rollback"]
        decided, accepted, drained = (
            parse_instant(rollback[name]).timestamp() for name in ("decidedAt", "weightZeroAt", "drainedAt")
        )
        spec = RLRolloutSpec.model_validate(rollout(ROLLOUT, sides.candidate, measured(self.load))["spec"])
        # Status instants are cut to the millisecond, so `until` gets one more.
        since = parse_instant(on_trial["analysisStartedAt"]).timestamp()
        digest = on_trial["candidate"]["digest"]
        trial = next(one["count"] for one in on_trial["trials"] if one["digest"] == digest)
        proven = proof(
            played.episodes,
            spec,
            stable=sides.stable,
            candidate=sides.candidate,
            since=since,
            until=decided + 1,
            trial=trial,
        )
        return {
            "last": played.answered[sides.candidate] - proven,
            "decided": decided - proven,
            "accepted": accepted - decided,
            "drained": drained - decided,
        }

    async def _until(self, name: str, true: Any, what: str) -> Mapping[str, Any]:
        """Return the status that makes `true` true. Raises: Failed."""
        try:
            await self.watcher.until(lambda: true(self.statuses.get(name, {})), limit_s=ENDS_WITHIN_S)
        except TimeoutError as error:
            raise Failed(f"not within {ENDS_WITHIN_S} s: {name} {what}; {self.statuses.get(name)}") from error
        return self.statuses[name]

    async def _patch(self, name: str, change: Mapping[str, Any]) -> None:
        path = RLROLLOUT.path(BENCH.name, name)
        await self.client.call("PATCH", RLROLLOUT, path, body=change, media="application/merge-patch+json")


def rollout(name: str, policy: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return a rollout of that policy."""
    whole = {"policy": {"name": policy}, "traffic": {"gatewayAPI": {"parentRefs": [{"name": "public"}]}}, **spec}
    metadata = {"name": name, "namespace": BENCH.name}
    return {"apiVersion": "belay.dev/v1alpha1", "kind": "RLRollout", "metadata": metadata, "spec": whole}


def measured(load: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is special of the rollout under measurement: it is judged by its return."""
    compare = {"maxRegression": "10%", "range": {"low": 0, "high": 1000}}
    metric = {"name": "return", "source": {"logbook": {"outcome": "return"}}, "compare": compare}
    analysis = {"window": load["window"], "grace": load["grace"], "metrics": [metric]}
    return {"steps": [{"setWeight": load["weight"]}, {"analyze": {}}], "analysis": analysis}


def outage(load: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is special of the rollout whose pods die: it pauses for a day, a guard rail watches its pods."""
    metric = {"name": "errors", "source": {"serving": "errorRate"}, "limit": {"max": "5%"}}
    analysis = {"window": load["window"], "grace": load["grace"], "metrics": [metric]}
    return {"steps": [{"setWeight": load["weight"]}, {"pause": {"duration": "24h"}}], "analysis": analysis}


if __name__ == "__main__":
    sys.exit(main())
