"""How far each seed is, from its newest heartbeat and its last word: arithmetic and words, nothing else."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from belay_api.training import TrainingReport
from belay_api.wire import RunEvaluation, RunProgress


class Phase(StrEnum):
    """What a seed is doing."""

    WAITS = "waits"
    """For a free place among those at work."""
    BEGINS = "begins"
    """Its process has told nothing yet."""
    TRAINS = "trains"
    MEASURES = "measures its best policy"
    """The budget is used up; the checkpoint that is published is evaluated once more and exported."""
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class SeedState:
    """One seed as it is shown."""

    seed: int
    phase: Phase
    step: int  # timesteps done
    total: int  # timesteps asked for
    evaluation: RunEvaluation | None = None  # the newest
    best: float | None = None  # highest mean return of an evaluation
    steps_per_second: float | None = None
    report: TrainingReport | None = None  # once it has ended

    unit = "timestep"

    @property
    def title(self) -> str:
        """What the bar is of."""
        return f"seed {self.seed}"

    @property
    def news(self) -> object:
        """What a line is written for: that it has begun, was evaluated or has ended. None: nothing yet."""
        evaluated = self.evaluation.step if self.evaluation else None
        return None if self.phase is Phase.WAITS else (self.phase, evaluated)

    @property
    def text(self) -> str:
        """What is said beside the bar."""
        return words(self)


def seed_state(
    seed: int, total: int, *, at_work: bool, heartbeat: RunProgress | None, report: TrainingReport | None
) -> SeedState:
    """Return how far a seed is.

    Args:
        total: Timesteps asked for.
        at_work: It has a process.
        heartbeat: Its newest of this life; None: it has told nothing.
        report: Its last word; None: it has not ended.
    """
    step = heartbeat.step if heartbeat else 0
    evaluations = heartbeat.evaluations if heartbeat else []
    if report is not None:
        phase, step = Phase.ENDED, min(report.step, total) or step  # a failure tells no step
    elif not at_work:
        phase = Phase.WAITS
    elif heartbeat is None:
        phase = Phase.BEGINS
    else:
        # The heartbeat of the last evaluation is the last one; before it, the budget may be used up already.
        phase = Phase.MEASURES if evaluations and evaluations[-1].step >= total else Phase.TRAINS
    return SeedState(
        seed,
        phase,
        step,
        total,
        evaluation=evaluations[-1] if evaluations else None,
        best=heartbeat.best_return if heartbeat else None,
        steps_per_second=heartbeat.steps_per_second if heartbeat else None,
        report=report,
    )


def time_left(progress: SeedState) -> timedelta | None:
    """Return how long a seed still trains at the rate it had so far, evaluations included; None: nobody can say."""
    if progress.phase is not Phase.TRAINS or not progress.steps_per_second:
        return None
    return timedelta(seconds=(progress.total - progress.step) / progress.steps_per_second)


def words(progress: SeedState) -> str:
    """Return what is said of a seed beside its bar."""
    report = progress.report
    if report is not None and report.outcome == "Succeeded" and report.estimate is not None:
        return report.estimate.words()
    if report is not None and report.outcome == "Succeeded":
        return f"return {number(report.return_)} at timestep {report.best_step:,}"
    if report is not None:
        return f"{report.outcome}: {report.message}" if report.message else report.outcome
    parts = []
    if progress.evaluation is not None:
        parts.append(f"return {number(progress.evaluation.mean)}")
        parts.append(f"best {number(progress.best)}")
    if progress.phase is not Phase.TRAINS:
        return ", ".join([*parts, str(progress.phase)])
    if progress.steps_per_second:
        parts.append(f"{progress.steps_per_second:,.0f} steps/s")
    left = time_left(progress)
    if left is not None:
        parts.append(f"{clock(left)} left")
    return ", ".join(parts) or str(progress.phase)


def number(value: float | None) -> str:
    """Return a return with the digits that mean something.

    >>> number(187.3333), number(-1234.5), number(0.01234), number(None)
    ('187.3', '-1,234', '0.0123', '?')
    """
    if value is None:
        return "?"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 or value == 0 else f"{value:.3g}"


def clock(left: timedelta) -> str:
    """Return a duration as a clock shows it.

    >>> clock(timedelta(seconds=28.4)), clock(timedelta(hours=26, minutes=3, seconds=9))
    ('0:28', '26:03:09')
    """
    seconds = round(left.total_seconds())
    hours, minutes, seconds = seconds // 3600, seconds // 60 % 60, seconds % 60
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
