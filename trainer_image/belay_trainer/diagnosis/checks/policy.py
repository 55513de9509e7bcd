"""Policy: does it still try anything?"""

from belay_api.findings import Finding
from belay_api.reasons import FindingReason
from belay_trainer.diagnosis.chance import learned
from belay_trainer.diagnosis.evidence import Evidence
from belay_trainer.diagnosis.finding import found

LEAST_EXPLORED = 0.005  # of actions
FEWEST_TIMESTEPS = 1_000


def entropy_collapsed(evidence: Evidence) -> Finding | None:
    """Return a finding where a policy is certain of itself without reason: a good one may well be."""
    entropy, least = evidence.updates.entropy, evidence.task.least_entropy
    if entropy is None or least is None or entropy >= least or learned(evidence) is not False:
        return None
    return found(
        FindingReason.ENTROPY_COLLAPSED,
        f"The policy's entropy is {entropy:.2g} nats, and no evaluation is better than random actions"
        f"{_usually(evidence)}.",
        "Raise ent_coef (0.01 is usual) or lower learning_rate.",
    )


def no_exploration(evidence: Evidence) -> Finding | None:
    """Return a finding where nothing but its own best guess was ever tried, and that guess is not good."""
    explored = evidence.updates.exploration
    if explored is None or explored >= LEAST_EXPLORED or evidence.step < FEWEST_TIMESTEPS:
        return None
    if learned(evidence) is not False:
        return None
    return found(
        FindingReason.NO_EXPLORATION,
        f"At most {100 * explored:.2g} % of actions were ever random, and after {evidence.step} timesteps no "
        f"evaluation is better than random actions{_usually(evidence)}.",
        "Raise exploration_initial_eps (1 is usual) and exploration_steps, or action_noise (0.1 is usual).",
    )


def _usually(evidence: Evidence) -> str:
    return f"; {evidence.updates.usual_action}" if evidence.updates.usual_action else ""
