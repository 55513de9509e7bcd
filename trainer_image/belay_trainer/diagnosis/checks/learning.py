"""Learning at all: do the weights move, and does it help?"""

import math

from belay_api.findings import EARLY, Finding
from belay_api.reasons import FindingReason
from belay_trainer.diagnosis.chance import FEWEST_EVALUATIONS, learned
from belay_trainer.diagnosis.evidence import Evidence
from belay_trainer.diagnosis.finding import found

STILL = 1e-8  # of the weights' size, by one gradient step: learning_rate 1e-9 or less
FEWEST_STEPS = 100  # RMSprop begins with steps that are much smaller than its later ones


def weights_stand_still(evidence: Evidence) -> Finding | None:
    """Return a finding where updates do nothing.

    The optimisers in use move a weight by about learning_rate, whatever the loss, and steps that point nowhere in
    particular add up like the root of their number. Single precision knows no smaller ones anyway.
    """
    updates = evidence.updates
    if updates.movement is None or updates.movement_steps < FEWEST_STEPS:
        return None
    if not updates.movement / math.sqrt(updates.movement_steps) < STILL:
        return None
    if updates.rounds:
        return found(
            FindingReason.WEIGHTS_STAND_STILL,
            f"{updates.movement_steps} rounds moved the policy's weights by {updates.movement:.1g} of their size.",
            "See that learn() changes self.policy, and not a copy of it.",
        )
    return found(
        FindingReason.WEIGHTS_STAND_STILL,
        f"{updates.movement_steps} gradient steps moved the weights by {updates.movement:.1g} of their size.",
        "Raise learning_rate: 1e-5 to 1e-3 is usual. A linear schedule comes to 0 at budget.steps: raise those where "
        "one collection reaches them.",
    )


def no_better_than_random(evidence: Evidence) -> Finding | None:
    """Return a finding where half of the budget brought nothing that can be told from random actions."""
    evaluations = evidence.evaluations
    if len(evaluations) < FEWEST_EVALUATIONS or evidence.step < max(EARLY, evidence.task.budget / 2):
        return None
    if learned(evidence) is not False:
        return None
    best, random = max(one.mean for one in evaluations), evidence.random["return"]
    return found(
        FindingReason.NO_BETTER_THAN_RANDOM,
        f"After {evidence.step} timesteps the best of {len(evaluations)} evaluations returns {best:.4g}, random "
        f"actions return {random.mean:.4g}.",
        "Try, in this order: another learning_rate, more exploration, a reward for coming nearer, a larger budget.",
    )
