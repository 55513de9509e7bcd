"""`shadow`: requests that stable answers are mirrored to the candidate, whose answers nobody hears, and compared.

    Pass               the next step, once `duration` is over
    Fail               the candidate is taken back, and its digest rejected; at once
    NotEnoughSamples   what the step says, once `duration` is over: Hold, Continue or Rollback
    NoData             likewise
    ProviderDown       held: a logbook that does not answer says nothing of the candidate

The mirror is part of the route while `status.step.mirror` stands. So it ends with the step, with a skip and with the
intent of a rollback, by the same write that brings what follows. What the candidate does meanwhile is in no metric, and
starts no episode (`belay_api.shadowing`). A gateway that refuses the mirror may serve nothing at all of such a route:
then the mirror is taken off at once, and people are told.
"""

from datetime import datetime, timedelta

from belay_api.reasons import EventReason, RolloutReason, Verdict
from belay_api.rollout.status import MirrorStatus, ShadowResult
from belay_api.rollout.steps import Step
from belay_api.rollout.steps.shadow import ShadowStep
from belay_api.rollout.steps.undecided import UndecidedAction
from belay_api.shadowing import step_of
from belay_api.units import format_instant
from belay_operator.engine.plan import Note
from belay_operator.rollout import route, shadowed
from belay_operator.rollout.capacity import has_capacity, short_of_pods
from belay_operator.rollout.move import Move, changed, instant, note
from belay_operator.rollout.observed import Command, Observed
from belay_operator.rollout.steps.set_weight import record_weight, weight_trouble
from belay_operator.rollout.steps.step import Failure, StepKind
from belay_operator.rollout.traffic.router import Acceptance
from belay_operator.rollout.wait import Wait

WRITE_EVERY = timedelta(seconds=10)  # running numbers


class Shadow(StepKind):
    """The StepKind."""

    name = "shadow"
    shares = False
    spared = "it is the first version, so there is nobody whose shadow it could be"

    def title(self, step: Step) -> str:
        """Return the step with the part of requests that is mirrored."""
        return f"{self.name} of {step.shadow.percent}% of requests" if step.shadow is not None else self.name

    def act(self, step: Step, observed: Observed, now: datetime) -> Move | None:
        """Record the mirror, then that the gateway has answered, then what is found."""
        status, asked, weight = observed.status, step.shadow, observed.status.weight
        if asked is None or status.step is None:
            return None
        if weight is not None and weight.desired > 0:  # steps that were edited may begin again at this one
            return record_weight(observed, 0.0)
        return _next_mirror(asked, observed, now) or self._record(step, observed)

    def wait(self, step: Step, observed: Observed, now: datetime) -> Wait | None:
        """Wait for the mirror, the duration and the verdict; then for people, where the candidate may not go on."""
        status, asked = observed.status, step.shadow
        if asked is None or status.step is None or status.candidate is None:
            return None
        before = _before_it_mirrors(observed, now)
        return before if before is not None else _while_it_mirrors(asked, observed, now)

    def failure(self, step: Step, observed: Observed, now: datetime) -> Failure | None:
        """Return what was found, where the candidate is taken back for it."""
        found = _found(observed)
        if found is None or step.shadow is None or found.verdict is None:
            return None
        if found.verdict is Verdict.FAIL:
            return Failure("Verdict", f"shadow: {_sentence(found, observed)}", metric=self.name)
        if _action(step.shadow, found) is UndecidedAction.ROLLBACK:
            return Failure(str(found.verdict), f"shadow: {_sentence(found, observed)}", metric=self.name)
        return None

    def on_command(self, command: Command, step: Step, observed: Observed, now: datetime) -> Move | str | None:
        """Mirror again on `retry`, where the gateway had refused it."""
        current = observed.status.step
        if command.action != "retry" or current is None:
            return None
        if current.mirror is None or current.mirror.refused is None:
            return "a step shadow goes on looking by itself; retry is for a mirror that the gateway has refused"
        return _mirror(observed, None)

    def _record(self, step: Step, observed: Observed) -> Move | None:
        """Record what the newest look finds: another situation at once, running numbers now and then."""
        found, before = _look(step, observed), _found(observed)
        if found is None or found == before:
            return None
        same = before is not None and (before.verdict, before.message) == (found.verdict, found.message)
        due = before is None or found.at - before.at >= WRITE_EVERY or _crosses(step, observed, before, found)
        if same and not due:
            return None
        events: tuple[Note, ...] = ()
        until = _ends(step.shadow, observed)
        if not same and (found.verdict is not None or (until is not None and found.at >= until)):
            verdict = f"{found.verdict}: " if found.verdict is not None else ""
            warning = found.verdict not in (None, Verdict.PASS)
            events = (note(EventReason.SHADOWED, f"shadow: {verdict}{_sentence(found, observed)}", warning=warning),)
        return Move(changed(observed.status, shadow=found), events)


def _next_mirror(asked: ShadowStep, observed: Observed, now: datetime) -> Move | None:
    """What is newly asked of the mirror, or newly seen of it."""
    mirror = observed.status.step.mirror if observed.status.step is not None else None
    if mirror is None:
        return _mirror(observed, MirrorStatus(percent=asked.percent)) if has_capacity(observed) else None
    if mirror.refused is None and mirror.percent != asked.percent:
        return _mirror(observed, mirror.model_copy(update={"percent": asked.percent}))
    if mirror.refused is None and (refused := _refusal(observed, now)):
        words = f"shadow: the gateway refuses to mirror requests: {refused}"
        off = _mirror(observed, mirror.model_copy(update={"refused": refused}))
        return Move(off.status, (note(EventReason.SHADOWED, words, warning=True),))
    if mirror.refused is None and mirror.since is None and route.in_force(observed, now):
        return _mirror(observed, mirror.model_copy(update={"since": instant(now)}))
    return None


def _before_it_mirrors(observed: Observed, now: datetime) -> Wait | None:
    """What keeps requests from being mirrored; None: they are."""
    status = observed.status
    if status.step is None or (mirror := status.step.mirror) is None:
        return short_of_pods(observed, "no request is mirrored")
    if status.weight is not None and (trouble := weight_trouble(observed, 0.0, now)) is not None:
        return trouble
    if mirror.refused is not None:
        message = (
            f"shadow: the gateway refuses to mirror requests ({mirror.refused}), so none is mirrored. Use a gateway "
            "that knows RequestMirror and send retry, or send skip"
        )
        return Wait(RolloutReason.HOLDING, message, stalled=True)
    if mirror.since is None:
        in_place, waited = route.in_place(observed, now), now - status.step.started_at
        trouble = observed.router.trouble(observed.traffic, in_place=in_place, waited=waited)
        return trouble or Wait(RolloutReason.PROGRESSING, "waiting for the gateway to accept the mirror")
    view, candidate = observed.policy(status.candidate), status.candidate
    if candidate is not None and (view is None or view.deleted):
        words = f"shadow: RLPolicy {candidate.policy} was deleted, so nothing is mirrored"
        return Wait(RolloutReason.POLICY_NOT_FOUND, f"{words}; create it again, or send abort")
    return None


def _while_it_mirrors(asked: ShadowStep, observed: Observed, now: datetime) -> Wait | None:
    """Wait for the duration and the verdict; then for people, where the candidate may not go on."""
    found, until = _found(observed), _ends(asked, observed)
    candidate = observed.status.candidate.policy if observed.status.candidate is not None else "the candidate"
    if observed.settings.logbook_url is None:
        return Wait(RolloutReason.HOLDING, f"shadow: {shadowed.NOT_INSTALLED}", stalled=True)
    if found is not None and found.verdict is Verdict.FAIL:
        message = f"shadow: {found.message}. It is not taken back, because no other version could take over"
        return Wait(RolloutReason.VERDICT_FAILED, f"{message}; send promote to keep it", stalled=True)
    if until is not None and now < until:
        message = f"{candidate} decides about mirrored requests until {format_instant(until)}, and answers nobody"
        return Wait(RolloutReason.SHADOWING, message, until - now)
    if found is None or until is None or found.at < until:
        return Wait(RolloutReason.SHADOWING, f"{candidate} was a shadow for long enough; waiting for another look")
    if found.verdict in (None, Verdict.PASS) or _action(asked, found) is UndecidedAction.CONTINUE:
        return None
    message = f"shadow: {found.verdict}: {found.message}. It goes on by itself once that is known"
    return Wait(RolloutReason.HOLDING, f"{message}; or send skip or abort, or edit the step", stalled=True)


def _mirror(observed: Observed, mirror: MirrorStatus | None) -> Move:
    step = observed.status.step
    return Move(changed(observed.status, step=step and step.model_copy(update={"mirror": mirror})))


def _refusal(observed: Observed, now: datetime) -> str | None:
    """In which words the gateway refuses the route with the mirror; None: it does not, or has not answered yet."""
    traffic = observed.traffic
    if not traffic.objects or not route.in_place(observed, now):
        return None
    if traffic.acceptance is Acceptance.REFUSED:
        return traffic.message or "it gives no reason"
    return traffic.warning or None


def _ends(asked: ShadowStep | None, observed: Observed) -> datetime | None:
    """When its duration is over; None: it has not begun."""
    current = observed.status.step
    if asked is None or current is None or current.mirror is None or current.mirror.since is None:
        return None
    return current.mirror.since + asked.duration


def _crosses(step: Step, observed: Observed, before: ShadowResult, found: ShadowResult) -> bool:
    """Whether the one is of before the duration was over, and the other of after it: the step waits for that."""
    until = _ends(step.shadow, observed)
    return until is not None and before.at < until <= found.at


def _look(step: Step, observed: Observed) -> ShadowResult | None:
    """What the newest answer about this very step says; None: there is none."""
    status, fact, until = observed.status, observed.shadow, _ends(step.shadow, observed)
    current, candidate, stable = status.step, status.candidate, status.stable
    if fact is None or until is None or step.shadow is None or current is None or candidate is None or stable is None:
        return None
    if (fact.step, fact.candidate, fact.stable) != (step_of(current.started_at), candidate.policy, stable.policy):
        return None
    look = shadowed.ShadowLook(
        asked=step.shadow,
        index=current.index,
        candidate=candidate.policy,
        stable=stable.policy,
        answers=observed.candidate_answers,
        until=until,
    )
    return shadowed.result(look, fact)


def _found(observed: Observed) -> ShadowResult | None:
    """What is on record of the step under way."""
    found, current = observed.status.shadow, observed.status.step
    if found is None or current is None or found.step != current.index or found.at < current.started_at:
        return None
    return found


def _sentence(found: ShadowResult, observed: Observed) -> str:
    candidate = observed.status.candidate
    return shadowed.sentence(found, candidate.policy if candidate is not None else "the candidate")


def _action(asked: ShadowStep, found: ShadowResult) -> UndecidedAction:
    """What the step says of a verdict that is neither Pass nor Fail."""
    match found.verdict:
        case Verdict.NO_DATA:
            return asked.on_no_data
        case Verdict.NOT_ENOUGH_SAMPLES:
            return asked.on_not_enough_samples
    return UndecidedAction.HOLD


KIND = Shadow()
