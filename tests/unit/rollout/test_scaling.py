"""A HorizontalPodAutoscaler and a rollout: who is counted, what is followed when, and that nobody is ever starved."""

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.rollout.stage import KEY, Stage, digest
from tests.world import START

from belay_api.rollout.spec import RLRolloutSpec
from belay_api.rollout.status import RLRolloutStatus, RolloutPhase
from belay_operator.policy.needs import demands
from belay_operator.rollout import scaling
from belay_operator.rollout.observe import KIND

SYNC = timedelta(seconds=15)  # how often Kubernetes' autoscaler looks
LOOKS_BACK = timedelta(minutes=5)  # and over how long it takes its largest answer
A, B = ("app.kubernetes.io/managed-by=belay,belay.dev/policy=" + name for name in "ab")

Rule = Callable[[RLRolloutSpec, RLRolloutStatus, datetime], int | None]


def spec(replicas: int) -> RLRolloutSpec:
    traffic = {"gatewayAPI": {"parentRefs": [{"name": "gw"}]}}
    return RLRolloutSpec.model_validate({"policy": {"name": "b"}, "replicas": replicas, "traffic": traffic})


def side(policy: str, since: datetime) -> dict[str, Any]:
    return {"policy": policy, "digest": digest(policy), "since": since}


def status(weight: float | None, *, since: datetime = START, **more: Any) -> RLRolloutStatus:
    """Stable a; with a weight, candidate b that has it."""
    trial = {"candidate": side("b", since), "weight": {"desired": weight, "applied": weight}}
    made = {"stable": side("a", since), **({} if weight is None else trial), **more}
    return RLRolloutStatus.model_validate(made)


def promoted(at: datetime, **more: Any) -> RLRolloutStatus:
    """Stable b, since then."""
    return RLRolloutStatus.model_validate({"stable": side("b", at), **more})


@pytest.mark.parametrize(("weight", "counted"), [(None, A), (0, A), (50, A), (50.1, B), (100, B)])
def test_an_autoscaler_counts_the_version_with_the_larger_share(weight: float | None, counted: str) -> None:
    assert scaling.shown(status(weight)) == counted


def test_before_anybody_serves_there_is_nobody_to_count() -> None:
    nobody = RLRolloutStatus()
    assert (scaling.shown(nobody), scaling.wanted(spec(3), nobody, START)) == (None, None)
    first = RLRolloutStatus.model_validate({"candidate": side("b", START)})
    assert (scaling.shown(first), scaling.wanted(spec(3), first, START)) == (B, 3)


def test_a_share_that_no_gateway_has_accepted_yet_counts_for_nothing() -> None:
    raised = RLRolloutStatus.model_validate(
        {"stable": side("a", START), "candidate": side("b", START), "weight": {"desired": 75, "applied": 25}}
    )
    assert scaling.shown(raised) == A


def scales(stage: Stage, replicas: int) -> None:
    """Somebody writes the scale subresource."""
    stage.world.patch("RLRollout", "cartpole", {"spec": {"replicas": replicas}})


def pods(stage: Stage, policy: str) -> int:
    """How many pods the rollout asks of a policy."""
    return sum(one.replicas for one in demands(policy, [stage.world.objects["RLRollout", "default", "cartpole"]]))


def on_trial(replicas: int) -> Stage:
    stage = Stage(replicas=replicas)
    for policy in "ab":
        stage.publish(policy, ready=replicas)
    stage.go()
    assert stage.status.phase is RolloutPhase.HEALTHY
    stage.later(minutes=10)
    stage.wants("b")
    return stage.go()


def test_fewer_pods_wait_for_the_end_of_a_trial_and_more_do_not() -> None:
    stage = on_trial(4)
    scales(stage, 2)
    stage.go(minutes=10)
    assert (pods(stage, "a"), pods(stage, "b")) == (4, 4)
    scales(stage, 6)
    assert (pods(stage, "a"), pods(stage, "b")) == (6, 6), "before the rollout itself has looked"
    stage.go()
    scales(stage, 3)
    stage.go()
    assert (pods(stage, "a"), pods(stage, "b")) == (6, 6)
    assert stage.status.replicas == 6

    stage.command("promote@1")
    stage.go(seconds=1)
    assert "fewer than 6" in stage.message, "nobody gets more before they are ready"
    stage.ready("b", 6)
    stage.go(seconds=1)
    assert stage.status.candidate is None
    stage.go(minutes=4, seconds=59)
    assert pods(stage, "b") == 6, "the autoscaler looks back on the time before"
    stage.go(seconds=1)
    assert (pods(stage, "a"), pods(stage, "b")) == (3, 3), "kept warm with as many as it would serve with"


def test_after_a_rollback_stable_keeps_its_pods_for_as_long() -> None:
    stage = on_trial(4)
    scales(stage, 1)
    stage.go(minutes=10)
    stage.command("abort@1")
    stage.go(seconds=1)
    stage.later(seconds=2)
    stage.scrape("b", rate=0.0, seconds=2)
    stage.passes()
    assert stage.status.phase is RolloutPhase.ROLLED_BACK
    assert pods(stage, "a") == 4
    again = stage.world.plan(KIND, KEY, stage.now).requeue_after
    assert again is not None
    assert again <= timedelta(minutes=5), "time alone lets them go"
    stage.go(minutes=5)
    assert (pods(stage, "a"), stage.status.replicas) == (1, 1)


def test_at_rest_both_directions_are_followed_at_once() -> None:
    stage = on_trial(4)
    stage.command("promote@1")
    stage.go(seconds=1)
    stage.go(minutes=10)
    for replicas in (7, 2):
        scales(stage, replicas)
        stage.go(seconds=1)
        assert pods(stage, "b") == replicas


def by_stable(recorded: RLRolloutStatus) -> str:
    """Who counts stable's pods whatever its share."""
    assert recorded.stable is not None
    return {"a": A, "b": B}[recorded.stable.policy]


def starved(
    moves: list[tuple[float, int]], load: float, rule: Rule, shown: Callable[[RLRolloutStatus], str | None]
) -> bool:
    """Play a trial beside an autoscaler, and return whether a version ever had fewer pods than its share takes.

    Args:
        moves: (the candidate's share in percent, for how many looks of the autoscaler); after the last it is promoted.
        load: Pods that all traffic takes.
        rule: How many pods each version gets.
        shown: Whom the autoscaler counts.
    """
    now, held, answers = START, math.ceil(load), [(START, math.ceil(load))]
    shares = [share for share, looks in moves for _ in range(looks)]
    over = START + (len(shares) + 1) * SYNC
    for share in (*shares, *(None for _ in range(40))):
        now += SYNC
        recorded = promoted(over, replicas=held) if share is None else status(share, replicas=held)
        held = rule(spec(max(pods for at, pods in answers if at > now - LOOKS_BACK)), recorded, now) or 0
        taken = {B: load} if share is None else {A: load - share * load / 100, B: share * load / 100}
        needed = {policy: max(math.ceil(round(part, 9)), 1) for policy, part in taken.items()}
        if max(needed.values()) > held:
            return True
        answers.append((now, needed[shown(recorded) or ""]))
    return False


@given(
    moves=st.lists(st.tuples(st.sampled_from([0, 1, 10, 25, 50, 51, 75, 90, 100]), st.integers(1, 50)), max_size=5),
    load=st.floats(0.5, 40),
)
def test_no_version_is_ever_short_of_pods_for_its_share(moves: list[tuple[float, int]], load: float) -> None:
    assert not starved(moves, load, scaling.wanted, scaling.shown)


@pytest.mark.parametrize(
    ("rule", "shown"),
    [
        pytest.param(lambda said, held, now: said.replicas, scaling.shown, id="lower numbers are followed at once"),
        pytest.param(lambda said, held, now: said.replicas, by_stable, id="and by stable's load alone"),
    ],
)
def test_what_others_do_starves_who_takes_over(rule: Rule, shown: Callable[[RLRolloutStatus], str | None]) -> None:
    """The play can tell: by these rules the last step meets too few pods (Argo Rollouts #4607, Flagger #1209)."""
    assert starved([(10, 30), (50, 30)], 20, rule, shown)
