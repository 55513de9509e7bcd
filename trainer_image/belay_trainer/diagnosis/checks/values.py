"""Values: can what the critic expects be true?"""

import numpy as np

from belay_api.findings import Finding
from belay_api.reasons import FindingReason
from belay_trainer.diagnosis.evidence import Evidence
from belay_trainer.diagnosis.finding import found

FEWEST_REWARDS = 1_000  # seen, before their range is taken for what rewards can be
NEAR_ZERO = 0.01  # of what really came
LEARNED_FROM = 1_000  # gradient steps: after fewer a critic may well still stand at its beginning


def values_out_of_bounds(evidence: Evidence) -> Finding | None:
    """Return a finding where the median value lies outside of what is possible by more than all that is possible.

    With rewards from r_low to r_high a discounted return lies between r_low h and r_high h (0 included), where
    h = (1 - discount^T) / (1 - discount) and T is the most timesteps that can follow: none where episodes are
    truncated, since their values go on beyond. Networks overshoot: an excess by less than the width of this range comes
    and goes in healthy trainings.
    """
    values, rewards, episodes = evidence.values, evidence.rewards, evidence.episodes
    if values is None or rewards is None or rewards.count < FEWEST_REWARDS or not len(values.predicted):
        return None
    all_end = episodes is not None and len(episodes.lengths) > 0 and bool(episodes.terminated.all())
    horizon = _horizon(evidence.task.discount, evidence.task.cap if all_end else None)
    if horizon is None:
        return None
    low = min(rewards.low - values.bonus, 0.0) * horizon
    high = max(rewards.high + values.bonus, 0.0) * horizon
    middle = float(np.median(values.predicted))
    width = high - low
    if width == 0 or low - width <= middle <= high + width:
        return None
    return found(
        FindingReason.VALUES_OUT_OF_BOUNDS,
        f"The critic expects {middle:.3g} at the median of {len(values.predicted)} observations; with rewards from "
        f"{rewards.low:.3g} to {rewards.high:.3g} and a discount of {evidence.task.discount:g} only {low:.3g} to "
        f"{high:.3g} is possible.",
        "Lower learning_rate or gamma, update a target network less often or more slowly (tau), or set normalize: "
        "{reward: true}.",
    )


def values_near_zero(evidence: Evidence) -> Finding | None:
    """Return a finding where the critic, after many updates, expects less than a hundredth of what comes."""
    values, steps = evidence.values, evidence.updates.gradient_steps
    if values is None or steps < LEARNED_FROM or not len(values.realised):
        return None
    came = float(np.median(values.realised))
    # Where it is now this and now that, an expectation near zero may be right.
    if came == 0 or not (np.sign(values.realised) == np.sign(came)).all():
        return None
    expected = float(np.median(np.abs(values.predicted)))
    if not expected < NEAR_ZERO * abs(came):
        return None
    return found(
        FindingReason.VALUES_NEAR_ZERO,
        f"After {steps} gradient steps the critic expects {expected:.2g} at the median, where a discounted return of "
        f"{came:.3g} really followed.",
        "Set normalize: {reward: true}, or divide the reward in the environment; else raise learning_rate.",
    )


def _horizon(discount: float, most: int | None) -> float | None:
    """Return the sum of the discounts; None: there is none."""
    if discount < 1:
        return (1 - discount ** (most or np.inf)) / (1 - discount)
    return None if most is None else float(most)
