"""The environment's contract: terminated or truncated?

An episode that is only cut must be reported as truncated: then what would have come is estimated and learned from. As
terminated it counts as worth nothing, and states shortly before the limit, which look like any others, are learned to
be worthless. Where the observation tells the time, that is right all the same: then they do not look alike.
"""

import math

from belay_api.findings import Finding
from belay_api.reasons import FindingReason
from belay_trainer.diagnosis.chance import at_look, binomial_tail
from belay_trainer.diagnosis.evidence import Evidence
from belay_trainer.diagnosis.finding import found

SHORTEST = 10  # timesteps; a shorter time limit is more likely a task of so many decisions
FEWEST = 10  # episodes at the limit
BAND = 0.1  # of the longest length
CLOCK = 0.99  # |rank correlation| with the timestep from which on an observation tells the time


def time_limit(evidence: Evidence) -> Finding | None:
    """Return a finding where terminated episodes pile up at the greatest length.

    Lengths have no reason to prefer their greatest value to those just below it, except that a limit moves all longer
    ones there. So of the episodes in the band of `width` lengths below and at the greatest, the greatest gets, by a
    binomial test, no more than its share of 1 in width + 1. One episode has the greatest length in any case.
    """
    episodes = evidence.episodes
    if episodes is None or not len(episodes.lengths) or abs(episodes.clock) >= CLOCK:
        return None
    longest = max(int(episodes.lengths.max()), int(evidence.reach.get("length", (0, 0))[1]))
    at_longest = episodes.lengths == longest
    hits = int((at_longest & episodes.terminated).sum())
    if longest < SHORTEST or hits < FEWEST or (at_longest & ~episodes.terminated).any():
        return None
    width = math.ceil(BAND * longest)
    just_below = int((episodes.terminated & ~at_longest & (episodes.lengths >= longest - width)).sum())
    if binomial_tail(hits - 1, hits - 1 + just_below, 1 / (width + 1)) > at_look(evidence.look):
        return None
    return found(
        FindingReason.TIME_LIMIT_TERMINATES,
        f"{hits} of {len(episodes.lengths)} episodes are terminated after exactly {longest} timesteps, none after more "
        f"and {just_below} after the {width} numbers just below.",
        "Report an end that is only a time limit as truncated, or leave it to max_episode_steps; or put the time left "
        "into the observation.",
    )
