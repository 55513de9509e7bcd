"""The trials of a search as all its workers see them, through Optuna: whose turn it is, what came of each, the best.

A trial belongs to the worker that began it, by the worker's place in the Job, of which one pod lives at a time. So a
trial whose pod was killed is taken up by the next pod in that place, under its number, with its settings and its seed.
None is lost and none is done twice, and nobody has to guess from a silence that a pod is dead. A trial that killed its
pod twice fails: it may need more memory than there is.

The settings of trial n follow from the journal before it and from n, by no generator that lives in a process.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from belay_api.algorithms.common import Settings
from belay_api.search import BestTrial, Pruner, Sampler, SearchSpec, SearchStatus
from belay_trainer.search.spaces import Space, draw

RANDOM_TRIALS = 10  # of TPE, before it has learned where to look
EVALUATIONS = 10  # of a trial, for the pruner to look at
MOST_LIVES = 2  # of a trial whose pods end without a word
FEWEST_FOR_IMPORTANCE = 10  # finished trials
_LONGEST = 500  # characters of a failure's words: they travel in a pod's last word, which has little room
_REDUCTION = 3  # successive halving keeps the best third
_NAME = "search"  # of the study: a journal has one
_WORKER, _LIVES, _FAILED, _SETTINGS = "worker", "lives", "failed", "settings"  # attributes of a trial
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Trial:
    """A trial whose turn it is."""

    number: int
    settings: dict[str, Any]
    handle: optuna.Trial


class Study:
    """One worker's view of the search."""

    def __init__(
        self,
        search: SearchSpec,
        space: Space,
        settings: type[Settings],
        *,
        journal: BaseJournalBackend,
        first_seed: int,
        worker: int,
    ) -> None:
        """Take up the study in a journal, or begin it.

        Args:
            settings: Of the algorithm.
            first_seed: `seeds.first`: what the samplers draw follows from it.
            worker: This worker's place among all.
        """
        optuna.logging.set_verbosity(optuna.logging.ERROR)  # it warns of each setting that a sampler draws at random
        self._search, self.space, self._settings = search, space, settings
        self._first_seed, self._worker = first_seed, worker
        self._storage = JournalStorage(journal)
        self._study = optuna.create_study(
            study_name=_NAME,
            storage=self._storage,
            pruner=_pruner(search.pruner),
            direction=StudyDirection.MAXIMIZE,
            load_if_exists=True,
        )
        self._id = self._storage.get_study_id_from_name(_NAME)

    def next(self) -> Trial | None:
        """Return the trial that this worker was about when it last ended, or a new one; None: all have begun."""
        for trial in self._trials(TrialState.RUNNING):
            if trial.user_attrs[_WORKER] == self._worker and (taken := self._take_up(trial)) is not None:
                return taken
        if len(self._trials()) >= self._search.trials:
            return None
        # The owner stands in the very line that makes the trial: it has one from the beginning.
        owned = optuna.trial.create_trial(
            state=TrialState.RUNNING, user_attrs={_WORKER: self._worker, _LIVES: 1}, system_attrs={}
        )
        made = self._storage.get_trial(self._storage.create_new_trial(self._id, owned))
        if made.number >= self._search.trials:  # others were faster
            self._study.tell(made.number, state=TrialState.FAIL)
            return None
        return self._begin(made)

    def report(self, trial: Trial, evaluation: int, value: float) -> None:
        """Note the mean return of an evaluation. Args: evaluation: From 1 to `EVALUATIONS`."""
        trial.handle.report(value, evaluation)

    def hopeless(self, trial: Trial) -> bool:
        """Return whether the pruner ends a trial."""
        return bool(trial.handle.should_prune())

    def finish(self, trial: Trial, value: float) -> None:
        """Note what a trial is worth."""
        self._study.tell(trial.handle, value)

    def prune(self, trial: Trial) -> None:
        """Note that the pruner ended a trial."""
        self._study.tell(trial.handle, state=TrialState.PRUNED)

    def fail(self, trial: Trial, words: str, *, worst: bool) -> None:
        """Note that a trial failed.

        Args:
            worst: Its settings are to blame, and samplers learn so: it counts as the worst number seen so far.
        """
        self._fail(trial.number, words, worst=worst)

    def put_back(self, trial: Trial) -> None:
        """Leave a trial to the next pod in this place, which was asked to go and is not to blame."""
        trial.handle.set_user_attr(_LIVES, trial.handle.user_attrs[_LIVES] - 1)

    def status(self, *, importance: bool = False) -> SearchStatus:
        """Return how far the search is. Args: importance: Also of each setting, which takes a moment."""
        trials = self._trials()
        failed = [trial for trial in trials if _failed(trial)]
        done = [trial for trial in trials if trial.state == TrialState.COMPLETE and not _failed(trial)]
        # Of equals the first: it was found with less.
        best = max(done, key=lambda trial: (trial.value, -trial.number), default=None)
        return SearchStatus(
            trials=self._search.trials,
            finished=len(done),
            pruned=sum(trial.state == TrialState.PRUNED for trial in trials),
            failed=len(failed),
            best=BestTrial(trial=best.number, value=best.value, settings=best.user_attrs[_SETTINGS]) if best else None,
            importance=self._importance(done) if importance else None,
            message=failed[-1].user_attrs[_FAILED] if failed else None,
        )

    def rows(self) -> list[tuple[int, str, float | None, dict[str, Any]]]:
        """Return number, end, value and settings of every trial that was drawn, for a table."""
        return [
            (
                trial.number,
                "failed" if _failed(trial) else _WORDS.get(trial.state, "unfinished"),
                None if _failed(trial) else trial.value,
                trial.user_attrs[_SETTINGS],
            )
            for trial in self._trials()
            if _SETTINGS in trial.user_attrs
        ]

    def _trials(self, *states: TrialState) -> Sequence[FrozenTrial]:
        found = self._study.get_trials(deepcopy=False, states=states or None)
        return [trial for trial in found if trial.number < self._search.trials]

    def _take_up(self, trial: FrozenTrial) -> Trial | None:
        lives = trial.user_attrs[_LIVES]
        if lives >= MOST_LIVES:
            words = f"trial {trial.number}: its pod ended {lives} times without a word, perhaps for want of memory."
            self._fail(trial.number, words, worst=True)
            return None
        log.info("trial %d is taken up from its beginning: the pod before was about it", trial.number)
        if _FAILED in trial.user_attrs:  # that pod died before it could say that the trial is over
            self._storage.set_trial_user_attr(trial._trial_id, _FAILED, None)
        self._storage.set_trial_user_attr(trial._trial_id, _LIVES, lives + 1)
        return self._begin(trial)

    def _begin(self, trial: FrozenTrial) -> Trial:
        self._study.sampler = _sampler(self._search.sampler, seed=_seed(self._first_seed, trial.number))
        handle = optuna.Trial(self._study, trial._trial_id)
        settings = draw(handle, self.space, self._settings)
        handle.set_user_attr(_SETTINGS, settings)
        return Trial(trial.number, settings, handle)

    def _fail(self, number: int, words: str, *, worst: bool) -> None:
        trials = self._trials()
        self._storage.set_trial_user_attr(trials[number]._trial_id, _FAILED, words[:_LONGEST])
        seen = [value for trial in trials for value in trial.intermediate_values.values()] if worst else []
        if seen:
            self._study.tell(number, min(seen))
        else:  # nothing was seen yet that it could be worse than
            self._study.tell(number, state=TrialState.FAIL)

    def _importance(self, done: Sequence[FrozenTrial]) -> dict[str, float] | None:
        if len(done) < FEWEST_FOR_IMPORTANCE or len({trial.value for trial in done}) == 1:
            return None
        shares = get_param_importances(self._study, evaluator=PedAnovaImportanceEvaluator())
        whole = sum(shares.values())
        if not np.isfinite(whole) or whole <= 0:
            return None
        return {name: round(float(share / whole), 3) for name, share in shares.items()}


_WORDS = {TrialState.COMPLETE: "finished", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}


def _failed(trial: FrozenTrial) -> bool:
    return trial.state.is_finished() and trial.user_attrs.get(_FAILED) is not None


def _seed(first: int, number: int) -> int:
    return int(np.random.SeedSequence([first, number]).generate_state(1)[0])


def _sampler(asked: Sampler, *, seed: int) -> optuna.samplers.BaseSampler:
    if asked is Sampler.RANDOM:
        return optuna.samplers.RandomSampler(seed=seed)
    if asked is Sampler.CMAES:
        return optuna.samplers.CmaEsSampler(seed=seed)
    # Trials under way count as bad ones, so that workers do not all try the same.
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=RANDOM_TRIALS, multivariate=True, constant_liar=True)


def _pruner(asked: Pruner) -> optuna.pruners.BasePruner:
    if asked is Pruner.NONE:
        return optuna.pruners.NopPruner()
    if asked is Pruner.MEDIAN:
        return optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=1)
    if asked is Pruner.ASHA:
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=_REDUCTION)
    return optuna.pruners.HyperbandPruner(min_resource=1, max_resource=EVALUATIONS, reduction_factor=_REDUCTION)
