"""What is wrong with a training, in the order to look at it: a list of small pure checks over one value of evidence.

    rewards ─▶ the environment's contract ─▶ values ─▶ learning at all ─▶ policy ─▶ optimisation ─▶ relapse

What stands first may cause what follows. No check knows a number for what a value, a loss or a return should be: that
depends on rewards, discount and length, which the evidence has. A healthy training that has not learned yet is told
nothing: see `chance` for how often that may fail.
"""

from belay_api.findings import Finding
from belay_api.reasons import FindingReason as R
from belay_trainer.diagnosis.checks.contract import actions_without_effect, not_deterministic, reset_leaves_state
from belay_trainer.diagnosis.checks.learning import no_better_than_random, weights_stand_still
from belay_trainer.diagnosis.checks.observations import observation_constant, observation_outside_space
from belay_trainer.diagnosis.checks.optimisation import policy_jumps, updates_too_large
from belay_trainer.diagnosis.checks.policy import entropy_collapsed, no_exploration
from belay_trainer.diagnosis.checks.relapse import relapsed
from belay_trainer.diagnosis.checks.reward_constant import reward_constant
from belay_trainer.diagnosis.checks.reward_sign import reward_sign
from belay_trainer.diagnosis.checks.terminal_reward import terminal_reward
from belay_trainer.diagnosis.checks.time_limit import time_limit
from belay_trainer.diagnosis.checks.values import values_near_zero, values_out_of_bounds
from belay_trainer.diagnosis.evidence import Evidence
from belay_trainer.diagnosis.finding import Check

CHECKS: tuple[Check, ...] = (
    reward_sign,
    reward_constant,
    terminal_reward,
    observation_outside_space,
    observation_constant,
    actions_without_effect,
    reset_leaves_state,
    not_deterministic,
    time_limit,
    values_out_of_bounds,
    values_near_zero,
    weights_stand_still,
    no_better_than_random,
    entropy_collapsed,
    no_exploration,
    updates_too_large,
    policy_jumps,
    relapsed,
)

PASSING = frozenset(
    {R.TIME_LIMIT_TERMINATES, R.VALUES_OUT_OF_BOUNDS, R.VALUES_NEAR_ZERO, R.ENTROPY_COLLAPSED, R.POLICY_JUMPS}
)
"""What comes and goes in healthy trainings: it is a finding once two looks in a row see it."""

_UPDATES = frozenset({R.WEIGHTS_STAND_STILL, R.UPDATES_TOO_LARGE})
SYMPTOMS = {
    R.VALUES_OUT_OF_BOUNDS: _UPDATES,
    R.VALUES_NEAR_ZERO: _UPDATES,
    R.ENTROPY_COLLAPSED: _UPDATES,
    R.POLICY_JUMPS: _UPDATES,
    R.NO_EXPLORATION: _UPDATES,
    R.NO_BETTER_THAN_RANDOM: _UPDATES | {R.ENTROPY_COLLAPSED, R.NO_EXPLORATION, R.POLICY_JUMPS},
}
"""What is left out beside what causes it, although that stands later in the list."""


def suspicions(evidence: Evidence) -> list[Finding]:
    """Return what the checks see at one look, in their order."""
    return [finding for check in CHECKS if (finding := check(evidence)) is not None]


def conclude(seen: list[Finding], *, before: frozenset[str]) -> list[Finding]:
    """Return what of it is told.

    Args:
        before: Reasons of what the look before saw.
    """
    lasting = [one for one in seen if one.reason not in PASSING or one.reason in before]
    reasons = {one.reason for one in lasting}
    return [one for one in lasting if not SYMPTOMS.get(R(one.reason), frozenset()) & reasons]
