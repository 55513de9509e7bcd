"""Rewards: does anything that is done make a difference?"""

import numpy as np

from belay_api.findings import Finding
from belay_api.reasons import FindingReason
from belay_trainer.diagnosis.chance import ENOUGH_EPISODES
from belay_trainer.diagnosis.evidence import Evidence
from belay_trainer.diagnosis.finding import found


def reward_constant(evidence: Evidence) -> Finding | None:
    """Return a finding where no episode, of whichever policy, returned anything else than all others.

    CartPole pays 1 at every timestep and is well: its episodes differ in length. Where not, another reward would have
    been seen by now if it came in one episode of a hundred.
    """
    rewards, episodes = evidence.rewards, evidence.episodes
    if rewards is None or episodes is None or rewards.low != rewards.high:
        return None
    if len(episodes.lengths) < ENOUGH_EPISODES or (rewards.low == 0 and episodes.terminated.any()):
        return None  # the latter is for `terminal_reward`
    low, high = evidence.reach.get("return", (episodes.returns.min(), episodes.returns.max()))
    if not np.isclose(low, high) or not np.isclose(episodes.returns.min(), episodes.returns.max()):
        return None
    return found(
        FindingReason.REWARD_CONSTANT,
        f"All {rewards.count} recorded rewards are {rewards.low:.3g}, and all {len(episodes.lengths)} episodes, as "
        f"those of random actions, return {high:.4g}.",
        "Let the reward depend on what is reached; if a goal is just never reached, explore more or pay for coming "
        "nearer.",
    )
