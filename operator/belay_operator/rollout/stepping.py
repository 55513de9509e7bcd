"""Where a rollout stands among its steps, and how it enters one.

After the last step of the spec come an implicit `setWeight: 100` and `bake`. Steps are read from the spec by index.
`passed_hash` tells the steps that are passed from other ones: an edit of those would leave the index pointing at some
other place, beyond an `analyze` perhaps.
"""

from datetime import datetime

from belay_api.content import content_hash
from belay_api.reasons import EventReason
from belay_api.rollout.spec import RLRolloutSpec
from belay_api.rollout.status import RLRolloutStatus, StepStatus
from belay_api.rollout.steps import Step
from belay_operator.rollout.move import Move, changed, instant, note
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.steps import KINDS
from belay_operator.rollout.steps.bake import Bake
from belay_operator.rollout.steps.first import First
from belay_operator.rollout.steps.step import StepKind

ALL = Step(set_weight=100)


def step_at(spec: RLRolloutSpec, index: int) -> Step:
    """Return the step of that index; beyond the last, the one that gives the candidate all traffic."""
    return spec.steps[index] if index < len(spec.steps) else ALL


def kind_under_way(observed: Observed) -> StepKind | None:
    """Return the kind of the step under way; None: there is none, or a newer operator recorded it."""
    step = observed.status.step
    return None if step is None else KINDS.get(step.kind)


def kept_share(spec: RLRolloutSpec, status: RLRolloutStatus, wanted: str) -> float | None:
    """Return the percent that a winner keeps when it becomes the candidate, until a step gives it another.

    None: it is not on the route as the winner, or its steps begin off the route: with a `shadow`, or some users first.
    Nor does it keep its users: it won by them, and a trial asks others.
    """
    if spec.traffic.by_user:
        return None
    found = status.experiment
    arm = next((one for one in status.arms if one.policy == wanted and one.on_route), None)
    if arm is None or found is None or found.winner != wanted:
        return None
    sharing = (KINDS[step.kind].shares for step in spec.steps)
    return float(arm.weight) if next((shares for shares in sharing if shares is not None), True) else None


def enter(observed: Observed, now: datetime, index: int, kind: StepKind | None = None) -> Move:
    """Return the beginning of a step; `kind`: one that the spec does not list."""
    step = step_at(observed.spec, index)
    kind = kind or KINDS[step.kind]
    recorded = StepStatus(
        index=index, kind=kind.name, started_at=instant(now), passed_hash=passed_hash(observed.spec, index)
    )
    status = changed(observed.status, step=recorded)
    if not kind.announced:
        return Move(status)
    candidate = observed.status.candidate.policy if observed.status.candidate else ""
    place = f"step {index + 1} of {len(observed.spec.steps)}" if index < len(observed.spec.steps) else "after the steps"
    return Move(status, (note(EventReason.STEP_STARTED, f"{candidate}, {place}: {kind.title(step)}"),))


def following_step(observed: Observed, now: datetime, current: StepStatus) -> Move:
    """The next step of the spec, all traffic after the last, then the bake; all traffic is not given twice.

    An approval goes along until a verdict is asked for: who gave it had not seen that one.
    """
    index, last, weight = current.index + 1, len(observed.spec.steps), observed.status.weight
    has_all = weight is not None and weight.of_everybody == weight.applied == 100
    if index > last or (index == last and has_all):
        move = enter(observed, now, last, KINDS[Bake.name])
    else:
        move = enter_from(observed, now, index)
    step = move.status.step
    if step is None or KINDS[step.kind].asks_for_pass:
        return move
    return Move(changed(move.status, step=step.model_copy(update={"approval": current.approval})), move.events)


def enter_from(observed: Observed, now: datetime, index: int) -> Move:
    """Return the beginning of the step of that index; for the first version of a rollout, of the next that it takes."""
    steps = observed.spec.steps
    if observed.status.stable is not None:
        return enter(observed, now, index)
    taken = (place for place in range(index, len(steps)) if KINDS[steps[place].kind].of_first)
    place = next(taken, len(steps))
    entered = enter(observed, now, place, KINDS[First.name] if place == len(steps) else None)
    passed_by = {step.kind: KINDS[step.kind].spared for step in steps[index:place]}
    told = tuple(note(EventReason.STEP_SPARED, f"{kind}: {words}") for kind, words in passed_by.items() if words)
    return Move(entered.status, (*told, *entered.events))


def passed_hash(spec: RLRolloutSpec, index: int) -> str | None:
    """Return what tells the steps before `index` from other ones; None where there are none."""
    return content_hash([step.dump() for step in spec.steps[:index]]) if index else None
