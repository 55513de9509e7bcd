"""Episodes do not begin at the candidate, or at an arm of an experiment, in the share that its weights ask for: it is
told, and no comparison passes.

It stands until what began since then speaks as much for the weights as what came before spoke against them: at the edge
of an alarm it would come and go. It takes nothing back: what is missing on one side is no evidence that the side is
worse, and Fail has a test of its own for what is missing of the episodes that began.
"""

import math
from collections.abc import Mapping
from datetime import datetime

import numpy as np

from belay_api.conditions import clear_condition, get_condition
from belay_api.reasons import EventReason, RolloutReason
from belay_api.rollout.experiment import ExperimentStatus
from belay_operator.rollout import arms
from belay_operator.rollout.analysis.sample_ratio import ALARM, Ratio
from belay_operator.rollout.analysis.starts import StartSides, anchor_changes_of, changes_of, found
from belay_operator.rollout.experiment import starts_of
from belay_operator.rollout.facts import Reading
from belay_operator.rollout.move import Move, changed, note, raised
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.verdicts import SAMPLE_RATIO, is_judged


def act(observed: Observed, now: datetime) -> Move | None:
    """Set the condition at the alarm, and take it away when the evidence is gone or nobody is judged."""
    conditions = observed.status.conditions
    stands = get_condition(conditions, SAMPLE_RATIO) is not None
    ratios = _ratios(observed)
    log_money = _log_money(ratios)
    if stands:
        judging = is_judged(observed) or arms.compared(observed.status) is not None
        over = log_money < 0 if log_money is not None else not judging
        return Move(changed(observed.status, conditions=clear_condition(conditions, SAMPLE_RATIO))) if over else None
    if log_money is None or log_money < math.log(ALARM):
        return None
    units = "users" if observed.spec.traffic.by_user else "episodes"
    message = _message(*max(ratios, key=lambda one: one[1].log_money), units)
    told = raised(observed, SAMPLE_RATIO, RolloutReason.SAMPLE_RATIO_MISMATCH, message, now)
    event = note(EventReason.SAMPLE_RATIO_MISMATCH, message, warning=True)
    return Move(changed(observed.status, conditions=told), (event,))


def _ratios(observed: Observed) -> list[tuple[str, Ratio]]:
    """What the newest answer says, by the side that it is said of: of the candidate beside stable, and of the anchor
    beside both. Empty: nothing, or nobody is judged.
    """
    if observed.traffic.behind is not None:
        return []  # there a connection is what is assigned, and by pods that come and go: docs/decisions/073
    status = observed.status
    candidate, stable, anchor = status.candidate, status.stable, status.served_anchor
    if (competing := arms.compared(observed.status)) is not None:
        return _of_arms(competing, observed)
    reading = _newest(observed.readings)
    if candidate is None or stable is None or reading is None or not is_judged(observed):
        return []
    told = {side.version for side in reading.windows.versions} if reading.windows is not None else set()
    sides = [("the candidate", StartSides(candidate.policy, stable.policy, changes_of(status)))]
    # Before a trial asks for the anchor, and once it does so no more, answers leave it out: nothing is missing then.
    if anchor is not None and anchor.policy in told:
        third = StartSides(anchor.policy, stable.policy, anchor_changes_of(status), with_stable=candidate.policy)
        sides.append((f"{anchor.policy}, the version approved last,", third))
    return [(side, ratio) for side, asked in sides if (ratio := found(asked, reading)) is not None]


def _of_arms(competing: ExperimentStatus, observed: Observed) -> list[tuple[str, Ratio]]:
    """The same of each arm that takes part, beside stable. They share stable's starts; a mean asks nothing of that."""
    answers = ((arm, _newest(observed.arms.get(arm.policy, {}))) for arm in competing.arms if arm.outcome is None)
    return [
        (f"{arm.policy}, an arm of the experiment", ratio)
        for arm, reading in answers
        if reading is not None and (ratio := found(starts_of(competing, arm), reading)) is not None
    ]


def _newest(readings: Mapping[str, Reading]) -> Reading | None:
    """The reading that tells of starts first: once they are past grace, so by the shortest, and of those the newest.

    Every outcome tells of the same starts.
    """
    answers = [
        (-reading.outcome_query.grace_s if reading.outcome_query is not None else 0.0, reading.windows.at, name)
        for name, reading in readings.items()
        if reading.windows is not None and reading.problem is None
    ]
    return readings[max(answers)[2]] if answers else None


def _log_money(ratios: list[tuple[str, Ratio]]) -> float | None:
    """The mean of the money, which grows by chance as seldom as either does; None: nothing is known."""
    if not ratios:
        return None
    return float(np.logaddexp.reduce([ratio.log_money for _, ratio in ratios])) - math.log(len(ratios))


def _message(side: str, ratio: Ratio, units: str) -> str:
    """The numbers of the alarm: they stay as they are while it stands."""
    return (
        f"{ratio.seen:.2%} of {ratio.starts} {units} began at {side}, where its weights ask for "
        f"{ratio.asked:.2%}: starts of one side get lost, or do not go where the weights send them, and what is left "
        "of the two sides is no fair comparison. Look for clients that crash or ask again at one version, for a proxy "
        "or session affinity in front of the route that pins clients, and for serving pods whose starts do not reach "
        "the logbook. No comparison passes until it is mended"
    )
