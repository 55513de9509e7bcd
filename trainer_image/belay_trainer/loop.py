"""A training from its first collection to the end of its budget: when it is evaluated, saved and left.

Between an update and the next collection a training can be cut without losing a bit. There, in this order: probe the
environment and play random actions (once) · are the numbers still numbers · evaluate and diagnose, if due, and end if
that is enough · go, if asked to · keep a checkpoint, if due. An evaluation that is cut short is not recorded, so the
next pod plays it again and ends up with the same bits. After the last timestep a checkpoint is kept as well.

Within a collection there are heartbeats, and a pod that must go waits for its end no longer than a part of its grace:
then the experience of that collection is dropped and the next pod begins it anew, in new episodes.
"""

import math
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from belay_api.artifact import EvaluationReport
from belay_api.outcomes import KnownOutcome, Played
from belay_api.wire import CheckpointRef, RunEvaluation, RunProgress
from belay_trainer import checkpoint, early, environments
from belay_trainer.config import Run
from belay_trainer.diagnosis.diagnosis import Diagnosis
from belay_trainer.errors import BadConfiguration, Diverged, GivenUp, Interrupted
from belay_trainer.evaluate import ENDLESS, Chooser, Evaluation, Policy, Stopped
from belay_trainer.heartbeat import PERIOD_S, ProgressSink
from belay_trainer.history import History
from belay_trainer.keeper import Keeper
from belay_trainer.learners.learner import Learner
from belay_trainer.metrics import named, of_costs
from belay_trainer.randomness import random_state, set_random_state
from belay_trainer.stop import Stop

Verdict = Callable[[RunEvaluation], str | None]
"""Asked after each evaluation before the last: why the training ends there; None: it goes on."""
COLLECTING = 1 / 8  # of a pod's grace, for the end of a collection
FLUSHING = 2 / 3  # of it, for bringing the last checkpoint to the store; the rest is for the report


@dataclass(slots=True)
class Best:
    """The best evaluated policy so far."""

    report: EvaluationReport | None  # None: nobody played it
    weights: dict[str, Any]
    played: dict[str, Played]  # by outcome
    step: int  # timestep of it
    score: float | None  # see `Evaluation`


@dataclass(slots=True)
class LoopState:
    """What the loop remembers; part of every checkpoint."""

    evaluated_at: int = 0  # timestep of the last evaluation
    saved_at: int = 0  # timestep of the last checkpoint
    evaluation: RunEvaluation | None = None  # the latest
    best: Best | None = None
    without_gain: int = 0  # evaluations in a row that were no better than the best before them
    random: dict[str, Played] | None = None  # what random actions come to, by outcome; None: not known
    random_asked: bool = False
    reach: dict[str, tuple[float, float]] = field(default_factory=dict)  # lowest and highest of all played, by outcome

    def seen(self, played: dict[str, Played]) -> None:
        """Note how far outcomes reach."""
        for name, one in played.items():
            low, high = self.reach.get(name, (one.min, one.max))
            self.reach[name] = min(low, one.min), max(high, one.max)


class Loop:
    """One life of one seed's training."""

    def __init__(
        self,
        run: Run,
        learner: Learner,
        *,
        evaluator: Chooser,
        keeper: Keeper,
        heartbeat: ProgressSink,
        stop: Stop,
        history: History | None = None,
        verdict: Verdict = lambda _: None,
        beside_random: bool = True,
    ) -> None:
        """Set up at the training's beginning; the learner has started.

        Args:
            history: None: nobody keeps the metrics of every timestep.
            verdict: Of whoever else may end it.
            beside_random: Probe the environment and play random actions, to compare with; False: nobody compares.
        """
        self.learner = learner
        self.state = LoopState(random_asked=not beside_random)
        self.resumed_from: int | None = None
        self.enough: str | None = None  # why the training ended before its budget
        self.diagnosis = Diagnosis(learner, evaluator.environment, budget=run.spec.budget.steps)
        self.begins_trained = False  # with the weights of another training, whose return is the first to be beaten
        self.untried = False  # the environments come from a checkpoint, and none was kept since
        self._run, self._evaluator, self._keeper, self._heartbeat, self._stop = run, evaluator, keeper, heartbeat, stop
        self._history, self._verdict = history or History(), verdict
        self._grace_s = run.spec.checkpoint.grace.total_seconds()
        self._began = self._told = time.monotonic()
        self._life = uuid.uuid4().hex  # no part of a checkpoint: of this process
        self._evaluated: dict[str, float] = {}  # of this life's latest evaluation, by metric; the return apart
        self._returns: list[float] = []  # of all evaluations
        self._collecting_since = 0  # timestep
        self._asked_at: float | None = None  # when a collection first saw that the pod must go

    @property
    def steps_per_second(self) -> float | None:
        """Timesteps per second over this pod's life, evaluations and checkpoints included; None: too early to say."""
        seconds = time.monotonic() - self._began
        steps = self.learner.timesteps - (self.resumed_from or 0)
        return round(steps / seconds, 1) if steps > 0 and seconds > 0 else None

    def resume(self, ref: CheckpointRef, state: dict[str, Any], collection: Any | None) -> None:
        """Take up a checkpoint; without a `collection` new episodes begin."""
        self.learner.restore(state, collection)
        self.state = state["loop"]
        self.diagnosis.restore(state.get("diagnosis"))
        self._returns = state.get("returns", [])  # a checkpoint of an earlier trainer has none
        self.resumed_from = ref.step
        self.untried = collection is not None
        self._began = time.monotonic()
        set_random_state(state["random"])  # last: nothing above may draw
        self.tell()

    def run(self) -> None:
        """Train to the end of the budget, or until it is enough.

        Raises: BadConfiguration, Diverged, GivenUp, Interrupted.
        """
        steps = self._run.spec.budget.steps
        self._history.begin(self.resumed_from or 0)
        if self.state.best is not None and self.state.evaluated_at == self.resumed_from:
            # The pod before ended by the evaluation of this very timestep, or was about to go on from it.
            self._end_early(self.state.best)
        while self.learner.timesteps < steps and not self.enough:
            self._between_collections()
            if not self.enough:
                self.learner.advance(min(steps, self._next_due()), leave=self._leave, on_step=self._on_step)
        self._record()
        if (step := self.learner.timesteps) > self.state.saved_at:
            self._save(step)  # what follows may take long: a pod that is asked to go meanwhile has trained for good

    def evaluate(self) -> Best:
        """Evaluate the policy as it is now, and return the best so far. Raises: Stopped, Diverged."""
        self._check_weights()
        found = self._evaluator(self._on_trial(), step=self.learner.timesteps, stop=self._must_go)
        step = self.learner.timesteps
        if found.report is not None:
            self._note_returns(found.report, found)
        elif found.score is not None and math.isfinite(found.score):
            self._evaluated = {"score": found.score}
            self._history.evaluation(step, self._evaluated)
        # Of equals the later: it was trained longer, and the first to touch the ceiling is the luckiest. What cannot be
        # judged is no better than anything.
        best, score = self.state.best, -math.inf if found.score is None else found.score
        highest = -math.inf if best is None or best.score is None else best.score
        if found.score is not None:
            self.state.without_gain = 0 if best is None or score > highest else self.state.without_gain + 1
        if best is None or score >= highest:
            best = self.state.best = Best(found.report, self.learner.weights(), found.played, step, found.score)
        self.state.evaluated_at = step
        self.diagnose(found.played.get("length"))
        self.tell()
        return best

    def _on_trial(self) -> Policy:
        """Return the policy as evaluations that choose play it: behind the attack that it trains beside, if any.

        Undisturbed they would choose the checkpoint that has learned least from it, since what meets an attack costs
        some return without one.
        """
        policy, adversary = self.learner.policy, self.learner.adversary
        return policy if adversary is None else adversary(policy)

    def _note_returns(self, report: EvaluationReport, found: Evaluation) -> None:
        # At timestep 0, or early in long episodes, a policy that it begins with may be too good for any to have ended.
        ended = self.learner.episodes() or self.state.random is not None
        if report.cut and not ended and self.learner.timesteps > 0:
            raise BadConfiguration(
                f"environment.id: no episode has ended, in training or in {ENDLESS} timesteps of an evaluation, and "
                "the environment has no cap: register it with max_episode_steps, or end its episodes."
            )
        self.state.evaluation = RunEvaluation(
            step=report.step, mean=report.mean, std=report.std, episodes=report.episodes
        )
        self.state.seen(found.played)
        self._returns.append(report.mean)
        self._evaluated = {
            "length": found.played["length"].mean,
            "sample_efficiency": sum(self._returns) / len(self._returns),
            **of_costs(report.costs),
        }
        if found.success_rate is not None:
            self._evaluated["success_rate"] = found.success_rate
        self._history.evaluation(self.learner.timesteps, {"return": report.mean, **self._evaluated})

    def diagnose(self, length: Played | None = None) -> None:
        """Look what is wrong with the training. Args: length: Of episodes in a new evaluation; None: there is none."""
        state = self.state
        self.diagnosis.look(evaluation=state.evaluation, length=length, random=state.random or {}, reach=state.reach)

    def outcomes(self) -> dict[str, KnownOutcome]:
        """Return what is known of returns and lengths beside the best policy, for its artifact."""
        best, state = self.state.best, self.state
        return self._evaluator.known(best.played if best else {}, random=state.random, reach=state.reach)

    def tell(self) -> None:
        """Queue a heartbeat for the logbook."""
        self._told = time.monotonic()
        config, best = self._run.config, self.state.best
        self._heartbeat.tell(
            RunProgress(
                job=config.job,
                uid=config.uid,
                index=self._run.index,
                seed=self._run.seed,
                attempt=config.attempt,
                step=min(self.learner.timesteps, config.spec.budget.steps),
                total=config.spec.budget.steps,
                best_return=best.report.mean if best and best.report else None,
                steps_per_second=self.steps_per_second,
                resumed_from=self.resumed_from,
                life=self._life,
                evaluations=[self.state.evaluation] if self.state.evaluation else [],  # again: one may have been lost
                metrics=self._metrics() | self._evaluated,
                findings=list(self.diagnosis.findings) or None,
            )
        )

    def _metrics(self) -> dict[str, float]:
        return {name: value for name, value in named(self.learner.metrics()).items() if math.isfinite(value)}

    def _record(self) -> None:
        """Tell the history of the update that just ended."""
        step = self.learner.timesteps
        # A learner that was just put back has not learned yet, and knows no losses: that row was told in its last life.
        if step != self.resumed_from and self._history.due(step):
            speed = self.steps_per_second
            self._history.update(step, self._metrics() | ({"steps_per_second": speed} if speed is not None else {}))

    def _between_collections(self) -> None:
        self._record()
        if not self.state.random_asked:
            with suppress(Stopped):  # we go below
                self._play_random()
        step = self.learner.timesteps
        due = step >= self._after(self.state.evaluated_at, self._run.spec.evaluation.every)
        if not self._stop.asked and (due or (self.begins_trained and self.state.best is None)):
            with suppress(Stopped):  # we go just below
                self._end_early(self.evaluate())
        if self._stop.asked:
            self._go(step)
        if step >= self._after(self.state.saved_at, self._run.spec.checkpoint.every):
            self._save(step)
        self._collecting_since = step

    def _end_early(self, best: Best) -> None:
        """See whether the evaluation just played ends the training. Raises: GivenUp."""
        spec, newest, step = self._run.spec.evaluation, self.state.evaluation, self.state.evaluated_at
        if words := early.hopeless(spec, step=step, best=best.report.mean if best.report else None):
            raise GivenUp(words)
        mean, gain = newest.mean if newest else None, self.state.without_gain
        self.enough = early.enough(spec, step=step, mean=mean, without_gain=gain)
        self.enough = self.enough or (self._verdict(newest) if newest else None)

    def _next_due(self) -> int:
        spec = self._run.spec
        return min(
            self._after(self.state.evaluated_at, spec.evaluation.every),
            self._after(self.state.saved_at, spec.checkpoint.every),
        )

    def _play_random(self) -> None:
        self.tell()
        if self._run.spec.played_in is not None:
            self.diagnosis.begin(environments.maker_for(self._run.spec), seed=self._run.seed)
        self.state.random = self._evaluator.random(
            seed=self._run.seed, budget=self._run.spec.budget.steps, stop=self._must_go
        )
        self.state.random_asked = True
        self.state.seen(self.state.random or {})

    def _leave(self) -> bool:
        """Asked before each collection."""
        self._collecting_since = self.learner.timesteps
        self._record()
        return self._must_go()

    def _on_step(self) -> None:
        if self._must_go():
            self._asked_at = self._asked_at or time.monotonic()
            if time.monotonic() - self._asked_at >= COLLECTING * self._grace_s:
                self._go(self._collecting_since, collecting=True)

    def _must_go(self) -> bool:
        """Asked before every timestep, of a collection or an evaluation, which may take long: the logbook hears of us
        meanwhile.
        """
        if time.monotonic() - self._told >= PERIOD_S:
            self.tell()
        return self._stop.asked

    def _go(self, step: int, *, collecting: bool = False) -> None:
        """Save and go.

        Args:
            step: Timestep to go on from.
            collecting: In the middle of the collection that began there.
        """
        if step > self.state.saved_at:  # else the checkpoint of that very moment is there, and is exact
            self._save(step, collecting=collecting)
        stored = self._keeper.flush(FLUSHING * self._grace_s)
        self.tell()
        if step == 0:
            raise Interrupted("asked to stop before anything was learned: the next pod begins anew.")
        raise Interrupted(
            f"asked to stop at timestep {step}; a checkpoint is saved"
            + ("." if stored else ", but the store has not taken it: the next pod goes on from an older one.")
        )

    def _save(self, step: int, *, collecting: bool = False) -> None:
        self._check_weights()
        self.state.saved_at = step
        state = self.learner.state(collecting_since=step if collecting else None)
        state |= {"random": random_state(), "loop": self.state, "diagnosis": self.diagnosis.state()}
        state |= {"code": self._run.code, "returns": self._returns}
        whole = self._run.spec.checkpoint.environment and not collecting
        self._keeper.save(step, checkpoint.pack(state, self.learner.collection() if whole else None))
        self.untried = False  # the next life gets further, whatever the environments do in this one

    def _check_weights(self) -> None:
        if not self.learner.finite():
            raise Diverged(f"weights are not finite at timestep {self.learner.timesteps}: lower learning_rate.")

    @staticmethod
    def _after(last: int, every: int) -> int:
        """Return the first multiple of `every` beyond `last`."""
        return (last // every + 1) * every
