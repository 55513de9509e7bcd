"""Relapse: was more learned than is left?"""

from belay_api.findings import EARLY, Finding
from belay_api.reasons import FindingReason
from belay_trainer.diagnosis.chance import FEWEST_EVALUATIONS, above
from belay_trainer.diagnosis.evidence import Evidence
from belay_trainer.diagnosis.finding import found

IN_A_ROW = 3  # evaluations: one bad one is nothing
END = 0.9  # of the budget: PPO and A2C fall to half on CartPole for thousands of timesteps, and rise again
LOST = 0.5  # of what the best one was above random actions


def relapsed(evidence: Evidence) -> Finding | None:
    """Return a finding where a training ends with half of what its best evaluation had gained over random actions.

    The best of many is lucky: each of the three must be worse by more than the best of as many tries is by chance.
    """
    evaluations, random = evidence.evaluations, evidence.random.get("return")
    count = len(evaluations)
    if random is None or count < FEWEST_EVALUATIONS or evidence.step < max(EARLY, END * evidence.task.budget):
        return None
    best, latest = max(evaluations[:-IN_A_ROW], key=lambda one: one.mean), evaluations[-IN_A_ROW:]
    if not above(best, random, tries=count):
        return None
    enough = random.mean + (1 - LOST) * (best.mean - random.mean)
    if any(one.mean >= enough or not above(best, one, tries=count) for one in latest):
        return None
    return found(
        FindingReason.RELAPSED,
        f"The evaluation at timestep {best.step} returned {best.mean:.4g}, the last {IN_A_ROW} at most "
        f"{max(one.mean for one in latest):.4g}.",
        "The best checkpoint is published. To keep what is learned lower learning_rate, or let it fall "
        "(learning_rate_schedule: linear).",
    )
