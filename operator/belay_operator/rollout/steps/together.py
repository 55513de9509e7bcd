"""`together`: wait until the candidates of other rollouts are as far.

    at rest                  not waited for: only this service changes
    at its step, or past it  met
    anything else            waited for, until the timeout
    taken back               what `onRollback` says

That all have come is recorded, for what keeps the candidate here may last, and the others go on meanwhile. A meeting
is no transaction: both see the other come, and go on by themselves. Who is past one is not called back, so the last is
best placed where nothing can fail any more that did not fail before.
"""

from collections.abc import Iterator
from datetime import datetime

from belay_api.reasons import RolloutReason
from belay_api.rollout.steps import Step
from belay_api.rollout.steps.approve import OnTimeout
from belay_api.rollout.steps.together import OnRollback
from belay_api.units import format_instant
from belay_operator.rollout.move import Move, changed, instant
from belay_operator.rollout.no_evidence import OTHER_TAKEN_BACK
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.peers import KIND as NAME
from belay_operator.rollout.peers import Peer, meetings
from belay_operator.rollout.steps.step import Failure, StepKind, over_at
from belay_operator.rollout.wait import Wait

NOT_TOGETHER = "NotTogether"


class Together(StepKind):
    """The StepKind."""

    name = NAME
    announced = False

    def title(self, step: Step) -> str:
        """Return the step with whom it waits for."""
        return f"{self.name} with {', '.join(step.together.with_)}" if step.together is not None else self.name

    def bars(self, step: Step, observed: Observed) -> Wait | None:
        """Wait while another's candidate is taken back: ours would get traffic, and be taken back as well."""
        told = _told_of_a_rollback(step, observed)
        if told is None:
            return None
        words = (
            f"no candidate is taken up: {told}, and the two change together. It is once that has another one, or asks "
            "for what it serves; or write onRollback: Hold"
        )
        return Wait(RolloutReason.WAITING_FOR_OTHERS, words)

    def act(self, step: Step, observed: Observed, now: datetime) -> Move | None:
        """Record that all have come."""
        current = observed.status.step
        if step.together is None or current is None or current.met_at is not None or observed.rolling_back:
            return None
        if next(_never(step, observed), None) is not None or next(_missing(step, observed), None) is not None:
            return None
        return Move(changed(observed.status, step=current.model_copy(update={"met_at": instant(now)})))

    def wait(self, step: Step, observed: Observed, now: datetime) -> Wait | None:
        """Wait for those who are not as far; for people, where they never will be as things are."""
        if step.together is None or _have_met(observed):
            return None
        if wrong := next(_never(step, observed), None):
            return Wait(RolloutReason.WAITING_FOR_OTHERS, f"together: {wrong}; or send skip or abort", stalled=True)
        missing = list(_missing(step, observed))
        if not missing:
            return None
        message, due = f"waiting for {', '.join(missing)}", _due(step, observed)
        if due is None:
            return Wait(RolloutReason.WAITING_FOR_OTHERS, message)
        if now >= due:
            return Wait(RolloutReason.WAITING_FOR_OTHERS, f"{message}, though it was to be by {format_instant(due)}")
        return Wait(RolloutReason.WAITING_FOR_OTHERS, f"{message} until {format_instant(due)}", due - now)

    def deadline(self, step: Step, observed: Observed) -> datetime | None:
        """Return when the candidate is taken back."""
        holds = step.together is None or step.together.on_timeout is OnTimeout.HOLD
        return None if holds or _have_met(observed) else _due(step, observed)

    def failure(self, step: Step, observed: Observed, now: datetime) -> Failure | None:
        """Return that another was taken back, or did not come in time."""
        if step.together is None or _have_met(observed):
            return None
        if (told := _told_of_a_rollback(step, observed)) is not None:
            return Failure(OTHER_TAKEN_BACK, f"together: {told}")
        due, missing = self.deadline(step, observed), list(_missing(step, observed))
        if due is None or now < due or not missing:
            return None
        return Failure(NOT_TOGETHER, f"together: {', '.join(missing)} did not come by {format_instant(due)}")


def _never(step: Step, observed: Observed) -> Iterator[str]:
    """Why somebody will not come as the steps are now."""
    me = observed.owner.name
    for name in step.together.with_ if step.together is not None else ():
        peer = observed.peers.get(name)
        if name == me:
            yield f"it names {me} itself: take it out of `with`"
        elif peer is None:
            yield f"there is no RLRollout {name} in this namespace: create it, or take it out of `with`"
        elif not peer.at_rest and peer.taken_back is None and peer.meetings.get(me, 0) < _number(name, observed):
            steps = "no step" if not peer.meetings.get(me) else "fewer steps"
            yield f"{name} has {steps} together with {me}: add one there, or take {name} out of `with`"
        elif told := _kept_out(step, name, peer, observed):
            yield told


def _kept_out(step: Step, name: str, peer: Peer, observed: Observed) -> str | None:
    """Why another gets no place in our group as long as we have ours; None: it does not wait for one, or gets it."""
    group, needed = observed.spec.group, 1 + len(step.together.with_ if step.together is not None else ())
    if group is None or peer.queues_in != group.name or group.limit >= needed:
        return None
    return (
        f"{name} waits for a place in the group {group.name}, of which {group.limit} may have a candidate at once, and "
        f"{needed} meet here: raise group.limit, or take one of them out of the group"
    )


def _missing(step: Step, observed: Observed) -> Iterator[str]:
    """Who is not as far, with why where there is more to say."""
    for name in step.together.with_ if step.together is not None else ():
        peer = observed.peers.get(name)
        if peer is None or not _has_come(peer, name, observed):
            yield f"{name}{_why(peer, observed)}"


def _why(peer: Peer | None, observed: Observed) -> str:
    """What keeps another, where there is more to say than that it has not come."""
    group = observed.spec.group
    if peer is not None and peer.taken_back is not None:
        return f", which has taken {peer.taken_back} back"
    if peer is not None and group is not None and peer.queues_in == group.name:
        return f", which waits for a place in the group {group.name}"
    return ""


def _told_of_a_rollback(step: Step, observed: Observed) -> str | None:
    """Who has taken its candidate back, where ours is to go with it; None: nobody, or ours is to stay."""
    if step.together is None or step.together.on_rollback is OnRollback.HOLD:
        return None
    found = ((name, observed.peers.get(name)) for name in step.together.with_)
    return next((f"{name} has taken {it.taken_back} back" for name, it in found if it and it.taken_back), None)


def _have_met(observed: Observed) -> bool:
    return observed.status.step is not None and observed.status.step.met_at is not None


def _has_come(peer: Peer, name: str, observed: Observed) -> bool:
    return peer.at_rest or peer.reached.get(observed.owner.name, 0) >= _number(name, observed)


def _number(name: str, observed: Observed) -> int:
    """The how manieth meeting with that rollout this is, from 1 on."""
    current = observed.status.step
    return meetings(observed.spec.steps[: current.index + 1], name) if current is not None else 0


def _due(step: Step, observed: Observed) -> datetime | None:
    """When patience ends; None: it has no end."""
    return None if step.together is None else over_at(observed, step.together.timeout)


KIND = Together()
