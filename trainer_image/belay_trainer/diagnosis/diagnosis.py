"""The diagnosis of one seed while it trains: it gathers, looks after each evaluation, and remembers over pods."""

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from gymnasium import spaces

from belay_api.findings import MOST_FINDINGS, Finding
from belay_api.outcomes import Played
from belay_api.spaces import space_model
from belay_api.wire import RunEvaluation
from belay_heads.observations import bounds
from belay_trainer.diagnosis import conclude, suspicions
from belay_trainer.diagnosis.checks.learning import FEWEST_STEPS
from belay_trainer.diagnosis.evidence import Contract, Evidence, Task, Updates, Values
from belay_trainer.diagnosis.probe import Environment, probe
from belay_trainer.diagnosis.recorder import Latest, Recorder, Totals
from belay_trainer.learners.learner import Internals, Learner
from belay_trainer.masks import Masking
from belay_trainer.randomness import untouched

CERTAIN = 0.01  # of the largest entropy there is, or as a standard deviation in parts of half an action's range
log = logging.getLogger(__name__)


@dataclass(slots=True)
class Memory:
    """What is remembered; part of every checkpoint."""

    totals: Totals
    looks: int = 0
    evaluations: tuple[RunEvaluation, ...] = ()
    length: Played | None = None  # of the latest one's episodes
    contract: Contract | None = None
    movement: float | None = None  # as in `Updates`
    movement_steps: int = 0
    seen: frozenset[str] = frozenset()  # reasons of what the last look saw, told or not
    findings: tuple[Finding, ...] = ()


class Diagnosis:
    """Of one learner."""

    def __init__(self, learner: Learner, environment: Environment, *, budget: int) -> None:
        """Begin to take notes of the learner.

        Args:
            environment: One like those that it learns in; only its spaces and its specification are looked at.
            budget: Timesteps of the training.
        """
        self._learner = learner
        self._task = _task(environment, learner, budget)
        low, high = bounds(space_model(environment.observation_space))
        self._recorder = learner.recorder = Recorder(discount=learner.discount, low=low, high=high)
        self._memory = Memory(self._recorder.totals)
        self._start: Internals | None = None  # the weights' beginning, until it is known how they move

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is told now, the first one first."""
        return self._memory.findings[:MOST_FINDINGS]

    def begin(self, make: Callable[[], Environment], *, seed: int) -> None:
        """Play out what the environment does from one seed, and look at the weights; before the first timestep."""
        self._start = self._learner.internals()
        with untouched():
            self._memory.contract = probe(make, seed=seed)
        self._set_findings(suspicions(Evidence(task=self._task, contract=self._memory.contract)))

    def look(
        self,
        *,
        evaluation: RunEvaluation | None,
        length: Played | None,
        random: Mapping[str, Played],
        reach: Mapping[str, tuple[float, float]],
    ) -> None:
        """Judge what was gathered; `findings` are new afterwards.

        Args:
            evaluation: The latest; None: there is none yet.
            length: Of its episodes; None: that of the one before stands.
            random: What random actions come to, by outcome.
            reach: Lowest and highest of all that was played, by outcome.
        """
        memory, recorder = self._memory, self._recorder
        if recorder.empty:
            return  # nothing has happened since the last look
        latest, internals = recorder.summarise(), self._learner.internals()
        recorder.add_reward_range(*internals.rewards)
        if evaluation is not None and (not memory.evaluations or memory.evaluations[-1].step < evaluation.step):
            memory.evaluations += (evaluation,)
        memory.length = length or memory.length
        memory.looks += 1
        self._measure_movement(internals)
        evidence = Evidence(
            task=self._task,
            look=memory.looks,
            step=self._learner.timesteps,
            rewards=recorder.rewards(),
            episodes=recorder.episodes(latest),
            observations=recorder.observations(),
            contract=memory.contract,
            values=self._values(latest, internals),
            updates=self._updates(latest, internals),
            evaluations=memory.evaluations,
            length=memory.length,
            random=dict(random),
            reach=dict(reach),
        )
        seen = suspicions(evidence)
        self._set_findings(conclude(seen, before=memory.seen))
        memory.seen = frozenset(one.reason for one in seen)

    def state(self) -> Memory:
        """Return what a resumed training goes on with."""
        return replace(self._memory, totals=replace(self._memory.totals))

    def restore(self, state: Memory | None) -> None:
        """Go on with what `state` returned; None: the checkpoint is of a version without a diagnosis."""
        if state is not None:
            self._memory, self._recorder.totals = state, state.totals

    def _measure_movement(self, internals: Internals) -> None:
        memory, start = self._memory, self._start
        if start is None or internals.gradient_steps <= start.gradient_steps:
            return
        # Sums of squares of weights that exploded would be infinite in their own 32 bits.
        began = start.weights.astype(np.float64)
        size = np.linalg.norm(began)  # 0: some algorithms begin with nothing
        moved = np.linalg.norm(internals.weights - began) / size if size else math.inf
        memory.movement = float(moved) if math.isfinite(moved) else math.inf
        memory.movement_steps = internals.gradient_steps - start.gradient_steps
        if memory.movement_steps >= FEWEST_STEPS:
            self._start = None  # it is as large as the network

    def _values(self, latest: Latest, internals: Internals) -> Values | None:
        states, realised = latest.states, latest.realised
        if states is None or realised is None or states.ndim > 2:  # pictures take long, and other layouts
            return None
        predicted = self._learner.values(states)
        return None if predicted is None else Values(np.asarray(predicted, float), realised, internals.bonus)

    def _updates(self, latest: Latest, internals: Internals) -> Updates:
        totals, memory = self._recorder.totals, self._memory
        explored = [share for share in (totals.exploration, internals.exploration) if share is not None]
        return Updates(
            gradient_steps=internals.gradient_steps,
            movement=memory.movement,
            movement_steps=memory.movement_steps,
            rounds=internals.rounds,
            entropy=latest.entropy,
            kl=latest.kl,
            clip_range=totals.clip_range,
            exploration=max(explored, default=None),
            usual_action=latest.usual_action,
        )

    def _set_findings(self, findings: list[Finding]) -> None:
        known = {one.reason for one in self._memory.findings}
        for one in findings:
            if one.reason not in known:
                log.warning("%s: %s %s", one.reason, one.message, one.advice)
        self._memory.findings = tuple(findings)


def _task(environment: Environment, learner: Learner, budget: int) -> Task:
    spec = environment.spec
    return Task(
        budget=budget,
        discount=learner.discount,
        cap=spec.max_episode_steps if spec else None,
        solved_at=spec.reward_threshold if spec else None,
        # Under masks there may be one action left, of which any policy is certain.
        least_entropy=None if isinstance(environment, Masking) else _least_entropy(environment.action_space),
    )


def _least_entropy(space: spaces.Space[Any]) -> float | None:
    """Return the entropy below which a policy is certain of what it does, nats.

    Of categories CERTAIN of the largest; of normal distributions that with a standard deviation of CERTAIN of half the
    range, 0.5 log(2 pi e s^2) a number.
    """
    if isinstance(space, spaces.Discrete):
        return CERTAIN * math.log(space.n) if space.n > 1 else None
    if isinstance(space, spaces.MultiDiscrete):
        return CERTAIN * float(np.log(space.nvec).sum()) or None
    if isinstance(space, spaces.MultiBinary):
        return CERTAIN * math.log(2) * math.prod(space.shape)
    if not isinstance(space, spaces.Box):
        return None
    deviation = CERTAIN * (space.high.astype(float) - space.low.astype(float)) / 2
    if not np.isfinite(deviation).all() or not (deviation > 0).all():
        return None
    return float((0.5 * np.log(2 * math.pi * math.e * deviation**2)).sum())
