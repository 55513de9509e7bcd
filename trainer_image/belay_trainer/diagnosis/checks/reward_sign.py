"""Rewards: is the opposite paid of what is wanted?

No reward says of itself what it is for. Three things do: the return at which the environment calls itself solved, the
episodes it calls a success, and how one falls who does nothing on purpose.
"""

import math
from statistics import NormalDist

import numpy as np

from belay_api.findings import Finding
from belay_api.reasons import FindingReason
from belay_trainer.diagnosis.chance import ENOUGH_EPISODES, SOME_EPISODES, at_look
from belay_trainer.diagnosis.evidence import Evidence
from belay_trainer.diagnosis.finding import found

SOON = 0.1  # of the cap: an episode of random actions that is over by then did not need any skill to end
ALL = 0.99  # of episodes
COSTS = 0.5  # of the mean: where the cheapest timestep costs less, staying alive may well pay
FEWEST_OF_EACH = 10  # successes and failures, for the normal approximation of their ranks
_ADVICE = "Turn the sign of the reward round, or pay for every timestep that shall be survived."


def reward_sign(evidence: Evidence) -> Finding | None:
    """Return a finding where rewards point away from what the environment itself says is wanted."""
    return _never_solved(evidence) or _success_pays_less(evidence) or _ending_pays(evidence)


def _never_solved(evidence: Evidence) -> Finding | None:
    """A sum of rewards none of which is above 0 never reaches a return above 0. That a rare end pays was seen by now.

    MountainCarContinuous pays 100 at a goal that random actions do not reach: without ends there is nothing to say.
    """
    wanted, rewards, episodes = evidence.task.solved_at, evidence.rewards, evidence.episodes
    if wanted is None or rewards is None or episodes is None:
        return None
    if int(episodes.terminated.sum()) < ENOUGH_EPISODES:
        return None
    flipped = (wanted > 0 and rewards.high <= 0 and rewards.low < 0) or (
        wanted < 0 and rewards.low >= 0 and rewards.high > 0
    )
    if not flipped:
        return None
    return found(
        FindingReason.REWARD_SIGN_FLIPPED,
        f"The environment is solved at a return of {wanted:g}, but its {rewards.count} rewards lie from "
        f"{rewards.low:.3g} to {rewards.high:.3g}: no sum of them has that sign.",
        "Turn the sign of the reward round, or correct reward_threshold where the environment is registered.",
    )


def _success_pays_less(evidence: Evidence) -> Finding | None:
    """Rank test of returns between episodes that are called a success and the others.

    Source: Mann, Whitney, "On a test of whether one of two random variables is stochastically larger than the other",
        Annals of Mathematical Statistics 18 (1947) 50-60; normal approximation, corrected for ties.
    """
    episodes = evidence.episodes
    if episodes is None:
        return None
    won, lost = episodes.returns[episodes.success == 1], episodes.returns[episodes.success == 0]
    if min(len(won), len(lost)) < FEWEST_OF_EACH:
        return None
    both = np.concatenate([won, lost])
    values, inverse, ties = np.unique(both, return_inverse=True, return_counts=True)
    if len(values) == 1:
        return None
    ranks = (np.cumsum(ties) - (ties - 1) / 2)[inverse]
    n, m = len(won), len(lost)
    u = ranks[:n].sum() - n * (n + 1) / 2
    size = n + m
    variance = n * m / 12 * (size + 1 - float((ties**3 - ties).sum()) / (size * (size - 1)))
    if (u - n * m / 2) / math.sqrt(variance) > NormalDist().inv_cdf(at_look(evidence.look)):
        return None
    return found(
        FindingReason.REWARD_SIGN_FLIPPED,
        f"{n} episodes that the environment calls a success return {won.mean():.3g} on average, {m} others "
        f"{lost.mean():.3g}: failing is paid better.",
        _ADVICE,
    )


def _ending_pays(evidence: Evidence) -> Finding | None:
    """Where each timestep costs and anybody can end an episode, the best policy is to end it at once."""
    rewards, episodes, cap = evidence.rewards, evidence.episodes, evidence.task.cap
    length, random = evidence.random.get("length"), evidence.random.get("return")
    if rewards is None or episodes is None or cap is None or length is None or random is None:
        return None
    if len(episodes.lengths) < SOME_EPISODES or not episodes.terminated.mean() > ALL:
        return None
    costs = rewards.high < 0 and rewards.high <= COSTS * rewards.mean
    # Beside a penalty for ending that is high enough, surviving pays after all.
    if not costs or length.mean > SOON * cap or random.mean <= rewards.mean * cap:
        return None
    return found(
        FindingReason.REWARD_SIGN_FLIPPED,
        f"Every timestep costs, {-rewards.mean:.3g} on average, and random actions end an episode after "
        f"{length.mean:.3g} of {cap} timesteps: the sooner it ends, the higher the return.",
        f"If that end is a failure: {_ADVICE[0].lower()}{_ADVICE[1:]}",
    )
