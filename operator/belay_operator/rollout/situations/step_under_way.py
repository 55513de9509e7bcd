"""A step is under way: what it asks for is recorded, and the next begins when it is over and the gates let through.

An edit of the step under way holds at once; one that became another kind begins anew. An edit of what is passed already
begins all steps again (see `stepping`). Steps that end in the promotion are past all of them.
"""

from dataclasses import replace
from datetime import datetime

from belay_api.reasons import EventReason, RolloutReason
from belay_api.rollout.status import StepStatus
from belay_operator.engine.plan import Note
from belay_operator.rollout import segment
from belay_operator.rollout.followed import left_out
from belay_operator.rollout.gates import LEAVING_A_STEP, MORE_TRAFFIC, episodes_outlast_grace, first_closed
from belay_operator.rollout.move import Move, note
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.promotion import promote
from belay_operator.rollout.stepping import enter_from, following_step, kind_under_way, passed_hash, step_at
from belay_operator.rollout.steps.step import StepKind
from belay_operator.rollout.wait import Wait

UNEVENTFUL = (RolloutReason.ANALYZING, RolloutReason.PAUSED, RolloutReason.BAKING)
"""Reasons to wait that say nothing is wrong."""


def act(observed: Observed, now: datetime) -> Move | None:
    """Return what the step still has to record, or the beginning of the next."""
    current, kind = observed.status.step, kind_under_way(observed)
    if current is None or kind is None or observed.status.candidate is None or observed.rolling_back:
        return None
    if observed.unfit is not None and kind.needs_fit_spec:
        return None
    if not kind.ends_in_promotion:
        if current.passed_hash != passed_hash(observed.spec, current.index):
            return _begin_again(observed, now)
        if current.kind != step_at(observed.spec, current.index).kind:
            return enter_from(observed, now, current.index)
    move = kind.act(step_at(observed.spec, current.index), observed, now)
    if move is not None and (first_closed(MORE_TRAFFIC, observed, now) is None or not _raises(observed, move)):
        return move
    return None if _waits_for(observed, kind, now) is not None else _leave(observed, now, current, kind)


def explain(observed: Observed, now: datetime) -> Wait | None:
    """Tell what the step waits for; what keeps every comparison from deciding is told in its place."""
    step, kind = observed.status.step, kind_under_way(observed)
    if step is None or observed.status.candidate is None:
        return None
    if kind is None:
        message = f"the step {step.kind} is of a newer version of Belay, which must carry it out"
        return Wait(RolloutReason.INVALID_SPEC, message, stalled=True)
    wait = _waits_for(observed, kind, now) or Wait(RolloutReason.PROGRESSING, "the step is over")
    blind = episodes_outlast_grace(observed, now)
    if blind is None or wait.reason not in UNEVENTFUL:
        return wait
    return replace(wait, reason=blind.reason, message=blind.message)


def _waits_for(observed: Observed, kind: StepKind, now: datetime) -> Wait | None:
    """What keeps the step from being left; None: it is over. A gate is told before what the step itself waits for.

    What bars more traffic is told where more traffic is due; at any other time the step has its say.
    """
    step = observed.status.step
    asked = step_at(observed.spec, step.index if step else 0)
    own, barred = kind.wait(asked, observed, now), first_closed(MORE_TRAFFIC, observed, now)
    if barred is not None:
        raised = kind.act(asked, observed, now)
        due = raised is not None and _raises(observed, raised)
        barred = barred if due or (own is None and _gives_more(observed, kind, now)) else None
    closed = first_closed(LEAVING_A_STEP, observed, now)
    return closed or barred or own or episodes_outlast_grace(observed, now)


def _gives_more(observed: Observed, kind: StepKind, now: datetime) -> bool:
    """Whether what follows the step is the promotion, or a step that raises the weight at once."""
    current = observed.status.step
    if current is None or kind.ends_in_promotion:
        return kind.ends_in_promotion
    following = observed.after(following_step(observed, now, current).status)
    step, next_kind = following.status.step, kind_under_way(following)
    if step is None or next_kind is None:
        return False
    move = next_kind.act(step_at(following.spec, step.index), following, now)
    return move is not None and _raises(following, move)


def _raises(observed: Observed, move: Move) -> bool:
    """Whether the candidate gets more by the move."""
    return segment.raises(observed.status.weight, move.status.weight)


def _leave(observed: Observed, now: datetime, current: StepStatus, kind: StepKind) -> Move:
    """What follows a step that is over."""
    if kind.ends_in_promotion:
        return promote(observed, now, judged=kind.judged)
    following = following_step(observed, now, current)
    if not kind.asks_for_pass:
        return following
    return Move(following.status, (_passed(observed, current), *following.events))


def _passed(observed: Observed, current: StepStatus) -> Note:
    """What the step was left by: a metric that it goes on without is told as one that has not passed."""
    without = left_out(observed)
    passed = ", ".join(metric.name for metric in observed.spec.analysis.deciding if metric.name not in without)
    missing = ", ".join(f"{name} ({verdict.verdict})" for name, verdict in without.items())
    words = [f"Pass of {passed}"] if passed else []
    words += [f"without Pass of {missing}"] if missing else []
    reason = EventReason.VERDICT_PASSED if passed else EventReason.WENT_ON_WITHOUT
    return note(reason, f"step {current.index + 1}: {', '.join(words)}", warning=bool(missing))


def _begin_again(observed: Observed, now: datetime) -> Move:
    first = enter_from(observed, now, 0)
    event = note(EventReason.STEPS_CHANGED, "a step already passed was changed: the steps begin again at the first")
    return Move(first.status, (event, *first.events))
