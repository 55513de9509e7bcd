"""Walk through the steps: record what the one under way asks for, and begin the next when it is over.

After the last step of the spec come an implicit `setWeight: 100` and `bake`; `promote` replaces both. Steps are read
from the spec by index, so an edit holds from the step under way on: one that became another kind begins anew. An edit
of what is passed already would leave the index pointing at some other place, beyond an `analyze` perhaps, so the steps
begin again at the first. Baking and promoting are past all of them.
"""

from datetime import datetime

from belay_api.reasons import EventReason
from belay_api.rollout import RLRolloutSpec, Step, StepStatus
from belay_operator.children import content_hash
from belay_operator.rollout.move import Move, Wait, changed, instant, note
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.patience import holding
from belay_operator.rollout.promote import promote
from belay_operator.rollout.steps.analyze import Analyze
from belay_operator.rollout.steps.bake import ALL, Bake, Promote
from belay_operator.rollout.steps.pause import Pause
from belay_operator.rollout.steps.set_weight import SetWeight
from belay_operator.rollout.steps.step import StepKind

KINDS: dict[str, StepKind] = {
    "setWeight": SetWeight(),
    "pause": Pause(),
    "analyze": Analyze(),
    "bake": Bake(),
    "promote": Promote(),
}
FINAL = frozenset({"bake", "promote"})


def progress(observed: Observed, now: datetime) -> Move | None:
    """Return what the step under way still has to record, or the beginning of the next."""
    current = observed.status.step
    if current is None or observed.status.candidate is None or observed.rolling_back:
        return None
    if observed.unfit is not None and current.kind != "promote":
        return None  # who promotes is past all that such a spec can spoil
    if current.kind not in FINAL:
        if current.passed_hash != passed_hash(observed.spec, current.index):
            return _again(observed, now)
        if current.kind != _at(observed.spec, current.index).kind:
            return enter(observed, now, current.index)
    move = KINDS[current.kind].act(_at(observed.spec, current.index), observed, now)
    if move is not None:
        return move
    return None if waiting(observed, now) is not None else _leave(observed, now, current)


def _leave(observed: Observed, now: datetime, current: StepStatus) -> Move:
    """What follows a step that is over."""
    if current.kind in FINAL:
        return promote(observed, now)
    last = current.index >= len(observed.spec.steps)
    following = enter(observed, now, len(observed.spec.steps), kind="bake") if last else _next(observed, now, current)
    if current.kind != "analyze":
        return following
    passed = ", ".join(metric.name for metric in observed.spec.analysis.metrics)
    told = note(EventReason.VERDICT_PASSED, f"step {current.index + 1}: Pass of {passed}")
    return Move(following.status, (told, *following.events))


def waiting(observed: Observed, now: datetime) -> Wait | None:
    """Return what the step under way waits for; None: it is over."""
    current = observed.status.step
    if current is None:
        return None
    own = KINDS[current.kind].wait(_at(observed.spec, current.index), observed, now)
    # What must be known to go on is missing: that is told before what the step itself waits for.
    return holding(observed, now) or own


def enter(observed: Observed, now: datetime, index: int, *, kind: str | None = None) -> Move:
    """Return the beginning of a step; `kind` names one that the spec does not list."""
    kind = kind or _at(observed.spec, index).kind
    passed = passed_hash(observed.spec, index)
    step = StepStatus(index=index, kind=kind, started_at=instant(now), passed_hash=passed)
    status = changed(observed.status, step=step)
    if kind == "promote":
        return Move(status)  # told once, by its end
    return Move(status, (note(EventReason.STEP_STARTED, _title(observed, index, kind)),))


def _next(observed: Observed, now: datetime, current: StepStatus) -> Move:
    """The next step; the implicit `setWeight: 100` is left out where the weight is there already."""
    index, weight = current.index + 1, observed.status.weight
    if index == len(observed.spec.steps) and weight is not None and weight.desired == weight.applied == 100:
        return enter(observed, now, index, kind="bake")
    return enter(observed, now, index)


def _at(spec: RLRolloutSpec, index: int) -> Step:
    return spec.steps[index] if index < len(spec.steps) else ALL


def _again(observed: Observed, now: datetime) -> Move:
    first = enter(observed, now, 0)
    told = note(EventReason.STEPS_CHANGED, "a step already passed was changed: the steps begin again at the first")
    return Move(first.status, (told, *first.events))


def passed_hash(spec: RLRolloutSpec, index: int) -> str | None:
    """Return what tells the steps before `index` from other ones; None where there are none."""
    return content_hash([step.dump() for step in spec.steps[:index]]) if index else None


def _title(observed: Observed, index: int, kind: str) -> str:
    candidate = observed.status.candidate.policy if observed.status.candidate else ""
    step = _at(observed.spec, index)
    what = f"setWeight {step.set_weight}" if kind == "setWeight" else kind
    place = f"step {index + 1} of {len(observed.spec.steps)}" if index < len(observed.spec.steps) else "after the steps"
    return f"{candidate}, {place}: {what}"
