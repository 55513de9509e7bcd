"""The environment's contract: are observations what its space says, and do they say anything?"""

import numpy as np

from belay_api.findings import Finding
from belay_api.reasons import FindingReason
from belay_trainer.diagnosis.chance import RARE
from belay_trainer.diagnosis.evidence import Evidence
from belay_trainer.diagnosis.finding import found

FEWEST = 1_000  # observations; if one of a hundred were another, all would be alike in 4 of 100,000 trainings


def observation_outside_space(evidence: Evidence) -> Finding | None:
    """Return a finding where more than one observation of a hundred is outside: fewer harm nobody."""
    seen = evidence.observations
    if seen is None or seen.count < FEWEST or seen.outside <= RARE * seen.count:
        return None
    return found(
        FindingReason.OBSERVATION_OUTSIDE_SPACE,
        f"{seen.outside} of {seen.count} observations lie outside the space: {seen.where}.",
        "Correct observation_space: scaling, safety bounds and drift are judged by it.",
    )


def observation_constant(evidence: Evidence) -> Finding | None:
    """Return a finding where no number of the observation ever changes. One-step tasks may well be like that."""
    seen, episodes = evidence.observations, evidence.episodes
    if seen is None or seen.count < FEWEST or not np.array_equal(seen.low, seen.high):
        return None
    if episodes is None or not len(episodes.lengths) or episodes.lengths.max() <= 1:
        return None
    shown = ", ".join(f"{value:.3g}" for value in seen.low[:3]) + (", …" if len(seen.low) > 3 else "")
    return found(
        FindingReason.OBSERVATION_CONSTANT,
        f"All {seen.count} recorded observations are the same: ({shown}).",
        "Return the current observation from step(), not the one of reset() or an array that is never filled.",
    )
