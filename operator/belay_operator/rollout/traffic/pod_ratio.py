"""How many pods of each version stand behind one Service, so that their ratio is as near to the shares as it can be.

Connections go to each pod alike. The version with the largest share (the *base*) has all its ready pods there, so there
is never less than one version's full strength; of the others there are as many as their shares ask beside that.

    weight 25 of 4 replicas    base: stable, 4 pods       candidate: 1    20 %
    weight 75 of 4 replicas    base: candidate, 4 pods    stable: 2       67 %

Rounding never gives the candidate more than is asked, but for its first pod: less than one cannot be had.
"""

import math
from collections.abc import Mapping, Sequence

NEAR = 1.0  # percentage points: what is not further from the share that is asked for counts as it
MOST_REPLICAS = 1000  # of spec.replicas


def base(shares: Sequence[tuple[str, float]]) -> str:
    """Return who has all its pods there: the largest share, and of equal ones the first, which is stable's."""
    return max(shares, key=lambda one: one[1])[0]


def counts(shares: Sequence[tuple[str, float]], ready: Mapping[str, int]) -> dict[str, int]:
    """Return how many ready pods of each version get connections.

    Where stable, as the base, has none ready, the candidate has none there either: a weight is a limit to what it gets,
    and to be all that answers is more. Stable is never left out for the lack of the candidate's pods.

    Args:
        shares: Percent by policy, above 0, stable first where it has any; they sum to 100.
        ready: Ready pods by policy.
    """
    leads, largest = base(shares), max(share for _, share in shares)
    strong = ready.get(leads, 0)
    made = {leads: strong}
    for place, (policy, share) in enumerate(shares):
        if policy == leads:
            continue
        exact = share * strong / largest
        if place == 0:  # stable beside a candidate that has more
            wanted = max(math.ceil(exact), 1) if strong else MOST_REPLICAS
        else:
            wanted = max(math.floor(exact), 1) if strong else 0
        made[policy] = min(wanted, ready.get(policy, 0))
    return made


def percent(policy: str, behind: Mapping[str, int]) -> float:
    """Return the share of new connections that a version has by its pods; 0 where there are none of anybody."""
    total = sum(behind.values())
    return 100 * behind.get(policy, 0) / total if total else 0.0


def fewest_replicas(weight: float) -> int:
    """Return the fewest pods of each version with which the candidate's share is near the weight.

    >>> [fewest_replicas(weight) for weight in (1, 5, 10, 25, 50, 75, 100)]
    [49, 16, 9, 3, 1, 3, 1]
    """
    for replicas in range(1, MOST_REPLICAS):
        ready = {"stable": replicas, "candidate": replicas}
        shares = [(policy, share) for policy, share in (("stable", 100 - weight), ("candidate", weight)) if share > 0]
        if abs(percent("candidate", counts(shares, ready)) - weight) <= NEAR:
            return replicas
    return MOST_REPLICAS
