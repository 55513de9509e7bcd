"""What the statuses of rollouts say, as Prometheus gauges: for alerts and pictures, never for a decision."""

from collections.abc import Iterable, Mapping
from typing import Any

from belay_api.rollout.status import VERSION_ROLES
from belay_api.units import parse_instant
from belay_operator.engine.gauge import Gauge, Sample, Status

_PROOFS = {"weightZero": "weightZeroAt", "drained": "drainedAt"}


def _phase(status: Status) -> list[Sample]:
    return [((status["phase"],), 1.0)] if "phase" in status else []


def _ready(status: Status) -> list[Sample]:
    found = [one for one in status.get("conditions") or () if one["type"] == "Ready"]
    return [((one["reason"],), float(one["status"] == "True")) for one in found]


def _version(status: Status) -> list[Sample]:
    named = [(role, status[role]["policy"]) for role in VERSION_ROLES if status.get(role)]
    return [(one, 1.0) for one in (*named, *(("arm", arm["policy"]) for arm in status.get("arms") or ()))]


def _weight(status: Status) -> list[Sample]:
    return _numbers(status.get("weight") or {}, ("desired", "applied", "observed"))


def _step(status: Status) -> list[Sample]:
    step = status.get("step") or {}
    return [((step["kind"],), parse_instant(step["startedAt"]).timestamp())] if "startedAt" in step else []


def _verdict(status: Status) -> list[Sample]:
    return [((one["metric"], one["verdict"]), 1.0) for one in status.get("verdicts") or ()]


def _difference(status: Status) -> list[Sample]:
    found: list[Sample] = []
    for one in status.get("verdicts") or ():
        low, high = one.get("interval") or (None, None)
        told = {"estimate": one.get("difference"), "low": low, "high": high}
        told |= {of: one.get(of) for of in ("failBelow", "passAbove")}
        found += _numbers(told, told, one["metric"])
    return found


def _regret(status: Status) -> list[Sample]:
    lost = status.get("regret")
    return [] if lost is None else _numbers(lost, ("estimate", "low", "high"), lost["metric"])


def _rollback(status: Status) -> list[Sample]:
    rollback = status.get("rollback") or {}
    return [
        ((until,), (parse_instant(rollback[field]) - parse_instant(rollback["decidedAt"])).total_seconds())
        for until, field in _PROOFS.items()
        if field in rollback
    ]


def _rejected(status: Status) -> list[Sample]:
    return [((), float(len(status.get("rejectedDigests") or ())))]


def _numbers(told: Mapping[str, Any], fields: Iterable[str], *labels: str) -> list[Sample]:
    return [((*labels, of), float(told[of])) for of in fields if told.get(of) is not None]


GAUGES = (
    Gauge("belay_rollout_phase", "1 at the phase that the rollout is in.", ("phase",), _phase),
    Gauge(
        "belay_rollout_ready", "1 while it is as its spec wants it, else 0; the reason says why.", ("reason",), _ready
    ),
    Gauge("belay_rollout_version", "1 for each version with pods, by its role.", ("role", "policy"), _version),
    Gauge(
        "belay_rollout_weight_percent",
        "The candidate's share of new episodes: desired, applied, observed; while only the matched get it, of theirs.",
        ("of",),
        _weight,
    ),
    Gauge("belay_rollout_step_start_time_seconds", "When the step under way began, since the epoch.", ("step",), _step),
    Gauge("belay_rollout_verdict", "1 at the verdict that the metric has.", ("metric", "verdict"), _verdict),
    Gauge(
        "belay_rollout_difference",
        "Candidate minus stable in the outcome's unit: estimate, low, high; below failBelow the metric fails, above "
        "passAbove it passes.",
        ("metric", "of"),
        _difference,
    ),
    Gauge(
        "belay_rollout_regret",
        "Lost by the candidate, in the outcome's unit: estimate, low, high.",
        ("metric", "of"),
        _regret,
    ),
    Gauge(
        "belay_rollout_rollback_seconds",
        "Of the last rollback, from its decision until the route has no weight and until no request is seen.",
        ("until",),
        _rollback,
    ),
    Gauge("belay_rollout_rejected_digests", "Artifacts that were rolled back and are not tried again.", (), _rejected),
)
"""All of them, in the order of the page."""
