"""What `validate` and `evaluateOffline` share: a step that asks one question about the candidate, in a Job of its own.

    Pass                       the next step
    Fail                       the candidate is taken back, and its digest rejected
    NotEnoughSamples           what the step says: Hold, Continue or Rollback; without anything measured it holds
    no answer (refused, failed)  the step holds in the pod's own words, and the candidate is not rejected

The answer is recorded in `status.judgements` before anything follows from it, so neither a lost Job nor a restart loses
it, and what was answered is not asked again. The command `retry` is another attempt at the same question, with a Job of
another name. Other Jobs are ended by `decide`, which knows the one that the step needs.
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from belay_api import names
from belay_api.judging import Judgement, JudgingSpec
from belay_api.model import alternatives
from belay_api.policy import ArtifactSpec
from belay_api.reasons import RolloutReason, Verdict
from belay_api.rollout.status import JudgingStatus, StepJudgement
from belay_api.rollout.steps import Step
from belay_api.rollout.steps.undecided import UndecidedAction
from belay_operator.engine.plan import Manifest
from belay_operator.judging import build
from belay_operator.judging.kind import QuestionKind
from belay_operator.judging.question import Question
from belay_operator.judging.standing import Asked, QuestionStanding, standing
from belay_operator.judging.view import JobView
from belay_operator.rollout.move import Move, changed, note
from belay_operator.rollout.observed import Command, Observed
from belay_operator.rollout.policy_view import PolicyView
from belay_operator.rollout.steps.step import Failure, StepKind
from belay_operator.rollout.wait import Wait

_JUDGING = frozenset(alternatives(JudgingSpec))


@dataclass(frozen=True, slots=True)
class _Look:
    """The question of the step, and where it stands."""

    question: Question
    job: JobView
    standing: QuestionStanding
    recorded: StepJudgement | None  # what is on record of this very question


class JudgedStep(StepKind):
    """A step that asks a question about the candidate."""

    of_first = True
    asks: QuestionKind
    """What kind of question it is."""

    @abstractmethod
    def ask(self, step: Step, candidate: PolicyView, observed: Observed) -> Question | None:
        """Return what is asked of the candidate; None: the step is of another kind. Raises: ValidationError."""

    @abstractmethod
    def judgement(self, result: Any, index: int, observed: Observed) -> StepJudgement:
        """Return an answer as it is recorded."""

    @abstractmethod
    def undecided(self, step: Step) -> UndecidedAction:
        """Return what the step says of NotEnoughSamples."""

    def question(self, step: Step, observed: Observed) -> Question | Wait:
        """Return what is asked, or why nothing can be."""
        candidate, view = observed.status.candidate, observed.policy(observed.status.candidate)
        name = candidate.policy if candidate is not None else "the candidate"
        if view is None or view.deleted or "artifact" not in view.asks:
            message = f"RLPolicy {name} was deleted; create it again as it was, or send abort"
            return Wait(RolloutReason.POLICY_NOT_FOUND, message)
        try:
            found = self.ask(step, view, observed)
        except ValidationError as error:  # the API server let pass what the RLPolicy asks of itself
            fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
            message = (
                f"{self.name}: RLPolicy {name}: {'.'.join(map(str, fault['loc']))}: {fault['msg']}. Correct it there"
            )
            return Wait(RolloutReason.INVALID_SPEC, message, stalled=True)
        return found if found is not None else Wait(RolloutReason.INVALID_SPEC, f"the step is no {self.name}")

    def act(self, step: Step, observed: Observed, now: datetime) -> Move | None:
        """Record an answer, or that there is none to come."""
        look = self._look(step, observed, now)
        if isinstance(look, Wait):
            return None
        if look.recorded is None and look.standing.result is not None:
            return self._answered(look.standing.result, observed)
        if look.standing.result is None and look.standing.over:
            return self._without_answer(look, observed)
        return None

    def failure(self, step: Step, observed: Observed, now: datetime) -> Failure | None:
        """Return the answer on record, where the candidate is taken back for it."""
        look = self._look(step, observed, now)
        if isinstance(look, Wait) or look.recorded is None or not self._takes_back(look.recorded, step):
            return None
        failed = look.recorded.verdict is Verdict.FAIL
        reason = "Verdict" if failed else str(Verdict.NOT_ENOUGH_SAMPLES)
        return Failure(reason, f"{self.name}: {look.recorded.message.rstrip('.')}", metric=self.name)

    def wait(self, step: Step, observed: Observed, now: datetime) -> Wait | None:
        """Wait for the answer; then for people, where the candidate may neither go on nor be taken back."""
        look = self._look(step, observed, now)
        if isinstance(look, Wait):
            return look
        said = look.standing.said
        if look.recorded is None and look.standing.over:
            message = (
                f"{self.name}: {said.message} The candidate is not rejected: once that is mended, send retry, or edit "
                "what is asked"
            )
            return Wait(RolloutReason.JOB_FAILED, message, stalled=True)
        if look.recorded is None:
            return Wait(RolloutReason.JUDGING, f"{self.name}: {said.message.rstrip('.')}", look.standing.recheck)
        found = look.recorded
        if self._takes_back(found, step):
            message = (
                f"{self.name}: {found.message} It keeps its traffic, because no other version could take over; send "
                "promote to keep it"
            )
            return Wait(RolloutReason.VERDICT_FAILED, message, stalled=True)
        if found.verdict in (None, Verdict.PASS) or self._lets_through(found, step):
            return None
        message = f"{self.name}: {found.message} Send promote or abort, edit the step, or send retry to ask again"
        return Wait(RolloutReason.HOLDING, message, stalled=True)

    def objects(self, step: Step, observed: Observed) -> tuple[Manifest, ...]:
        """Return the Job while it is needed, and what its pod mounts until that has started."""
        owner, settings = observed.owner, observed.settings
        question = self.question(step, observed)
        if not isinstance(question, Question):
            return ()
        job, labels = self._job(question, observed), {names.ROLLOUT_LABEL: owner.name}
        if not job.exists and self._recorded(question, observed) is None:
            return (*build.secrets(owner, settings), build.job(owner, question, settings, labels))
        if job.ref is None:
            return ()
        if job.ends_by_evictions(question) and job.spec is not None:
            return (build.job_without_time(owner, question, settings, labels, held=job.spec),)
        # The configuration is made once there is a Job to go with: a pod that is early waits for it.
        waits = job.end is None and not job.started
        mounted = (build.config_map(owner, question, settings, labels, gone_with=job.ref),) if waits else ()
        return (*mounted, build.job(owner, question, settings, labels))

    def on_command(self, command: Command, step: Step, observed: Observed, now: datetime) -> Move | str | None:
        """Ask again on `retry`, once the question is over."""
        look = self._look(step, observed, now)
        if command.action != "retry" or isinstance(look, Wait) or observed.status.step is None:
            return None
        if not look.standing.over:
            return f"{self.name} is under way; it can be asked again once it is over"
        attempt = self.attempt(observed) + 1
        return _with(observed, JudgingStatus(attempt=attempt))

    def attempt(self, observed: Observed) -> int:
        """Return how often the step was asked again."""
        step = observed.status.step
        return step.judging.attempt if step is not None and step.judging is not None else 0

    def _answered(self, result: Judgement, observed: Observed) -> Move:
        index = observed.status.step.index if observed.status.step else 0
        found = self.judgement(result, index, observed)
        others = [one for one in observed.status.judgements if one.step != index]
        judgements = sorted([*others, found], key=lambda one: one.step)
        held = found.verdict in (None, Verdict.PASS)
        event = note(self.asks.EVENT, f"{self.name}: {found.message}", warning=not held)
        return Move(changed(observed.status, judgements=judgements), (event,))

    def _without_answer(self, look: _Look, observed: Observed) -> Move | None:
        """Record in which words a Job ended that did not answer: its pods, which know them, may be gone soon."""
        step, said = observed.status.step, look.standing.said
        before = step.judging if step is not None else None
        if before is not None and (before.question, before.message) == (look.question.hash, said.message):
            return None
        told = JudgingStatus(
            attempt=self.attempt(observed), question=look.question.hash, reason=said.reason, message=said.message
        )
        event = note(self.asks.EVENT, f"{self.name}: {said.message}", warning=True)
        return Move(_with(observed, told).status, (event,))

    def _takes_back(self, found: StepJudgement, step: Step) -> bool:
        if found.verdict is Verdict.NOT_ENOUGH_SAMPLES:
            return self.undecided(step) is UndecidedAction.ROLLBACK
        return found.verdict is Verdict.FAIL

    def _lets_through(self, found: StepJudgement, step: Step) -> bool:
        return found.verdict is Verdict.NOT_ENOUGH_SAMPLES and self.undecided(step) is UndecidedAction.CONTINUE

    def _look(self, step: Step, observed: Observed, now: datetime) -> _Look | Wait:
        question = self.question(step, observed)
        if isinstance(question, Wait):
            return question
        job, recorded = self._job(question, observed), self._recorded(question, observed)
        answer = getattr(recorded, self.asks.FIELD) if recorded is not None else None
        under_way = observed.status.step
        told = under_way.judging if under_way is not None else None
        before = told if told is not None and told.question == question.hash else None
        return _Look(question, job, standing(Asked(self.asks, question, job, answer, before), now), recorded)

    def _job(self, question: Question, observed: Observed) -> JobView:
        """The question's Job; one that was asked in this pass has none that anybody has looked at."""
        name = build.job_name(observed.owner, question)
        found = observed.asked_job
        return found if found is not None and found.name == name else JobView(name)

    def _recorded(self, question: Question, observed: Observed) -> StepJudgement | None:
        for one in observed.status.judgements:
            answer: Judgement | None = getattr(one, self.asks.FIELD)
            if answer is not None and answer.question == question.hash:
                return one
        return None


def of_judging(observed: Observed, policys_own: Mapping[str, Any]) -> dict[str, Any]:
    """Return where the pod runs: as `spec.judging` says, else as the RLPolicy does for the same question of its own."""
    judging = observed.spec.judging
    return judging.said() if judging is not None else {k: v for k, v in policys_own.items() if k in _JUDGING}


def artifact_of(policy: str, digest: str, observed: Observed) -> ArtifactSpec:
    """Return where those bytes lie. Of an RLPolicy that is gone, or has other ones by now: in the built-in store."""
    view = observed.policies.get(policy)
    if view is not None and view.digest == digest and "artifact" in view.asks:
        return ArtifactSpec.model_validate(view.asks["artifact"])
    return ArtifactSpec(uri=f"store://sha256/{digest.removeprefix('sha256:')}", digest=digest)


def _with(observed: Observed, judging: JudgingStatus) -> Move:
    step = observed.status.step
    return Move(changed(observed.status, step=step and step.model_copy(update={"judging": judging})))
