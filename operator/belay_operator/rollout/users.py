"""Which users have the candidate, where a rollout assigns by user (docs/decisions/077).

A user is put by the last two digits of her number, which she sends in a header each: a gateway compares headers with
fixed texts. A share of 25 % is two of the ten tens, and in a third one five of the ten ones. Which come first is drawn
anew for each trial, so that not the same users are the first every time, nor in every rollout. Within a trial the order
stands: whoever has the candidate has it at any higher weight. Arms of an experiment have whole tens each, for as long
as it lasts.
"""

import hashlib
from collections.abc import Collection, Mapping
from itertools import islice

from belay_api.rollout.experiment import ExperimentStatus
from belay_api.rollout.status import RLRolloutStatus
from belay_api.units import format_instant
from belay_api.users import DIGITS
from belay_operator.rollout import arms
from belay_operator.rollout.traffic.router import Bucket, Users

Shares = tuple[tuple[str, float], ...]

ANY: tuple[Bucket, ...] = ((DIGITS[0], None),)
"""Whom the users' rule is for while it leads where everybody's does: a rule without a match would be for all paths."""


def split(status: RLRolloutStatus, shares: Shares, *, rollout: str) -> tuple[Shares, Users]:
    """Return where requests go that say no user, or one without a version of her own; and where the others do.

    Args:
        shares: Of each version, among users.
        rollout: Namespace and name: what tells its draw from another's.
    """
    candidate, serving = status.candidate, {policy for policy, _ in arms.shares(status)}
    if serving and status.experiment is not None:
        return _apart(shares, _of_arms(status.experiment, serving, rollout=rollout))
    share = next((share for policy, share in shares if candidate is not None and policy == candidate.policy), 0.0)
    if candidate is None or not 0 < share < 100:
        return shares, Users(ANY, shares)
    others = tuple((policy, 100 * part / (100 - share)) for policy, part in shares if policy != candidate.policy)
    trial = f"{rollout}/{candidate.policy}/{format_instant(candidate.since)}"
    return others, Users(buckets(round(share), trial=trial), ((candidate.policy, 100.0),))


def _apart(shares: Shares, of_arms: Mapping[str, tuple[Bucket, ...]]) -> tuple[Shares, Users]:
    """The same while arms compete. The users' rule leads where everybody goes, by digits that no arm has."""
    left = [(policy, part) for policy, part in shares if policy not in of_arms]
    whole = sum(part for _, part in left)
    others = tuple((policy, 100 * part / whole) for policy, part in left)
    taken = {tens for theirs in of_arms.values() for tens, _ in theirs}
    nobody = next(ten for ten in DIGITS if ten not in taken)
    return others, Users(((nobody, None),), others, tuple(sorted(of_arms.items())))


def _of_arms(competing: ExperimentStatus, serving: Collection[str], *, rollout: str) -> dict[str, tuple[Bucket, ...]]:
    """Who has which arm, of those that serve. Whoever had one that has left is with stable: no other arm gets her."""
    test = (competing.definition, competing.judged_by, format_instant(competing.begun_at))  # begun anew: another draw
    tens = iter(_drawn("/".join([rollout, *test, "arms"])))
    found = {arm.policy: tuple((ten, None) for ten in islice(tens, arm.weight // 10)) for arm in competing.arms}
    return {policy: buckets for policy, buckets in found.items() if policy in serving}


def buckets(percent: int, *, trial: str) -> tuple[Bucket, ...]:
    """Return the tens, and of one more of them the ones, that are so many percent of the users.

    Args:
        percent: 1 to 99.
        trial: What the order is drawn by.
    """
    whole, part = divmod(percent, len(DIGITS))
    tens, ones = _drawn(f"{trial}/tens"), _drawn(f"{trial}/ones")
    return (*((ten, None) for ten in tens[:whole]), *((tens[whole], one) for one in ones[:part]))


def _drawn(salt: str) -> list[str]:
    """The digits in an order of their own: by hashes, for a generator's may change with its library."""
    return sorted(DIGITS, key=lambda digit: hashlib.sha256(f"{salt}/{digit}".encode()).digest())
