"""Requests that meet the candidate before all others do: which share is whose, and what is nobody's evidence.

    match            theirs: its weight     everybody else's: 0           compared: theirs
    setWeight below  theirs: as it was      everybody else's: the weight  compared: everybody else's
    setWeight above  everybody's: the weight, and there is no segment any more

Who sends the headers is not drawn by chance. So the two sides of a comparison are always drawn within one of the two,
and the episodes of the other are told to nobody (the route does not name the rollout to the pods).
"""

from datetime import datetime

from belay_api.rollout.status import RLRolloutStatus, SegmentRuleStatus, SegmentStatus, WeightStatus
from belay_api.rollout.steps.match import MatchStep
from belay_api.rollout.watch import WatchStatus


def alone(asked: MatchStep) -> SegmentStatus:
    """Return the segment of a step: nobody else gets the candidate yet."""
    headers = {header.name: header.value for header in asked.headers}
    return SegmentStatus(headers=headers, weight=float(asked.weight), alone=True)


def beside(weight: WeightStatus | None, wanted: float) -> SegmentStatus | None:
    """Return the segment once everybody else has `wanted` percent; None: no share is another than theirs."""
    segment = weight.segment if weight is not None else None
    if segment is None or wanted == 0 or wanted >= segment.weight:
        return None
    return segment.model_copy(update={"alone": False})


def raises(before: WeightStatus | None, after: WeightStatus | None) -> bool:
    """Whether anybody gets more of the candidate, be it those of a segment or all others."""
    if after is None:
        return False
    old = before if before is not None else WeightStatus(desired=0)
    if after.of_everybody > old.of_everybody:
        return True
    same = (old.segment and old.segment.headers) == (after.segment and after.segment.headers)
    # Who is in another segment had what everybody had; with none any more, whoever was in it has that now.
    had = old.of_segment if same or after.segment is None else old.of_everybody
    return after.of_segment > had


def rule(status: RLRolloutStatus, segment: SegmentStatus | None, pinned: list[str]) -> SegmentRuleStatus | None:
    """Return the place of the segment's rules: the one they have, with other headers perhaps, or behind all others."""
    if segment is None:
        return status.segment_rule
    after = len(pinned) if status.segment_rule is None else status.segment_rule.after
    return SegmentRuleStatus(headers=segment.headers, after=after)


def is_aside(status: RLRolloutStatus) -> bool:
    """Whether the episodes of some users are told to nobody now."""
    return status.weight is not None and status.weight.segment is not None


def was_aside(status: RLRolloutStatus) -> bool:
    """Whether they were at some time of this trial."""
    return any(accepted.segment for accepted in status.weight_history)


def watched_from(watch: list[WatchStatus], at: datetime) -> list[WatchStatus]:
    """Return the records of stable that count no window of before: its episodes were those of some users only."""
    return [one.model_copy(update={"counted_until": max(one.counted_until, at)}) for one in watch]
