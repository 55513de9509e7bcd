"""The trials that pollers follow: a change costs what changed, and not what exists."""

from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.unit.rollout.stage import SPEC
from tests.world import SETTINGS, belay_object

from belay_api.rollout.analysis import AnalysisSpec
from belay_operator.engine.cache import Cache
from belay_operator.engine.pollers import CachePollerContext
from belay_operator.rollout.analysis.queries import outcome_queries
from belay_operator.rollout.sources import serving
from belay_operator.rollout.sources.active import Trials, trial_of
from belay_operator.rollout.sources.logbook import polls_of
from belay_operator.rollout.sources.serving import demands_of

SINCE = "2026-05-04T10:00:00Z"
NO_CLIENT: Any = None  # trials are read from the cache alone


def rollout(number: int, version: int, **status: Any) -> dict[str, Any]:
    sides = {side: {"policy": f"{side}-{number}"} for side in ("stable", "candidate")}
    made = belay_object("RLRollout", f"r{number}", SPEC, status=sides | {"weight": {"desired": 5}} | status)
    made["metadata"] |= {"uid": f"u{number}", "resourceVersion": str(version)}
    return made


class Counted(CachePollerContext):
    """Counts what is read of the cache."""

    reads = 0

    def get(self, kind: str, namespace: str, name: str) -> Any:
        self.reads += 1
        return super().get(kind, namespace, name)


@pytest.mark.asyncio
async def test_one_change_among_many_trials_reads_one_rollout_and_no_spec() -> None:
    specs: list[AnalysisSpec] = []

    def wanted(analysis: AnalysisSpec) -> int:
        specs.append(analysis)
        return len(analysis.metrics)

    cache = Cache()
    for number in range(200):
        cache.put("RLRollout", rollout(number, number + 1))
    async with aiohttp.ClientSession() as http:
        context = Counted(cache, SETTINGS, http, NO_CLIENT, wake=lambda key: None, token_file=Path("none"))
        with context.changes("RLRollout") as changes:
            trials = Trials(context, changes, wanted)
            assert len(list(trials.refresh())) == 200
            assert len(specs) == 200
            context.reads = 0

            assert list(trials.refresh()) == []
            cache.put("RLRollout", rollout(7, 301, verdicts=[{"metric": "return"}]))
            cache.put("RLRollout", rollout(7, 302, verdicts=[]))
            assert list(trials.refresh()) == [], "nothing that pollers ask for"
            assert (context.reads, len(specs)) == (1, 200)

            cache.put("RLRollout", rollout(7, 303, analysisStartedAt=SINCE))
            (change,) = trials.refresh()
            assert change.before is not None
            assert change.after is not None
            assert (change.before.judged, change.after.judged) == (False, True)

            cache.remove("RLRollout", "default", "r7", version=304)
            (gone,) = trials.refresh()
            assert (gone.before, gone.after) == (change.after, None)
            assert (context.reads, len(specs)) == (3, 200)
        cache.put("RLRollout", rollout(7, 305))
        assert list(trials.refresh()) == [], "who has left is told nothing any more"


@pytest.mark.asyncio
async def test_a_changed_analysis_is_read_anew() -> None:
    cache = Cache()
    cache.put("RLRollout", rollout(1, 1))
    async with aiohttp.ClientSession() as http:
        context = Counted(cache, SETTINGS, http, NO_CLIENT, wake=lambda key: None, token_file=Path("none"))
        with context.changes("RLRollout") as changes:
            trials = Trials(context, changes, outcome_queries)
            (first,) = trials.refresh()
            assert first.after is not None
            assert first.after.wanted
            cache.put("RLRollout", rollout(1, 2) | {"spec": {**SPEC, "analysis": {}}})
            (change,) = trials.refresh()
            assert change.after is not None
            assert change.after.wanted == ()


def test_the_anchor_is_asked_for_while_a_trial_needs_it() -> None:
    anchor = {"policy": "anchor", "digest": "x", "since": SINCE, "changedAt": SINCE}
    begun = {"analysisStartedAt": SINCE, "servedAnchor": anchor}
    trial = trial_of(rollout(1, 1, **begun), outcome_queries)
    assert trial is not None
    (poll,) = polls_of(trial)
    assert poll.query["versions"] == "candidate-1,stable-1,anchor"
    assert {name for _, name in demands_of(trial_of(rollout(1, 1, **begun), serving.wanted))} == {
        "anchor",
        "candidate-1",
        "stable-1",
    }
    trial = trial_of(rollout(1, 1, **begun | {"servedAnchor": anchor | {"until": SINCE}}), outcome_queries)
    (poll,) = polls_of(trial)
    assert poll.query["versions"] == "candidate-1,stable-1"
