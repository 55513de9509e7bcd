"""How much error each test may spend.

Errors add. The stated false-rollback rate holds for the whole rollout, all compared metrics and all looks together,
because its parts sum to it (Bonferroni). A rollback needs one Fail, so that budget is split; a promotion needs every
Pass, so a wrong promotion needs every test wrong at once, and each may use its full rate.
"""

from __future__ import annotations

from dataclasses import dataclass

# Share of a metric's budget for its missing test. Small, because silence is a large effect on a 0/1 outcome: a tenth
# of the error costs it log(10) nats, a handful of episodes, while the outcome's own test keeps nearly all.
MISSING_SHARE = 0.1
WRONG_PROMOTION_RATE = 0.025  # chance that a candidate worse by the allowed regression or more ever passes, per metric

# Share of the errors that the first trial of a digest may spend; all further ones share the rest: a retry, an edited
# metric and a digest that comes again spend nothing twice.
FIRST_TRIAL = 0.9


@dataclass(frozen=True, slots=True)
class Budget:
    """One-sided errors that one compared metric may spend over the whole rollout."""

    outcome: float | None  # wrongly worse, by the outcome; None: nobody is taken back by it
    missing: float | None  # wrongly worse, by the missing rate; None: nobody is taken back by it
    wrong_promotion: float  # wrongly not worse by the margin
    regret: float | None = None  # wrongly more lost than is lost; None: what is lost is not asked for

    @property
    def only_pass(self) -> Budget:
        """The same for a comparison that withholds Pass and fails nobody: who needs both Passes needs no less error."""
        return Budget(outcome=None, missing=None, wrong_promotion=self.wrong_promotion)


def share_of_trial(trial: int) -> float:
    """Return the part of the stated errors that the so manieth test of a digest may spend, from 1 on: they sum to 1."""
    return FIRST_TRIAL if trial <= 1 else (1 - FIRST_TRIAL) / (trial * (trial - 1))


def split(false_rollback_rate: float, tests: int, *, trial: int = 1) -> Budget:
    """Return what each compared metric may spend so that all of them together keep the stated rate.

    Args:
        false_rollback_rate: Over the whole life of a candidate, in (0, 0.25].
        tests: One for each metric judged by statistics, and one more for a `maxRegret`; guard rails spend nothing.
        trial: The how manieth time this digest is put to the test, from 1 on.
    """
    if not 0 < false_rollback_rate <= 0.25:
        raise ValueError(f"analysis.falseRollbackRate is {false_rollback_rate}, wanted above 0 and at most 0.25")
    part = share_of_trial(trial)
    each = part * false_rollback_rate / max(tests, 1)
    return Budget(
        outcome=each * (1 - MISSING_SHARE),
        missing=each * MISSING_SHARE,
        wrong_promotion=part * WRONG_PROMOTION_RATE,
        regret=each,
    )
