"""The stable version is lost: neither its RLPolicy nor pods of it exist any more.

It happens only where somebody deletes both, for the rollout is a second owner of what serves. Then traffic goes to
whoever answers (`route`): the candidate, or the version before stable while that is warm. Nothing is withdrawn to a
version that is lost, and no step goes on, for there is nothing to compare with. People are told at once; what ends it
is the policy made again as it was, or the command promote.
"""

from datetime import datetime

from belay_api.reasons import EventReason, RolloutReason
from belay_operator.rollout import route
from belay_operator.rollout.move import Move, changed, instant, note
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.stepping import kind_under_way
from belay_operator.rollout.wait import Wait


def act(observed: Observed, now: datetime) -> Move | None:
    """Record when it was lost, and that it is back."""
    stable = observed.status.stable
    if stable is None or observed.stable_lost == (stable.lost_at is not None):
        return None
    lost = observed.stable_lost
    recorded = stable.model_copy(update={"lost_at": instant(now) if lost else None})
    wait = explain(observed, now)
    words = wait.message if wait else f"{stable.policy} is lost"
    events = (note(EventReason.STABLE_LOST, words, warning=True),) if lost else ()
    return Move(changed(observed.status, stable=recorded), events)


def explain(observed: Observed, now: datetime) -> Wait | None:
    """Tell who answers instead, and what to do."""
    stable, candidate = observed.status.stable, observed.status.candidate
    if stable is None or not observed.stable_lost:
        return None
    kind = kind_under_way(observed)
    if kind is not None and not kind.judged:
        return None  # a person has promoted the candidate: the end of that is told
    there = route.intent(observed, now)
    answering = observed.policies.get(there.shares[0][0]) if there else None
    lost = f"{stable.policy}, which was stable, is lost: its RLPolicy and its pods were deleted"
    who = f"{answering.name} answers instead" if answering and answering.ready_replicas > 0 else "nobody answers"
    promote = f", or send promote to make {candidate.policy} stable" if candidate is not None else ""
    other = "" if candidate is not None else ", or name another policy"
    message = f"{lost}; {who}. Create RLPolicy {stable.policy} again as it was{promote}{other}"
    return Wait(RolloutReason.STABLE_LOST, message, stalled=True)
