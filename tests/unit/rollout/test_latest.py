"""A rollout that follows a family: which policy it wants, over the life of the family. Single answers: cases/latest."""

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.rollout.stage import KEY, Stage, digest
from tests.world import START, belay_object

from belay_api.names import FAMILY_LABEL
from belay_api.rollout.status import RLRolloutStatus, VersionStatus
from belay_operator.engine.change import Change
from belay_operator.rollout.latest import MEMBERS, choose, youngest
from belay_operator.rollout.observe import KIND
from belay_operator.rollout.policy_view import PolicyView
from belay_operator.rollout.withdrawal import KEEP_REJECTED


def following(*steps: object) -> Stage:
    stage = Stage(policy={"latestOf": "hopper"}, steps=list(steps), analysis={})
    stage.publish("a", family="hopper")
    return stage.go(seconds=1)


def stable_of(stage: Stage) -> str | None:
    return None if stage.status.stable is None else stage.status.stable.policy


def candidate_of(stage: Stage) -> str | None:
    return None if stage.status.candidate is None else stage.status.candidate.policy


def test_each_published_policy_is_taken_up_once_the_trial_before_it_is_over() -> None:
    stage = following({"setWeight": 10}, {"pause": {"duration": "30s"}})
    assert stable_of(stage) == "a"
    stage.publish("b", family="hopper")
    stage.go(seconds=1)
    stage.later(seconds=5)
    stage.publish("c", family="hopper")
    stage.publish("x", family="walker")
    stage.go(seconds=1)
    assert (stable_of(stage), candidate_of(stage)) == ("a", "b")
    stage.go(seconds=30).go(seconds=61).go(seconds=1)
    assert (stable_of(stage), candidate_of(stage)) == ("b", "c")
    stage.go(seconds=31).go(seconds=61).go(seconds=1)
    assert (stable_of(stage), candidate_of(stage)) == ("c", None)
    assert stage.message == "c serves all traffic"


def test_after_a_rollback_the_next_younger_than_stable_follows_and_nothing_older() -> None:
    stage = following({"setWeight": 10}, {"pause": {}})
    for seconds, policy in enumerate("bc"):
        stage.later(seconds=seconds)
        stage.publish(policy, family="hopper")
    stage.go(seconds=1)
    for policy in "cb":
        assert candidate_of(stage) == policy
        stage.command(f"abort@{policy}")
        stage.go(seconds=1)
        stage.later(seconds=2)
        stage.scrape(policy, rate=0.0)
        stage.go()
    assert (stable_of(stage), candidate_of(stage)) == ("a", None)
    assert stage.status.rejected_digests == [digest("c"), digest("b")]
    assert stage.message == "a serves all traffic"


def test_a_policy_concerns_who_follows_its_family_the_one_that_it_leaves_too() -> None:
    stage = following()

    def concerned(before: str | None, after: str | None) -> bool:
        sides = [
            None if family is None else belay_object("RLPolicy", "n", {}) | {"metadata": _labelled(family)}
            for family in (before, after)
        ]
        return list(KIND.related(Change("RLPolicy", *sides), stage.world)) == [KEY]

    assert concerned(None, "hopper")
    assert concerned("hopper", "walker")
    assert concerned("hopper", None)
    assert not concerned(None, "walker")
    assert not concerned("hopper", "hopper")


def _labelled(family: str) -> dict[str, object]:
    labels = {FAMILY_LABEL: family} if family else {}
    return {"namespace": "default", "name": "n", "creationTimestamp": "2026-05-04T10:00:00Z", "labels": labels}


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=80), st.booleans())
def test_what_was_rejected_is_never_taken_up_again(course: list[tuple[int, bool]], older: bool) -> None:
    """Whatever is published when, while as many rollbacks are remembered as a rollout remembers."""
    ages, rejected, tried, stable = {"p0": START}, [], [], "p0"
    for published, good in course:
        for _ in range(published):
            ages[f"p{len(ages)}"] = START + timedelta(seconds=len(ages))
        status = RLRolloutStatus(stable=VersionStatus(policy=stable, digest=stable, since=START))
        status = status.model_copy(update={"rejected_digests": rejected})
        looked_at = youngest((created, name) for name, created in ages.items())
        views = [PolicyView(name=name, digest=name, created=ages[name]) for name in looked_at]
        taken = choose(views, status, PolicyView(name=stable, digest=stable, created=ages[stable]), older=older)
        if taken == stable:
            continue
        assert taken not in tried
        assert older or ages[taken] > ages[stable]
        tried.append(taken)
        if good:
            stable = taken
        else:
            rejected = [*rejected, taken][-KEEP_REJECTED:]


def test_as_many_rollbacks_are_remembered_as_a_family_can_have_while_one_is_looked_at() -> None:
    assert 2 * MEMBERS <= KEEP_REJECTED
