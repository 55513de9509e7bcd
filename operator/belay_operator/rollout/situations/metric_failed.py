"""A metric has failed: the candidate is taken back, whatever the step, where somebody else can take over.

At once, unless the metric's `onFail` gives people time first, or leaves it to them; then it stays at its weight
(`gates.failed_and_held`), and people are told.

The first version of a rollout and one that answers in place of a lost stable version keep their traffic: bad answers
are better than none. They are not promoted, and people are told.
"""

from datetime import datetime

from belay_api.reasons import EventReason, RolloutReason
from belay_operator.rollout import withdrawal
from belay_operator.rollout.gates import failed_and_held
from belay_operator.rollout.move import Move, changed, note
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.patience import failures
from belay_operator.rollout.wait import Wait


def act(observed: Observed, now: datetime) -> Move | None:
    """Withdraw the candidate, or warn once where it must stay."""
    found = failures(observed)
    if not found:
        return None
    if withdrawal.somebody_else_answers(observed):
        over = next((one.verdict for one in found if one.due is not None and now >= one.due), None)
        if over is not None:
            message = f"{over.metric}: {over.message}"
            return withdrawal.begin(observed, now, reason="Verdict", message=message, metric=over.metric)
    step, wait, failed = observed.status.step, explain(observed, now), found[0].verdict
    if step is None or wait is None or step.failed_metric == failed.metric:
        return None
    recorded = step.model_copy(update={"failed_metric": failed.metric})
    return Move(
        changed(observed.status, step=recorded), (note(EventReason.VERDICT_FAILED, wait.message, warning=True),)
    )


def explain(observed: Observed, now: datetime) -> Wait | None:
    """Tell why a candidate that failed keeps its traffic."""
    found, candidate = failures(observed), observed.status.candidate
    if not found or candidate is None:
        return None
    if withdrawal.somebody_else_answers(observed):
        return failed_and_held(observed, now)
    failed = found[0].verdict
    message = (
        f"{candidate.policy} fails: {failed.metric}: {failed.message}. It keeps its traffic, because no other version "
        "could take over. Send promote to keep it until a better policy, named in the spec, replaces it"
    )
    return Wait(RolloutReason.VERDICT_FAILED, message, stalled=True)
