"""`pause`, `resume`, `skip`: a person holds a candidate at its step, lets go of it, or ends the step before time."""

from datetime import datetime

from belay_api.reasons import EventReason, Verdict
from belay_api.rollout.status import MAX_SKIPPED, PauseStatus, SkippedStep, StepStatus
from belay_operator.rollout.commands.command import Refusal
from belay_operator.rollout.gates import nothing_to_compare_with
from belay_operator.rollout.move import Move, changed, instant, note
from belay_operator.rollout.observed import Command, Observed
from belay_operator.rollout.stepping import following_step, kind_under_way, step_at
from belay_operator.rollout.steps.step import StepKind


def pause(command: Command, observed: Observed, now: datetime) -> Move | Refusal:
    """Hold the candidate where it is. It goes on being judged, and can be taken back."""
    status = observed.status
    if status.candidate is None:
        return "there is no candidate to hold; what must not begin by itself is what spec.windows are for"
    if observed.rolling_back:
        return "the candidate is being rolled back, which is not held up"
    if status.paused is not None:
        return f"{status.candidate.policy} is held already, by pause@{status.paused.command}"
    kind = kind_under_way(observed)
    if kind is not None and not kind.judged:
        return f"{status.candidate.policy} is being promoted without watching, which is not held up; send abort"
    return Move(changed(status, paused=PauseStatus(command=command.id, at=instant(now))))


def resume(command: Command, observed: Observed, now: datetime) -> Move | Refusal:
    """Let go of a candidate that a person holds; a pause step without a duration has been asked before."""
    if observed.status.paused is None:
        return "nothing is held: there is no command pause to end, and no pause step without a duration is under way"
    return Move(changed(observed.status, paused=None))


def skip(command: Command, observed: Observed, now: datetime) -> Move | Refusal:
    """End the step under way; what follows waits for its own gates. A Fail is not skipped, and neither is the bake."""
    status, step, kind = observed.status, observed.status.step, kind_under_way(observed)
    if status.candidate is None or step is None or kind is None:
        return "no step is under way"
    if refusal := _unskippable(observed, kind, step, now):
        return refusal
    move = following_step(observed, now, step)
    skipped = SkippedStep(index=step.index, kind=step.kind, command=command.id, at=instant(now))
    words = f"{status.candidate.policy}, step {step.index + 1}: {kind.title(step_at(observed.spec, step.index))}"
    status = changed(move.status, skipped=[*status.skipped, skipped][-MAX_SKIPPED:])
    return Move(status, (note(EventReason.STEP_SKIPPED, words, warning=True), *move.events))


def _unskippable(observed: Observed, kind: StepKind, step: StepStatus, now: datetime) -> Refusal | None:
    """Why the step under way is not skipped; None: it may be."""
    if observed.rolling_back:
        return "the candidate is being rolled back, which has no steps"
    if kind.ends_in_promotion or step.index >= len(observed.spec.steps):
        return "the steps of the spec are over; send promote to make the candidate stable now"
    if observed.unfit is not None:
        return f"the steps stand still until the spec is mended: {observed.unfit}"
    if closed := nothing_to_compare_with(observed, now):
        return f"{closed.message}: create its RLPolicy again as it was, or send promote"
    verdicts = observed.verdicts or ()
    failed = next((one for one in verdicts if one.verdict is Verdict.FAIL and not one.dry_run), None)
    return None if failed is None else f"{failed.metric} has failed, which is not skipped; send promote or abort"
