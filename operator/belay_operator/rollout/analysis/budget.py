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


@dataclass(frozen=True, slots=True)
class Budget:
    """One-sided errors that one compared metric may spend over the whole rollout."""

    outcome: float  # wrongly worse, by the outcome
    missing: float  # wrongly worse, by the missing rate
    wrong_promotion: float = WRONG_PROMOTION_RATE


def split(false_rollback_rate: float, compared_metrics: int) -> Budget:
    """Return what each compared metric may spend so that all of them together keep the stated rate.

    Args:
        false_rollback_rate: Over the whole rollout, in (0, 0.25].
        compared_metrics: Metrics judged by statistics; guard rails spend nothing.
    """
    if not 0 < false_rollback_rate <= 0.25:
        raise ValueError(f"analysis.falseRollbackRate is {false_rollback_rate}, wanted above 0 and at most 0.25")
    each = false_rollback_rate / max(compared_metrics, 1)
    return Budget(outcome=each * (1 - MISSING_SHARE), missing=each * MISSING_SHARE)
