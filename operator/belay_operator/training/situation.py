"""Name the situation a training job is in: one reason, one sentence, and what it means to programs.

The chain below is read from top to bottom; the first function that recognises the situation names it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from belay_api import names
from belay_api.conditions import get_condition
from belay_api.reasons import TrainingReason
from belay_api.training import Aggregate, BestSeed, RLTrainingJobStatus, SeedPhase, SeedStatus, TrainingPhase
from belay_api.units import format_duration
from belay_operator.engine.blocked import calls_invalid, words_about
from belay_operator.training.evictions import hopeless
from belay_operator.training.observed import Observed
from belay_operator.training.seeds import complete, published
from belay_operator.waiting import obstacle

_STORE_ADVICE = (
    "Pods go on and keep what they have until the store takes it; it is lost only with them. It goes on by itself once "
    "that is mended."
)
_NAMED = 3  # seeds whose failure is quoted in a message; status.seeds has all


@dataclass(frozen=True, slots=True)
class Situation:
    """What is so. `Reconciling` is true exactly while neither `ready`, `stalled` nor `rests` is."""

    phase: TrainingPhase
    reason: TrainingReason
    message: str
    ready: bool = False
    stalled: bool = False  # nothing will happen without somebody's help
    rests: bool = False  # nothing will happen, and that is what was asked for

    @property
    def over(self) -> bool:
        """Whether nothing can change it any more."""
        return self.ready or self.stalled


def situation(observed: Observed, status: RLTrainingJobStatus, *, settled: bool) -> Situation:
    """Return the situation.

    Args:
        status: As read in this pass.
        settled: False: the workload is over, but a pod's last word is still on its way, so no end is declared yet.
    """
    of_seeds = (_published, _succeeded, _gates_failed, _report_lost, _failed)
    of_search = (_searched, _search_failed)
    ends: tuple[_Link, ...] = (of_search if observed.searching else of_seeds) if settled else ()
    chain = (
        *ends,
        _refused,
        _old_workload,
        _old_pods,
        _suspended,
        _budget_spent,
        _waits_for_policy,
        _edited,
        _giving_up,
        _store_unavailable,
        _searching if observed.searching else _training,
        _waiting,
        _between_pods,
    )
    return next((said for link in chain if (said := link(observed, status)) is not None), _pending(observed))


_Link = Callable[[Observed, RLTrainingJobStatus], Situation | None]


def _published(observed: Observed, status: RLTrainingJobStatus) -> Situation | None:
    name, result = status.published_policy, status.aggregate
    if result is None or name is None or observed.policies.get(name) != result.best.artifact.digest:
        return None
    message = f"{_words_of(result, observed, status)} It is published as RLPolicy {name}."
    return Situation(TrainingPhase.SUCCEEDED, TrainingReason.PUBLISHED, message, ready=True)


def _succeeded(observed: Observed, status: RLTrainingJobStatus) -> Situation | None:
    result = status.aggregate
    if result is None:
        return None
    done = observed.spec.publish is None
    message = _words_of(result, observed, status) + (
        "" if done else f" RLPolicy {status.published_policy} is being made."
    )
    return Situation(TrainingPhase.SUCCEEDED, TrainingReason.SUCCEEDED, message, ready=done)


def _gates_failed(observed: Observed, status: RLTrainingJobStatus) -> Situation | None:
    """Recognise a training of which enough seeds succeeded, without a result: none of them passed its gates."""
    trained = [seed for seed in status.seeds if published(seed)]
    if not trained or not complete(observed, status.seeds):
        return None
    said = _quoted(trained, word=_missed_gate)
    message = (
        f"{len(trained)} of {observed.spec.seeds.count} seeds succeeded and none passed spec.gates: {said}. "
        "Nothing is published; status.seeds says where artifacts and reports lie."
    )
    return Situation(TrainingPhase.FAILED, TrainingReason.GATES_FAILED, message, stalled=True)


def _report_lost(observed: Observed, status: RLTrainingJobStatus) -> Situation | None:
    view = observed.workload
    if view.end is None or view.end.reason != TrainingReason.SUCCEEDED:
        return None
    elsewhere = [seed.report_elsewhere for _, seed in sorted(view.seeds.items()) if seed.report_elsewhere]
    why = "the pods were removed before they were, or the image is not a Belay trainer"
    message = (
        f"The {view.kind} succeeded, but no seed's final report can be read: {elsewhere[0] if elsewhere else why}. "
        "Nothing is published. Create the job again under another name."
    )
    return Situation(TrainingPhase.FAILED, TrainingReason.REPORT_LOST, message, stalled=True)


def _failed(observed: Observed, status: RLTrainingJobStatus) -> Situation | None:
    end, spec = observed.workload.end, observed.spec
    if end is None or end.reason == TrainingReason.SUCCEEDED:
        return None
    failed = [s for s in status.seeds if s.phase == SeedPhase.FAILED]
    if (
        end.reason == TrainingReason.DEADLINE_EXCEEDED
        and spec.budget.deadline is not None
        and not hopeless(spec, status)
    ):
        done = sum(map(published, status.seeds))
        message = (
            f"spec.budget.deadline: {format_duration(spec.budget.deadline)} passed with {done} of {observed.required} "
            "required seeds done. The pods are gone, checkpoints stay. Create a job of another name with more time."
        )
        return Situation(TrainingPhase.FAILED, end.reason, message, stalled=True)
    if end.reason == TrainingReason.BAD_CONFIGURATION:
        words = _quoted([s for s in failed if s.message]) or end.message
        message = f"A pod refused its configuration: {words}. Correct it in a job of another name."
        return Situation(TrainingPhase.FAILED, end.reason, message, stalled=True)
    message = (
        f"{len(failed)} of {spec.seeds.count} seeds failed and {observed.required} must succeed: "
        f"{_quoted(failed) or end.message}. status.seeds says why each did."
    )
    return Situation(TrainingPhase.FAILED, TrainingReason.TOO_FEW_SEEDS, message, stalled=True)


def _searched(observed: Observed, status: RLTrainingJobStatus) -> Situation | None:
    search = status.search
    if status.searched_at is None or search is None or search.best is None:
        return None
    best, count = search.best, observed.spec.seeds.count
    settings = ", ".join(f"{name} {value}" for name, value in best.settings.items())
    message = (
        f"{search.ended} of {search.trials} trials are over ({search.pruned} pruned, {search.failed} failed); trial "
        f"{best.trial} is best with {best.value:g}: {settings}. {count} seeds train with that."
    )
    return Situation(TrainingPhase.PENDING, TrainingReason.PENDING, message)


def _search_failed(observed: Observed, status: RLTrainingJobStatus) -> Situation | None:
    end = observed.workload.end
    if end is None:
        return None
    words = next((one.failure for _, one in sorted(observed.workload.seeds.items()) if one.failure), end.message)
    if end.reason == TrainingReason.BAD_CONFIGURATION:
        message = f"A pod of the search refused its configuration: {words}. Correct it in a job of another name."
        return Situation(TrainingPhase.FAILED, end.reason, message, stalled=True)
    spec = observed.spec
    if (
        end.reason == TrainingReason.DEADLINE_EXCEEDED
        and spec.budget.deadline is not None
        and not hopeless(spec, status)
    ):
        message = (
            f"spec.budget.deadline: {format_duration(spec.budget.deadline)} passed before the search was "
            "over. Nothing is trained. Create a job of another name with more time, or fewer search.trials."
        )
        return Situation(TrainingPhase.FAILED, end.reason, message, stalled=True)
    message = (
        f"The search found no settings: {words or 'no pod of it left a word'}. Nothing is trained. Correct "
        "search.space, or train without a search, in a job of another name."
    )
    return Situation(TrainingPhase.FAILED, TrainingReason.SEARCH_FAILED, message, stalled=True)


def _searching(observed: Observed, status: RLTrainingJobStatus) -> Situation | None:
    view = observed.workload
    at_work = any(worker.at_work for worker in view.seeds.values())
    if status.search is None or (view.obstacle is not None and not at_work):
        return None
    message = (
        f"{view.title} tries {status.search.trials} settings; status.search says how far. Then "
        f"{observed.spec.seeds.count} seeds train with the best."
    )
    return Situation(TrainingPhase.SEARCHING, TrainingReason.SEARCHING, message)


def _refused(observed: Observed, status: RLTrainingJobStatus) -> Situation | None:
    """Keep what the engine said while the workload is missing. The spec is frozen: what is invalid stays so.

    A quota's or a webhook's no may change; only of an object that breaks its own rules does the API server speak so.
    """
    said, view = get_condition(observed.status.conditions, "Ready"), observed.workload
    if said is None or said.reason != TrainingReason.CHILD_REFUSED or view.exists:
        return None
    words = words_about(view.title, said.message)
    if words is None or not calls_invalid(view.kind, view.name, words):
        return Situation(TrainingPhase.PENDING, TrainingReason.CHILD_REFUSED, said.message)
    message = f"No {view.kind} can be made of this spec: {words}. Correct it in a job of another name."
    return Situation(TrainingPhase.FAILED, TrainingReason.BAD_CONFIGURATION, message, stalled=True)


def _old_workload(observed: Observed, status: RLTrainingJobStatus) -> Situation | None:
    view = observed.workload
    if not view.exists or (view.ours and not view.deleting):
        return None
    message = (
        f"{view.title} is still being removed; a new one is made as soon as it is gone. If it stays, see who "
        "holds its finalizers."
    )
    return Situation(TrainingPhase.PENDING, TrainingReason.PENDING, message)


def _old_pods(observed: Observed, status: RLTrainingJobStatus) -> Situation | None:
    if not observed.strays:
        return None
    message = (
        f"{observed.workload.title} was deleted and pods of it still run. A new one is made as soon as they are gone: "
        "two pods of one seed must not write checkpoints at once. "
        f"`kubectl get pods -l {names.TRAINING_JOB_LABEL}={observed.owner.name}` shows them."
    )
    return Situation(TrainingPhase.PENDING, TrainingReason.PENDING, message)


def _suspended(observed: Observed, status: RLTrainingJobStatus) -> Situation | None:
    if not observed.spec.suspend:
        return None
    message = "spec.suspend is true: pods save and go, checkpoints stay. Set it to false to resume from them."
    return Situation(TrainingPhase.SUSPENDED, TrainingReason.SUSPENDED, message, rests=True)


def _budget_spent(observed: Observed, status: RLTrainingJobStatus) -> Situation | None:
    budget, cost = observed.spec.cost.budget, status.cost
    if not observed.spent or budget is None:
        return None
    amount = f"{budget:g} {cost.currency}" if cost is not None and cost.currency else f"{budget:g}"
    message = (
        f"spec.cost.budget: {amount} is spent. Pods save and go, checkpoints stay. Raise it to resume from them; "
        "status.cost says what each seed has cost."
    )
    return Situation(TrainingPhase.SUSPENDED, TrainingReason.BUDGET_SPENT, message, rests=True)


def _waits_for_policy(observed: Observed, status: RLTrainingJobStatus) -> Situation | None:
    if observed.missing is None:
        return None
    message = f"{observed.missing} No pod is started. The job goes on by itself once it is there and whole."
    return Situation(TrainingPhase.PENDING, TrainingReason.WAITING_FOR_POLICY, message)


def _edited(observed: Observed, status: RLTrainingJobStatus) -> Situation | None:
    if not observed.workload.edited:
        return None
    title = observed.workload.title
    message = (
        f"The spec was edited: {title} is made anew. Its pods save and go first; seeds go on from their checkpoints."
    )
    return Situation(TrainingPhase.PENDING, TrainingReason.PENDING, message)


def _giving_up(observed: Observed, status: RLTrainingJobStatus) -> Situation | None:
    """Recognise a Job that cannot succeed any more, and has not heard of it yet."""
    if observed.workload.end is not None or not observed.workload.exists or not hopeless(observed.spec, status):
        return None
    title = observed.workload.title
    message = f"The pods of {title} were evicted more often than failure.retriesPerSeed allows: it is ended."
    phase = TrainingPhase.SEARCHING if observed.searching else TrainingPhase.RUNNING
    return Situation(phase, TrainingReason.PENDING, message)


def _store_unavailable(observed: Observed, status: RLTrainingJobStatus) -> Situation | None:
    view = observed.workload
    at_work = any(one.at_work for one in view.seeds.values())
    if view.end is not None or not view.exists or (view.obstacle is not None and not at_work):
        return None
    told = next(((index, words) for index in sorted(view.seeds) if (words := observed.obstacle(index))), None)
    if observed.outage is not None:
        said = observed.outage.message
    elif told is not None:
        index, words = told
        who = "A pod of the search" if observed.searching else f"Seed {observed.spec.seeds.first + index}"
        said = f"{who}: {words}."
    else:
        return None
    working = TrainingPhase.SEARCHING if observed.searching else TrainingPhase.RUNNING
    phase = working if at_work else TrainingPhase.PENDING
    return Situation(phase, TrainingReason.STORE_UNAVAILABLE, f"{said} {_STORE_ADVICE}")


def _training(observed: Observed, status: RLTrainingJobStatus) -> Situation | None:
    # When the first seeds are done and the next have not begun, it is still training, unless something keeps them.
    phases = {seed.phase for seed in status.seeds}
    goes_on = SeedPhase.SUCCEEDED in phases and observed.workload.obstacle is None
    if SeedPhase.RUNNING not in phases and not goes_on:
        return None
    count = observed.spec.seeds.count
    words = f"{observed.workload.title} trains {count} seeds, {observed.required} must succeed"
    message = f"{words}; status.seeds says how far."
    return Situation(TrainingPhase.RUNNING, TrainingReason.TRAINING, message)


def _waiting(observed: Observed, status: RLTrainingJobStatus) -> Situation | None:
    view = observed.workload
    found = obstacle(
        view.title, cannot_start=view.cannot_start, unschedulable=view.unschedulable, cannot_be_made=view.cannot_be_made
    )
    if found is None:
        return None
    reason = TrainingReason.UNSCHEDULABLE if found.without_room else TrainingReason.POD_START_FAILED
    return Situation(TrainingPhase.PENDING, reason, found.message)


def _between_pods(observed: Observed, status: RLTrainingJobStatus) -> Situation | None:
    """Recognise a training whose next pods are still to come: after a failure a Job waits for a while."""
    if status.started_at is None:
        return None
    failed = [seed for seed in status.seeds if seed.phase == SeedPhase.PENDING and seed.retries > 0 and seed.message]
    why = f" Why the last pods failed: {_quoted(failed)}." if failed else ""
    message = f"No pod of {observed.workload.title} runs at the moment; the next one starts by itself.{why}"
    return Situation(TrainingPhase.PENDING, TrainingReason.PENDING, message)


def _pending(observed: Observed) -> Situation:
    view, before = observed.workload, get_condition(observed.status.conditions, "Ready")
    message = f"No pod of {view.title} runs yet."
    if not view.exists and before is not None and before.reason == TrainingReason.PENDING:
        message = f"{view.title} could not be made yet, and is tried again."
    return Situation(TrainingPhase.PENDING, TrainingReason.PENDING, message)


def _words_of(result: Aggregate, observed: Observed, status: RLTrainingJobStatus) -> str:
    best = f"seed {result.best.seed} is best{_worth(result.best)}"
    said = f"{result.seeds} of {observed.spec.seeds.count} seeds succeeded; {best}."
    if len({seed.code for seed in status.seeds if published(seed)}) > 1:
        said = f"{said} They trained with different code: it was changed meanwhile; status.seeds[].code says which."
    if missed := [s for s in status.seeds if s.validation is not None and not s.validation.passed]:
        said = f"{said} {len(missed)} did not pass spec.gates and cannot be published."
    lost = [s for s in status.seeds if s.phase == SeedPhase.SUCCEEDED and not published(s)]
    return f"{said} The final report of {len(lost)} more could not be read." if lost else said


def _worth(best: BestSeed) -> str:
    """What is known of the best seed, as the end of a sentence."""
    said = ""
    if best.return_ is not None:
        random = f", where random actions return {best.random.mean:.3g}" if best.random else ""
        said = f" with {best.return_:g}{random}"
    elif best.estimate is not None:
        said = f": {best.estimate.words()}"
    return f"{said}; {best.floor.words()}" if best.floor else said


def _quoted(seeds: list[SeedStatus], *, word: Callable[[SeedStatus], str | None] = lambda seed: seed.message) -> str:
    said = "; ".join(f"seed {s.seed}: {word(s) or 'no word'}" for s in seeds[:_NAMED])
    return f"{said}; and {len(seeds) - _NAMED} more" if len(seeds) > _NAMED else said


def _missed_gate(seed: SeedStatus) -> str | None:
    failure = seed.validation.failure if seed.validation is not None else None
    return None if failure is None else f"{failure.gate} ({failure.verdict.value}): {failure.message.rstrip('.')}"
