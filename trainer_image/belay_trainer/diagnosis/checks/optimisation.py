"""Optimisation: are the steps of a size from which one can learn?"""

from belay_api.findings import Finding
from belay_api.reasons import FindingReason
from belay_trainer.diagnosis.evidence import Evidence
from belay_trainer.diagnosis.finding import found

TOO_LARGE = 0.1  # of the weights' size at the beginning, by one gradient step on average
FIRST = 10  # steps: Adam's first ones all point the same way, and are larger than any later
JUMP = 10  # times what the clip range is there to allow


def updates_too_large(evidence: Evidence) -> Finding | None:
    """Return a finding where a single gradient step replaces much of the network.

    The distance from the beginning is at most the sum of all steps (triangle inequality). So their mean is at least
    distance / number, and this never overstates it. Usual settings move weights by a hundredth at most. A round of a
    user's algorithm may have many gradient steps in it, or none, and be of any size.
    """
    updates = evidence.updates
    if updates.rounds or updates.movement is None or not updates.movement_steps:
        return None
    if updates.movement <= TOO_LARGE * max(updates.movement_steps, FIRST):
        return None
    return found(
        FindingReason.UPDATES_TOO_LARGE,
        f"{updates.movement_steps} gradient steps moved the weights by {updates.movement:.3g} times their size: one by "
        f"{updates.movement / updates.movement_steps:.2g} times on average, or more.",
        "Lower learning_rate: 1e-5 to 1e-3 is usual.",
    )


def policy_jumps(evidence: Evidence) -> Finding | None:
    """Return a finding where policies move farther in one update than their clip range e allows.

    A policy all of whose probabilities moved by the factor 1 ± e has a divergence of about e^2 / 2 from the one before.
    Source: Schulman, Wolski, Dhariwal, Radford, Klimov, "Proximal Policy Optimization Algorithms", 2017,
        arXiv:1707.06347, section 3 (clip); Schulman, "Approximating KL Divergence", 2020 (the estimator in the logs).
    """
    kl, clip = evidence.updates.kl, evidence.updates.clip_range
    if kl is None or clip is None or not clip > 0 or kl <= JUMP * clip**2 / 2:
        return None
    return found(
        FindingReason.POLICY_JUMPS,
        f"One update changes the policy by a KL divergence of {kl:.2g} at the median, where a clip range of {clip:g} "
        f"stands for about {clip**2 / 2:.2g}.",
        "Lower learning_rate or n_epochs, or raise batch_size.",
    )
