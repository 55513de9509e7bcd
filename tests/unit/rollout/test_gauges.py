"""What a Prometheus server reads of a rollout."""

from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from tests.unit.rollout.stage import Stage

from belay_operator.engine.cache import Cache
from belay_operator.engine.gauge import Gauge
from belay_operator.engine.statuses import Statuses
from belay_operator.rollout.gauges import GAUGES
from belay_operator.rollout.observe import KIND


def told(rollout: dict[str, Any]) -> dict[str, float]:
    """By name and labels as PromQL writes them, without namespace and name."""
    return {
        _as_written(gauge, values): number
        for gauge in GAUGES
        for values, number in gauge.samples(rollout.get("status") or {})
    }


def _as_written(gauge: Gauge, values: tuple[str, ...]) -> str:
    labels = ",".join(f"{name}={value}" for name, value in zip(gauge.labels, values, strict=True))
    return f"{gauge.name.removeprefix('belay_rollout_')}{{{labels}}}"


def test_a_candidate_under_analysis() -> None:
    stage = Stage("a", "b").go()
    stage.wants("b")
    stage.go(seconds=1).go(seconds=31)
    stage.episodes("return", {"a": (200, 480.0, 40.0), "b": (200, 479.0, 40.0)})
    stage.go(seconds=6)
    found = told(stage.world.objects["RLRollout", "default", "cartpole"])
    assert found["phase{phase=Progressing}"] == 1
    assert found["ready{reason=Analyzing}"] == 0
    assert found["version{role=stable,policy=a}"] == found["version{role=candidate,policy=b}"] == 1
    assert found["weight_percent{of=desired}"] == found["weight_percent{of=applied}"] == 50
    assert stage.status.step is not None
    assert found["step_start_time_seconds{step=analyze}"] == stage.status.step.started_at.timestamp()
    verdict = next(one for one in stage.status.verdicts if one.metric == "return")
    assert found[f"verdict{{metric=return,verdict={verdict.verdict}}}"] == 1
    assert verdict.interval is not None
    assert [found[f"difference{{metric=return,of={of}}}"] for of in ("estimate", "low", "high", "failBelow")] == [
        verdict.difference,
        *verdict.interval,
        verdict.fail_below,
    ]
    assert stage.status.regret is not None
    assert found["regret{metric=return,of=high}"] == stage.status.regret.high


def test_a_rollback_has_its_times() -> None:
    stage = Stage("a", "b").go()
    stage.wants("b")
    stage.go(seconds=1)
    stage.command("abort@1")
    stage.passes()
    stage.go(seconds=2)
    stage.later(seconds=3)
    stage.scrape("b", rate=0.0)
    stage.passes()
    found = told(stage.world.objects["RLRollout", "default", "cartpole"])
    assert found["rollback_seconds{until=weightZero}"] == 2
    assert found["rollback_seconds{until=drained}"] == 5
    assert found["rejected_digests{}"] == 1


def test_one_that_nobody_has_looked_at_says_nothing() -> None:
    meta = {"namespace": "default", "name": "new"}
    assert told({"metadata": meta}) == {"rejected_digests{}": 0}


def test_a_page_has_every_family_and_a_series_ends_with_its_rollout_and_its_leader() -> None:
    stage, cache, registry = Stage("a").go(), Cache(), CollectorRegistry()
    body = stage.world.objects["RLRollout", "default", "cartpole"]
    body["metadata"]["resourceVersion"] = "1"
    cache.put("RLRollout", body)

    def page() -> dict[str, int]:
        families = text_string_to_metric_families(generate_latest(registry).decode())
        return {family.name: len(family.samples) for family in families}

    with Statuses(cache, [KIND], registry):
        assert set(page()) == {gauge.name for gauge in GAUGES}
        assert page()["belay_rollout_phase"] == 1
        cache.remove("RLRollout", "default", "cartpole", version=2)
        assert page()["belay_rollout_phase"] == 0
    assert page() == {}


def test_the_guide_names_each() -> None:
    guide = (Path(__file__).parents[3] / "docs/guides/operate.md").read_text()
    assert [gauge.name for gauge in GAUGES if f"`{gauge.name}`" not in guide] == []
