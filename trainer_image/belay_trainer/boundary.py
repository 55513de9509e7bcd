"""What happens between an update and the next collection: the moment at which a training is cut without losing a bit.

In this order: take up a checkpoint (once) · play random actions (once) · are the numbers still numbers · evaluate, if
due · go, if asked to · keep a checkpoint, if due · tell the logbook. An evaluation that is cut short is not recorded,
so the next pod plays it again and ends up with the same bits.

Within a collection there are heartbeats, and a pod that must go waits for its end no longer than `PATIENCE_S`: then the
experience of that collection is dropped and the next pod begins it anew, in fresh episodes.
"""

import math
import time
from contextlib import suppress
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback

from belay_api.artifact import EvaluationReport
from belay_api.outcomes import CertainRange, KnownOutcome, Played, certain_return
from belay_api.wire import CheckpointRef, RunProgress
from belay_trainer import checkpoint
from belay_trainer.config import Run
from belay_trainer.errors import BadConfiguration, Diverged, Interrupted
from belay_trainer.evaluate import ENDLESS, Evaluator, Stopped
from belay_trainer.heartbeat import PERIOD_S, Heartbeat
from belay_trainer.keeper import Keeper
from belay_trainer.stop import Stop

PATIENCE_S = 8.0  # of the pod's 60 s to go, for the end of a collection
FLUSH_S = 40.0  # and for bringing the last checkpoint to the store; the rest is for the report


@dataclass(slots=True)
class Best:
    """The best evaluated policy so far."""

    report: EvaluationReport
    weights: dict[str, Any]
    played: dict[str, Played] = field(default_factory=dict)  # by outcome; empty: of an earlier version's checkpoint


@dataclass(slots=True)
class Own:
    """What the boundary remembers; part of every checkpoint."""

    evaluated_at: int = 0  # timestep of the last evaluation
    saved_at: int = 0  # timestep of the last checkpoint
    best: Best | None = None
    random: dict[str, Played] | None = None  # what random actions come to, by outcome; None: not known
    random_asked: bool = False
    reach: dict[str, tuple[float, float]] = field(default_factory=dict)  # lowest and highest of all played, by outcome

    def seen(self, played: dict[str, Played]) -> None:
        """Note how far outcomes reach."""
        for name, one in played.items():
            low, high = self.reach.get(name, (one.min, one.max))
            self.reach[name] = min(low, one.min), max(high, one.max)


class Boundary(BaseCallback):
    """The callback that Stable-Baselines3 calls before each collection."""

    def __init__(
        self, run: Run, *, evaluator: Evaluator, keeper: Keeper, heartbeat: Heartbeat, stop: Stop,
        resume: tuple[CheckpointRef, dict[str, Any]] | None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.own = Own()
        self.resumed_from: int | None = None
        self._run, self._evaluator, self._keeper, self._heartbeat, self._stop = run, evaluator, keeper, heartbeat, stop
        self._resume = resume
        # dqn comes by every four timesteps: what it asks each time is looked up once.
        self._evaluate_every, self._save_every = run.spec.evaluation.every, run.spec.checkpoint.every
        self._began = self._told = time.monotonic()
        self._collecting_since = 0  # timestep
        self._asked_at: float | None = None  # when a collection first saw that the pod must go

    @property
    def steps_per_second(self) -> float | None:
        """Timesteps per second over this pod's life, evaluations and checkpoints included; None: too early to say."""
        seconds = time.monotonic() - self._began
        steps = self.model.num_timesteps - (self.resumed_from or 0)
        return round(steps / seconds, 1) if steps > 0 and seconds > 0 else None

    def evaluate(self) -> Best:
        """Evaluate the policy as it is now, and return the best so far. Raises: Stopped, Diverged."""
        if not checkpoint.finite(self.model):
            raise Diverged(f"weights are not finite at timestep {self.model.num_timesteps}: lower learning_rate.")
        found = self._evaluator(self.model.policy, step=self.model.num_timesteps, stop=self._must_go)
        report = found.report
        if report.cut and not self.model.ep_info_buffer:
            raise BadConfiguration(
                f"environment.id: no episode has ended, in training or in {ENDLESS} timesteps of an evaluation, and "
                "the environment has no cap: register it with max_episode_steps, or end its episodes."
            )
        self.own.seen(found.played)
        # Of equals the later: it was trained longer, and the first to touch the ceiling is the luckiest.
        best = self.own.best
        if best is None or report.mean >= best.report.mean:
            best = self.own.best = Best(report, checkpoint.weights(self.model), found.played)
        self.own.evaluated_at = report.step
        return best

    def outcomes(self) -> dict[str, KnownOutcome]:
        """Return what is known of returns and lengths beside the best policy, for its artifact."""
        best, own, rewards = self.own.best, self.own, self._evaluator.rewards
        certain = {
            "return": certain_return(rewards.low, rewards.high, self._evaluator.cap) if rewards is not None else None,
            "length": CertainRange(low=1.0, high=self._evaluator.cap),
        }
        return {
            name: KnownOutcome(
                random=own.random.get(name) if own.random else None,
                evaluated=played,
                low=own.reach[name][0],
                high=own.reach[name][1],
                certain=certain[name],
            )
            for name, played in (best.played if best is not None else {}).items()
        }

    def tell(self) -> None:
        """Queue a heartbeat for the logbook."""
        self._told = time.monotonic()
        config = self._run.config
        self._heartbeat.tell(
            RunProgress(
                job=config.job,
                uid=config.uid,
                index=self._run.index,
                seed=self._run.seed,
                attempt=config.attempt,
                step=min(self.model.num_timesteps, config.spec.budget.steps),
                total=config.spec.budget.steps,
                best_return=self.own.best.report.mean if self.own.best else None,
                steps_per_second=self.steps_per_second,
                resumed_from=self.resumed_from,
                metrics=self._metrics(),
            )
        )

    def _on_step(self) -> bool:
        if self._must_go():
            self._asked_at = self._asked_at or time.monotonic()
            if time.monotonic() - self._asked_at >= PATIENCE_S:
                self._go(self._collecting_since, collecting=True)
        return True

    def _on_rollout_start(self) -> None:
        if self._resume is not None:
            self._take_up(*self._resume)
            self._resume = None
        if not self.own.random_asked:
            with suppress(Stopped):  # we go below
                self._play_random()
        self._check_loss()
        step = self.model.num_timesteps
        if not self._stop.asked and _due(step, self.own.evaluated_at, self._evaluate_every):
            with suppress(Stopped):  # we go just below
                self.evaluate()
        if self._stop.asked:
            self._go(step)
        if _due(step, self.own.saved_at, self._save_every):
            self._save(step)
        self._must_go()
        self._collecting_since = step

    def _take_up(self, ref: CheckpointRef, state: dict[str, Any]) -> None:
        checkpoint.restore(self.model, state)
        self.own = _completed(state["own"])
        if self.own.best is not None:
            self.own.best = _completed(self.own.best)
        self.resumed_from = ref.step
        self._began = time.monotonic()
        self.tell()

    def _play_random(self) -> None:
        self.tell()
        self.own.random = self._evaluator.random(
            seed=self._run.seed, budget=self._run.spec.budget.steps, stop=self._must_go
        )
        self.own.random_asked = True
        self.own.seen(self.own.random or {})

    def _must_go(self) -> bool:
        """Asked before every timestep, of a collection or an evaluation, which may take long: the logbook hears of us
        meanwhile.
        """
        if time.monotonic() - self._told >= PERIOD_S:
            self.tell()
        return self._stop.asked

    def _check_loss(self) -> None:
        loss = self.model.logger.name_to_value.get("train/loss")
        if loss is not None and not math.isfinite(loss):
            raise Diverged(
                f"train/loss is {loss} at timestep {self.model.num_timesteps}: lower learning_rate, or look at the "
                "size of the environment's rewards and observations."
            )

    def _go(self, step: int, *, collecting: bool = False) -> None:
        """Save and go.

        Args:
            step: Timestep to go on from.
            collecting: In the middle of the collection that began there.
        """
        if step > self.own.saved_at:  # else the checkpoint of that very moment is there, and is exact
            self._save(step, collecting=collecting)
        stored = self._keeper.flush(FLUSH_S)
        self.tell()
        raise Interrupted(
            f"asked to stop at timestep {step}; a checkpoint is saved"
            + ("." if stored else ", but the store did not answer: the next pod goes on from an older one.")
        )

    def _save(self, step: int, *, collecting: bool = False) -> None:
        if not checkpoint.finite(self.model):
            raise Diverged(f"weights are not finite at timestep {step}: lower learning_rate.")
        self.own.saved_at = step
        self._keeper.save(step, checkpoint.pack(self.model, self.own, collecting_since=step if collecting else None))

    def _metrics(self) -> dict[str, float]:
        metrics = {name: float(value) for name, value in self.model.logger.name_to_value.items()}
        if returns := [episode["r"] for episode in self.model.ep_info_buffer or ()]:
            metrics["collection/return"] = float(np.mean(returns))
        return {name: value for name, value in metrics.items() if math.isfinite(value)}


def _due(step: int, last: int, every: int) -> bool:
    return step // every > last // every


_Kept = TypeVar("_Kept", Own, Best)


def _completed(kept: _Kept) -> _Kept:
    """Return what a checkpoint kept; what an earlier version did not know of is as at a start."""
    return type(kept)(**{one.name: getattr(kept, one.name) for one in fields(kept) if hasattr(kept, one.name)})
