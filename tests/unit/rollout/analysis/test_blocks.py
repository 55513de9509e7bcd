"""What is judged together; and that nothing is judged twice or never, whoever looks and however often."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from belay_operator.rollout.analysis.blocks import Block, Held, blocks, hold, waiting
from belay_operator.rollout.analysis.limits import STAKES, Rail
from belay_operator.rollout.facts import Counts, Scrape
from belay_operator.rollout.histogram import EMPTY

RAIL = Rail("errors", allowed=0.05)
BEGAN = datetime(2026, 5, 4, 10, tzinfo=UTC)
WEIGHT = (BEGAN, 10.0)
Second = tuple[int, int]
"""Requests, and those of them that failed."""


def counts(
    seconds: Sequence[Second], *, upto: int | None = None, began: datetime = BEGAN, weight_from: int = 0
) -> Counts:
    """Scrapes a second apart, the first of which has nothing; `upto`: the number of the last that is there yet."""
    scrapes, requests, errors, quiet = [Scrape(0, 0.0, 0.0, 0.0, 0.0, EMPTY)], 0.0, 0.0, 0.0
    for number, (came, failed) in enumerate(seconds, 1):
        requests, errors, quiet = requests + came, errors + failed, 0.0 if came else quiet + 1
        scrapes.append(Scrape(number, float(number), quiet, requests, errors, EMPTY))
    kept = scrapes if upto is None else scrapes[: upto + 1]
    return Counts(
        began=began,
        scrapes=kept,
        of=lambda scrape: (scrape.requests, scrape.errors),
        weight_since=BEGAN,
        weight_from=weight_from,
    )


def fresh(**fields: object) -> Held:
    return Held(counting=BEGAN, scrape=0, **fields)  # type: ignore[arg-type]


def cut(seconds: Sequence[Second], block_s: float = 5.0) -> list[Block]:
    return list(blocks(counts(seconds), after=0, block_s=block_s))


def test_a_block_lasts_as_long_as_it_tolerates() -> None:
    assert cut([(10, 1)] * 12) == [Block(0, 5, 5.0, 50.0, 5.0), Block(5, 10, 5.0, 50.0, 5.0)]


def test_a_block_begins_with_its_first_request_and_silence_belongs_to_none() -> None:
    assert cut([(0, 0)] * 7 + [(1, 0)] + [(0, 0)] * 9 + [(1, 1)] * 5) == [
        Block(7, 12, 5.0, 1.0, 0.0),
        Block(17, 22, 5.0, 5.0, 5.0),
    ]
    assert cut([(0, 0)] * 100) == []


def test_what_is_forgotten_is_left_out() -> None:
    kept = counts([(1, 1)] * 100)
    kept = Counts(kept.began, kept.scrapes[90:], kept.of)
    assert [block.first for block in blocks(kept, after=3, block_s=5.0)] == [90, 95]


def test_counting_begins_with_the_look_that_finds_nothing_recorded() -> None:
    held = hold(RAIL, counts([(10, 10)] * 9), None, WEIGHT)
    assert (held.scrape, held.against, held.share) == (9, 0.0, None)


def test_requests_of_a_block_that_is_not_whole_are_waiting() -> None:
    some = counts([(10, 0)] * 7)
    assert waiting(some, hold(RAIL, some, fresh(), WEIGHT))
    whole = counts([(10, 0)] * 10 + [(0, 0)] * 3)
    assert not waiting(whole, hold(RAIL, whole, fresh(), WEIGHT))


SECONDS = st.lists(st.tuples(st.sampled_from([0, 0, 1, 2, 30]), st.integers(0, 30)), min_size=1, max_size=80).map(
    lambda seconds: [(came, min(came, failed)) for came, failed in seconds]
)


@settings(max_examples=200, deadline=None)
@given(SECONDS, st.sets(st.integers(1, 80)), st.sampled_from([1.0, 5.0, 7.0]))
def test_however_often_it_is_looked_at_and_recorded_the_evidence_is_the_same(
    seconds: list[Second], written: set[int], block_s: float
) -> None:
    """A look a second; what is not written is found again by the next one, and no block has another end."""
    rail = Rail("errors", allowed=0.05, block_s=block_s)
    at_once = hold(rail, counts(seconds), fresh(), WEIGHT)
    recorded, seen = fresh(), fresh()
    for number in range(1, len(seconds) + 1):
        seen = hold(rail, counts(seconds, upto=number), recorded, WEIGHT)
        if number in written:
            recorded = seen
    assert seen == at_once
    assert seen.requests == sum(block.requests for block in cut(seconds, block_s))


def test_another_operator_counts_on_from_what_is_recorded() -> None:
    """Nothing that was judged is lost or judged again; only what was not whole is unknown to the next one."""
    before = hold(RAIL, counts([(10, 10)] * 7), fresh(), WEIGHT)
    assert before.scrape == 5
    later = counts([(10, 10)] * 5, began=BEGAN - timedelta(minutes=10))  # and its clock is behind
    after = hold(RAIL, later, before, WEIGHT)
    assert (after.counting, after.scrape, after.requests) == (later.began, 5, 100.0)
    in_one = hold(RAIL, counts([(10, 10)] * 10), fresh(), WEIGHT)
    assert after.evidence == pytest.approx(in_one.evidence)
    assert hold(RAIL, later, after, WEIGHT) == after


def test_each_weight_increase_gives_a_head_start_and_asks_for_pass_anew() -> None:
    seconds = [(10, 0)] * 20
    first = hold(RAIL, counts(seconds, upto=5), fresh(), WEIGHT)
    assert (first.weight_since, first.weight) == WEIGHT
    assert first.against == pytest.approx(RAIL.head_start * (1 - STAKES).mean(), rel=0.01)
    raised = (BEGAN + timedelta(minutes=1), 50.0)
    known = counts(seconds, upto=10, weight_from=5)
    known = Counts(known.began, known.scrapes, known.of, weight_since=raised[0], weight_from=5)
    second = hold(RAIL, known, first, raised)
    assert second.against > first.against, "with another head start"
    assert second.wealth == first.wealth, "one clean block at this weight"
    assert (second.requests, second.weight) == (50.0, 50.0)
    lowered = (BEGAN + timedelta(minutes=2), 5.0)
    known = Counts(known.began, counts(seconds, upto=15).scrapes, known.of, weight_since=lowered[0], weight_from=10)
    third = hold(RAIL, known, second, lowered)
    assert third.against < second.against, "less traffic is no reason for a suspicion"
    assert third.requests == 50.0


def test_a_block_that_began_under_the_weight_before_says_nothing_of_the_new_one() -> None:
    raised = (BEGAN + timedelta(minutes=1), 50.0)
    known = counts([(10, 0)] * 10, weight_from=3)
    known = Counts(known.began, known.scrapes, known.of, weight_since=raised[0], weight_from=3)
    held = hold(RAIL, known, fresh(weight=10.0, weight_since=BEGAN), raised)
    assert held.requests == 50.0, "those of the second block"
    only_spanning = Counts(known.began, known.scrapes[:6], known.of, weight_since=raised[0], weight_from=3)
    assert hold(RAIL, only_spanning, fresh(weight=10.0, weight_since=BEGAN), raised).weight_since == BEGAN


def test_a_weight_that_the_poller_does_not_know_yet_is_not_in_force() -> None:
    raised = (BEGAN + timedelta(minutes=1), 50.0)
    held = hold(RAIL, counts([(10, 0)] * 10), fresh(weight=10.0, weight_since=BEGAN), raised)
    assert held.weight == 10.0


def test_errors_that_are_told_after_their_requests_are_a_share_of_one_at_most() -> None:
    held = hold(RAIL, counts([(1, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (1, 1)] + [(0, 0)] * 5), fresh(), WEIGHT)
    assert held.share == 1.0
