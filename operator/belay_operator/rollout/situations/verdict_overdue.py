"""A verdict has stayed away for longer than the spec allows, and what the spec says of that is done.

The candidate is taken back, or the step gets more time, or the rollout goes on without that metric: the last two are
recorded with the verdict and told, each once in a step. Hold is a gate (`gates.measurements_missing`).
"""

from datetime import datetime

from belay_api.reasons import EventReason
from belay_api.rollout.outcome import Action
from belay_api.rollout.verdicts import FollowedStatus
from belay_api.units import format_duration
from belay_operator.rollout import withdrawal
from belay_operator.rollout.move import Move, changed, instant, note
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.patience import Absence, absences

TOLD = {Action.EXTEND: EventReason.VERDICT_EXTENDED, Action.CONTINUE: EventReason.WENT_ON_WITHOUT}


def act(observed: Observed, now: datetime) -> Move | None:
    """Withdraw the candidate; else record the first that is done otherwise."""
    if observed.rolling_back:
        return None
    due = [absence for absence in absences(observed) if now >= absence.due]
    if withdrawal.somebody_else_answers(observed):
        for absence in due:
            if absence.action is Action.ROLLBACK:
                return withdrawal.begin(
                    observed, now, reason=str(absence.verdict), message=absence.sentence, metric=absence.metric
                )
    first = next((absence for absence in due if absence.action in TOLD), None)
    return None if first is None else _record(first, observed, now)


def _record(absence: Absence, observed: Observed, now: datetime) -> Move:
    followed = FollowedStatus(
        verdict=absence.verdict,
        action=absence.action,
        times=absence.extended + 1,
        step=absence.step,
        at=instant(now),
    )
    verdicts = [
        verdict.model_copy(update={"followed": followed}) if verdict.metric == absence.metric else verdict
        for verdict in observed.verdicts or ()
    ]
    event = note(TOLD[absence.action], f"{absence.sentence}: {_words(absence, observed)}", warning=True)
    return Move(changed(observed.status, verdicts=verdicts), (event,))


def _words(absence: Absence, observed: Observed) -> str:
    if absence.action is Action.CONTINUE:
        return "the rollout goes on without a Pass of it, because the metric says Continue"
    metric = next(metric for metric in observed.spec.analysis.metrics if metric.name == absence.metric)
    rule = metric.on_not_enough_samples
    by = format_duration(rule.by) if rule is not None and rule.by is not None else ""
    return f"the step gets {by} more, because the metric says Extend"
