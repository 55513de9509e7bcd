"""Rewards: are ends paid that should be?"""

from belay_api.findings import Finding
from belay_api.reasons import FindingReason
from belay_trainer.diagnosis.chance import ENOUGH_EPISODES
from belay_trainer.diagnosis.evidence import Evidence
from belay_trainer.diagnosis.finding import found

FEWEST_SUCCESSES = 10  # of them none paid: no reward for success is that rare


def terminal_reward(evidence: Evidence) -> Finding | None:
    """Return a finding where nothing is ever paid although the task itself ends episodes, or calls some a success."""
    rewards, episodes = evidence.rewards, evidence.episodes
    if rewards is None or episodes is None or not rewards.low == rewards.high == 0:
        return None
    successes, ends = int((episodes.success == 1).sum()), int(episodes.terminated.sum())
    if successes >= FEWEST_SUCCESSES:
        seen = f"The environment calls {successes} episodes a success"
    elif ends >= ENOUGH_EPISODES:
        seen = f"The task ended {ends} episodes"
    else:
        return None
    return found(
        FindingReason.TERMINAL_REWARD_MISSING,
        f"{seen}, but all {rewards.count} recorded rewards, the last of each episode among them, are 0.",
        "Return the reward of the end from the very step() that terminates; if a goal is just never reached, explore "
        "more or pay for coming nearer.",
    )
