"""Rewards: does anything that is done make a difference?"""

import numpy as np

from belay_api.findings import Finding
from belay_api.reasons import FindingReason
from belay_trainer.diagnosis.chance import SOME_EPISODES, at_most
from belay_trainer.diagnosis.evidence import Evidence
from belay_trainer.diagnosis.finding import found


def reward_constant(evidence: Evidence) -> Finding | None:
    """Return a finding where no episode, of whichever policy, returned anything else than all others.

    CartPole pays 1 at every timestep and is well: its episodes differ in length. Where not, another reward would have
    been seen by now if it came in one episode of twenty. Those of random actions count as well: they are known from the
    beginning, and of long episodes few are recorded. Evaluations do not, for they begin at the same starts.
    """
    rewards, episodes = evidence.rewards, evidence.episodes
    if rewards is None or episodes is None or rewards.low != rewards.high:
        return None
    random = evidence.random.get("return")
    of_random = random.episodes if random is not None else 0
    count = len(episodes.lengths) + of_random
    if not len(episodes.lengths) or count < SOME_EPISODES or (rewards.low == 0 and episodes.terminated.any()):
        return None  # the latter is for `terminal_reward`
    returns = [episodes.returns.min(), episodes.returns.max(), *evidence.reach.get("return", ())]
    returns += [random.min, random.max] if random is not None else []
    if not np.isclose(min(returns), max(returns)):
        return None
    among = f", {of_random} of random actions among them," if of_random else ""
    share = f"{100 * at_most(count):.2g} %"
    return found(
        FindingReason.REWARD_CONSTANT,
        f"All {rewards.count} recorded rewards are {rewards.low:.3g}, and all {count} episodes{among} return "
        f"{max(returns):.4g}, as evaluations do: anything else is paid in fewer than {share} of episodes.",
        "Let the reward depend on what is reached; if a goal is just never reached, explore more or pay for coming "
        "nearer.",
    )
