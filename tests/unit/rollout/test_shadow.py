"""A step `shadow` from the first pass to the last: who is mirrored when, what is asked of the logbook, what is left.

Cases of single passes are in `cases/shadow`.
"""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.unit.logbook.support import Process, new_namespace
from tests.unit.logbook.test_shadows import decision, send
from tests.unit.rollout.poller_context import WorldPollerContext
from tests.unit.rollout.stage import SPEC, Stage, digest
from tests.world import World, belay_object

from belay_api.shadowing import ShadowStep, read_header, step_of
from belay_api.units import parse_instant
from belay_api.wire import ShadowEpisodes, ShadowReport, ShadowSide
from belay_operator.rollout import specification
from belay_operator.rollout.facts import ShadowFact
from belay_operator.rollout.sources import shadows
from belay_operator.rollout.sources.shadows import ShadowWatch, asked_of

STEPS = ({"shadow": {"duration": "10m", "maxDisagreement": "30%"}}, {"setWeight": 10}, {"pause": {"duration": "9h"}})


def staged(*steps: dict[str, Any]) -> Stage:
    """A rollout whose candidate b was just taken up."""
    made = Stage("a", "b", "c", steps=[{"setWeight": 10}]).go()
    made.edits_steps(*(steps or STEPS))
    made.wants("b")
    return made.go()


def rules(stage: Stage) -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = stage.world.objects["HTTPRoute", "default", "cartpole"]["spec"]["rules"]
    return rules


def mirrored(stage: Stage) -> list[str | None]:
    """To whom each rule mirrors."""
    found = [[f for f in one["filters"] if f["type"] == "RequestMirror"] for one in rules(stage)]
    return [one[0]["requestMirror"]["backendRef"]["name"] if one else None for one in found]


def header(stage: Stage) -> ShadowStep | None:
    told = {one["name"]: one["value"] for one in rules(stage)[0]["filters"][1]["requestHeaderModifier"]["set"]}
    return read_header(told.get("x-belay-shadow", "").encode())


def hears(stage: Stage, *, difference: float = 0.05, episodes: int = 60, **more: Any) -> None:
    """The logbook answers, and the rollout looks."""
    status = stage.status
    assert status.step is not None
    assert status.candidate is not None
    assert status.stable is not None
    side, told = ShadowSide(told=500, p50=0.001, p99=0.01), [ShadowEpisodes(difference=difference, count=episodes)]
    said = {"asked": 500, "answered": 500, "pairs": 500, "scale": "choice", "difference": difference}
    report = ShadowReport(stable=side, candidate=side, episodes=told, **(said | more))
    step = step_of(status.step.started_at)
    fact = ShadowFact(step, status.candidate.policy, status.stable.policy, stage.now, "logbook", report, None)
    stage.world.facts["shadow", "default", "cartpole"] = fact
    stage.passes()


def test_a_candidate_is_mirrored_first_and_gets_traffic_then() -> None:
    stage = staged()
    assert (stage.weights, mirrored(stage)) == ({"a": 10_000}, ["b", "b"])
    assert stage.status.step is not None
    assert header(stage) == ShadowStep("b", step_of(stage.status.step.started_at))
    stage.go(minutes=5)
    hears(stage)
    assert (stage.reason, stage.status.shadow is not None, mirrored(stage)) == ("Shadowing", True, ["b", "b"])
    stage.go(minutes=6)
    hears(stage)
    assert (stage.weights, mirrored(stage)) == ({"a": 9_000, "b": 1_000}, [None] * 3)
    found = stage.status.shadow
    assert found is not None
    assert (found.verdict, found.pairs) == ("Pass", 500)
    assert stage.told.count("Shadowed") == 1
    assert stage.status.analysis_started_at is None or stage.status.analysis_started_at >= stage.now - timedelta(
        seconds=5
    )


def test_one_that_differs_never_gets_traffic_and_is_rejected() -> None:
    stage = staged().go(minutes=2)
    hears(stage, difference=0.9)
    stage.go()
    assert (stage.reason, mirrored(stage), stage.weights) == ("RolledBack", [None, None], {"a": 10_000})
    assert stage.status.rejected_digests == [digest("b")]
    assert stage.status.shadow is not None, "it tells why for as long as there is no other candidate"
    stage.command("retry@1")
    stage.passes()
    assert (stage.status.shadow, mirrored(stage)) == (None, ["b", "b"])


def test_running_numbers_are_written_now_and_then_and_told_once() -> None:
    stage = staged().go(minutes=1)
    before = stage.world.log.count("status RLRollout cartpole")
    for seconds in range(60):
        stage.now += timedelta(seconds=1)
        hears(stage, pairs=500 + seconds)
    assert stage.world.log.count("status RLRollout cartpole") - before <= 7
    assert "Shadowed" not in stage.told


def test_abort_takes_the_mirror_off_with_the_intent() -> None:
    stage = staged().go(minutes=1)
    stage.command("abort@1")
    stage.passes()
    assert mirrored(stage) == [None, None]


def test_a_shadow_after_the_first_weight_is_refused_with_what_to_write() -> None:
    spec = SPEC | {"steps": [{"setWeight": 5}, {"setWeight": 0}, {"shadow": {}}]}
    read = specification.read(spec, serving=None)
    assert read.unfit is not None
    assert "spec.steps[2]: shadow comes after a setWeight above 0" in read.unfit
    assert specification.read(SPEC | {"steps": [{"setWeight": 0}, *STEPS]}, serving=None).unfit is None


# --- the poller -------------------------------------------------------------------------------------------------------
STATUS = {
    "stable": {"policy": "old", "digest": "a", "since": "2026-05-04T09:00:00Z"},
    "candidate": {"policy": "new", "digest": "b", "since": "2026-05-04T10:00:00Z"},
    "step": {"index": 0, "kind": "shadow", "startedAt": "2026-05-04T10:00:00Z", "mirror": {"percent": 100}},
}


def rollout(namespace: str = "default", **status: Any) -> dict[str, Any]:
    made = belay_object("RLRollout", "shop", SPEC, status=STATUS | status)
    made["metadata"]["namespace"] = namespace
    return made


@pytest.mark.parametrize(
    "status",
    [
        {"step": STATUS["step"] | {"mirror": {"percent": 100, "refused": "no"}}},
        {"step": {"index": 1, "kind": "pause", "startedAt": "2026-05-04T10:00:00Z"}},
        {"rollback": {"decidedAt": "2026-05-04T10:00:00Z"}},
        {"candidate": {}},
        {"step": STATUS["step"] | {"startedAt": "never"}},
    ],
)
def test_nothing_is_asked_where_nothing_is_mirrored(status: dict[str, Any]) -> None:
    assert asked_of(rollout())
    assert not asked_of(rollout(**status))


@pytest.mark.asyncio
async def test_the_logbook_is_asked_and_an_outage_is_a_fact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadows, "PERIOD", timedelta(seconds=0.1))
    process, namespace = Process(tmp_path).start(), new_namespace()
    step = step_of(parse_instant("2026-05-04T10:00:00Z"))
    with process.client(namespace) as client:
        items = [decision(version, f"r{index}", step=step) for version in ("old", "new") for index in range(3)]
        assert send(client, namespace, items).json()["accepted"] == 6
    async with aiohttp.ClientSession() as http:
        context = WorldPollerContext(World([rollout(namespace)]), http, logbook_url=process.url)
        watch = asyncio.create_task(ShadowWatch().run(context))
        fact = await context.until(lambda: context.fact("shadow", namespace, "shop"))
        assert (fact.step, fact.candidate, fact.stable, fact.problem) == (step, "new", "old", None)
        assert fact.report.pairs == 3
        process.kill()
        await context.until(lambda: context.fact("shadow", namespace, "shop").problem, within_s=20)
        context.objects["RLRollout", namespace, "shop"] = rollout(namespace, step={"index": 1, "kind": "pause"})
        await context.until(lambda: context.fact("shadow", namespace, "shop") is None)
        watch.cancel()
