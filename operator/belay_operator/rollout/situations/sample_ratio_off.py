"""Episodes do not begin at the candidate in the share that its weights ask for: it is told, and no comparison passes.

It stands until what began since then speaks as much for the weights as what came before spoke against them: at the edge
of an alarm it would come and go. It takes nothing back: what is missing on one side is no evidence that the side is
worse, and Fail has a test of its own for what is missing of the episodes that began.
"""

import math
from datetime import datetime

from belay_api.conditions import clear_condition, get_condition, set_condition
from belay_api.reasons import EventReason, RolloutReason
from belay_operator.rollout.analysis.sample_ratio import ALARM, Ratio
from belay_operator.rollout.analysis.starts import Sides, changes_of, found
from belay_operator.rollout.move import Move, changed, note
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.verdicts import SAMPLE_RATIO, is_judged


def act(observed: Observed, now: datetime) -> Move | None:
    """Set the condition at the alarm, and take it away when the evidence is gone or nobody is judged."""
    conditions = observed.status.conditions
    stands = get_condition(conditions, SAMPLE_RATIO) is not None
    ratio = _ratio(observed)
    if stands:
        over = ratio.log_money < 0 if ratio is not None else not is_judged(observed)
        return Move(changed(observed.status, conditions=clear_condition(conditions, SAMPLE_RATIO))) if over else None
    if ratio is None or ratio.log_money < math.log(ALARM):
        return None
    message = _message(ratio)
    told = set_condition(
        conditions,
        SAMPLE_RATIO,
        True,
        reason=RolloutReason.SAMPLE_RATIO_MISMATCH,
        message=message,
        generation=observed.owner.generation,
        now=now,
    )
    event = note(EventReason.SAMPLE_RATIO_MISMATCH, message, warning=True)
    return Move(changed(observed.status, conditions=told), (event,))


def _ratio(observed: Observed) -> Ratio | None:
    """What the newest answer says; None: nothing, or nobody is judged. Every outcome tells of the same starts."""
    candidate, stable = observed.status.candidate, observed.status.stable
    if candidate is None or stable is None or not is_judged(observed):
        return None
    answers = [
        (reading.windows.at, name)
        for name, reading in observed.readings.items()
        if reading.windows is not None and reading.problem is None
    ]
    if not answers:
        return None
    sides = Sides(candidate.policy, stable.policy, changes_of(observed.status))
    return found(sides, observed.readings[max(answers)[1]])


def _message(ratio: Ratio) -> str:
    """The numbers of the alarm: they stay as they are while it stands."""
    return (
        f"{ratio.seen:.2%} of {ratio.starts} episodes began at the candidate, where its weights ask for "
        f"{ratio.asked:.2%}: starts of one side get lost, or do not go where the weights send them, and what is left "
        "of the two sides is no fair comparison. Look for clients that crash or ask again at one version, for a proxy "
        "or session affinity in front of the route that pins clients, and for serving pods whose starts do not reach "
        "the logbook. No comparison passes until it is mended"
    )
