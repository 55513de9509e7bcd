"""From counters that grow to blocks of requests, and what a limit's evidence is after them.

A block begins with its first request and ends at the first scrape that is long enough after that; scrapes without any
request between two blocks belong to neither. Where it ends depends on the clock and on whether requests came, never on
how they went: a block that could be looked at before its end would break the promise in `limits`. So decisions may be
made again and again from the same recorded state, and reach the same blocks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from belay_operator.rollout.analysis.limits import (
    PASS_AT,
    STAKES,
    Rail,
    against,
    cut,
    in_favour,
    started,
    suspicious,
)
from belay_operator.rollout.facts import Counts


@dataclass(frozen=True, slots=True)
class Held:
    """How far a limit's evidence is, and up to where it has counted: all that is carried from look to look."""

    counting: datetime  # which counting `scrape` is a number of
    scrape: int  # everything up to this one is judged
    evidence: tuple[float, ...] = (0.0,) * STAKES.size  # by stake; Fail when they sum to 1
    wealth: float = 1.0  # for Pass, gathered at `weight`
    weight: float = 0.0  # percent; 0: no block has begun under an accepted weight yet
    weight_since: datetime | None = None  # when it was accepted, as status records it
    requests: float = 0.0  # judged at this weight
    beyond: float = 0.0  # of them
    share: float | None = None  # beyond, of the requests of the last block; None: no block was judged yet
    bound_s: float | None = None  # what counts as beyond takes longer than this; None: the limit is no duration

    @property
    def against(self) -> float:
        """The evidence that the limit is broken; 1 is a Fail."""
        return sum(self.evidence)

    @property
    def in_favour(self) -> float:
        """How far the wealth is on its way from 1 to what Pass needs, by its logarithm; 1 is a Pass."""
        return math.log(self.wealth) / math.log(PASS_AT)

    def suspicious(self, rail: Rail) -> bool:
        """Whether a breach may be under way; not without requests."""
        return self.share is not None and bool(suspicious(rail, self.evidence, self.share))


@dataclass(frozen=True, slots=True)
class Block:
    """Requests that are judged together."""

    first: int  # number of the scrape it begins with
    last: int  # of the one it ends with
    elapsed_s: float
    requests: float  # above 0
    beyond: float

    @property
    def share(self) -> float:
        """Of its requests, those beyond the limit."""
        return min(self.beyond / self.requests, 1.0)


def hold(rail: Rail, counts: Counts, held: Held | None, weight: tuple[datetime, float] | None) -> Held:
    """Return the evidence after all blocks that are whole by now.

    Args:
        held: What is recorded; None: nothing, and counting begins with the latest scrape.
        weight: The accepted weight, since when and in percent; None: one is on its way.
    """
    if held is None:
        held = Held(counting=counts.began, scrape=counts.scrapes[-1].number)
    seen = weight if weight is not None and weight[0] == counts.weight_since else None
    for block in blocks(counts, after=_judged(counts, held), block_s=rail.block_s):
        if seen is not None and held.weight_since != seen[0] and block.first >= counts.weight_from:
            held = _at_new_weight(rail, held, *seen)
        held = replace(
            held,
            counting=counts.began,
            scrape=block.last,
            evidence=tuple(cut(against(rail, held.evidence, block.share, block.elapsed_s)).tolist()),
            wealth=float(in_favour(rail, held.wealth, block.share)),
            requests=held.requests + block.requests,
            beyond=held.beyond + block.beyond,
            share=block.share,
            bound_s=counts.bound_s,
        )
    return held


def blocks(counts: Counts, *, after: int, block_s: float) -> Iterator[Block]:
    """Yield the blocks that are whole, oldest first, from what was counted after the scrape of that number."""
    scrapes = counts.scrapes
    place = max(after - scrapes[0].number, 0)  # what is forgotten was not judged for a long time, and is left out
    if place >= len(scrapes):
        return
    start = scrapes[place]
    requests, beyond = counts.of(start)
    for number in range(place + 1, len(scrapes)):
        scrape = scrapes[number]
        now, now_beyond = counts.of(scrape)
        if now <= requests:
            start = scrape
        elif scrape.elapsed_s - start.elapsed_s >= block_s:
            elapsed_s = scrape.elapsed_s - start.elapsed_s
            yield Block(start.number, scrape.number, elapsed_s, now - requests, now_beyond - beyond)
            start, requests, beyond = scrape, now, now_beyond


def waiting(counts: Counts, held: Held) -> bool:
    """Return whether requests came that no whole block has yet."""
    place = max(_judged(counts, held) - counts.scrapes[0].number, 0)
    place = min(place, len(counts.scrapes) - 1)  # judged by a leader whose clock was ahead, where looks are dated
    return counts.of(counts.scrapes[-1])[0] > counts.of(counts.scrapes[place])[0]


def _judged(counts: Counts, held: Held) -> int:
    """The scrape up to which everything is judged. Of another operator's counting, or another trial's, nothing is.

    That it is another one is recorded with its first block, and not before: an operator that writes as it starts, and
    nothing but that, would never come to rest.
    """
    return held.scrape if held.counting == counts.began else counts.scrapes[0].number


def _at_new_weight(rail: Rail, held: Held, since: datetime, weight: float) -> Held:
    """The evidence as a new weight begins: Pass is asked anew, and where the weight rises, a breach is likelier."""
    evidence = tuple(started(rail, held.evidence).tolist()) if weight > held.weight else held.evidence
    return replace(held, evidence=evidence, wealth=1.0, requests=0.0, beyond=0.0, weight=weight, weight_since=since)
