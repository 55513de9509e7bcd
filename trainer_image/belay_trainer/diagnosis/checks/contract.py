"""The environment's contract: do reset, seeds and actions do what they are for? `probe` has played it out."""

from belay_api.findings import Finding
from belay_api.reasons import FindingReason
from belay_trainer.diagnosis.evidence import Evidence
from belay_trainer.diagnosis.finding import found


def actions_without_effect(evidence: Evidence) -> Finding | None:
    """Return a finding where three sequences of actions led to the very same course."""
    contract = evidence.contract
    if contract is None or not contract.ignores_actions:
        return None
    return found(
        FindingReason.ACTIONS_WITHOUT_EFFECT,
        f"From one seed, three sequences of random actions gave the same {contract.steps} observations and rewards.",
        "Let step() use its action; look for one that is overwritten, rounded to nothing or clipped to one value.",
    )


def reset_leaves_state(evidence: Evidence) -> Finding | None:
    """Return a finding where an episode depends on those before it."""
    contract = evidence.contract
    if contract is None or contract.reset_differs is None:
        return None
    return found(
        FindingReason.RESET_LEAVES_STATE,
        f"With the same seed and actions a used copy differs from a new one: {contract.reset_differs}.",
        "Set everything back in reset(), counters and random generators included: `super().reset(seed=seed)`.",
    )


def not_deterministic(evidence: Evidence) -> Finding | None:
    """Return a finding where a seed does not say what happens. On hardware that is so; a simulation can be mended."""
    contract = evidence.contract
    if contract is None or contract.copies_differ is None:
        return None
    return found(
        FindingReason.NOT_DETERMINISTIC,
        f"With the same seed and actions two new copies differ: {contract.copies_differ}.",
        "Draw from self.np_random alone, which `super().reset(seed=seed)` seeds; on hardware this is to be expected, "
        "and more evaluation.episodes help.",
    )
