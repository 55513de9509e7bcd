"""Users stay with the version that a weight gave them; a gateway is played by its rules of precedence."""

import copy
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.rollout.model import acts
from tests.unit.rollout.model.acts import BAD, GOOD
from tests.unit.rollout.stage import ANALYSIS, SPEC, Stage

from belay_api.reasons import Verdict
from belay_api.rollout.margin import Margin
from belay_api.units import format_instant
from belay_operator.rollout.analysis.budget import split
from belay_operator.rollout.analysis.evidence import Better, Comparison
from belay_operator.rollout.analysis.queries import outcome_queries
from belay_operator.rollout.analysis.verdict import judge
from belay_operator.rollout.sources.active import trial_of
from belay_operator.rollout.sources.logbook import polls_of
from belay_operator.rollout.users import buckets

TRAFFIC = {"gatewayAPI": {"parentRefs": [{"name": "gw"}], "assignment": "User"}}
STEPS = ({"setWeight": 5}, {"pause": {}}, {"setWeight": 37}, {"pause": {}}, {"setWeight": 20}, {"pause": {}})
USERS = [(tens, ones) for tens in "0123456789" for ones in "0123456789"]


def begun(*steps: dict[str, Any], **spec: Any) -> Stage:
    """A rollout whose candidate b is at its first weight."""
    stage = Stage("a", "b", "c", traffic=TRAFFIC, steps=[{"setWeight": 10}], **spec).go()
    stage.edits_steps(*(steps or STEPS))
    stage.wants("b")
    return stage.go()


def answered(stage: Stage, headers: dict[str, str]) -> str:
    """Who answers a request: the most headers win, then the first rule that has such a match (Gateway API)."""
    matches = [
        (len(wanted), -place, rule)
        for place, rule in enumerate(stage.world.objects["HTTPRoute", "default", "cartpole"]["spec"]["rules"])
        for match in rule["matches"]
        if (wanted := {one["name"]: one["value"] for one in match.get("headers", ())}).items() <= headers.items()
    ]
    *_, rule = max(matches, key=lambda match: match[:2])
    (backend,) = [ref["name"] for ref in rule["backendRefs"] if ref["weight"]]
    return str(backend)


def hers(user: tuple[str, str], policy: str | None = None) -> dict[str, str]:
    """What a client sends that says everything each time."""
    said = {"x-belay-user-tens": user[0], "x-belay-user-ones": user[1]}
    return said if policy is None else said | {"x-belay-policy": policy}


def having(stage: Stage, policy: str) -> set[tuple[str, str]]:
    return {user for user in USERS if answered(stage, hers(user)) == policy}


def fits(stage: Stage) -> None:
    """Gateway API takes 16 rules, 64 matches in one and 128 in all, and no rule without a match of our path."""
    rules = stage.world.objects["HTTPRoute", "default", "cartpole"]["spec"]["rules"]
    counts = [len(rule["matches"]) for rule in rules]
    assert len(rules) <= 16
    assert 1 <= min(counts) <= max(counts) <= 64
    assert sum(counts) <= 128
    assert all(match["path"]["value"] == "/predictions/cartpole" for rule in rules for match in rule["matches"])


@given(st.integers(1, 99), st.integers(1, 99), st.text(max_size=9))
def test_a_share_is_so_many_percent_and_a_raise_takes_nobody_away(one: int, other: int, trial: str) -> None:
    def of(percent: int) -> set[tuple[str, str]]:
        found = buckets(percent, trial=trial)
        assert len(found) <= 18
        return {(tens, ones) for tens, ones in USERS for wanted in found if wanted in ((tens, None), (tens, ones))}

    less, more = sorted((one, other))
    assert (len(of(less)), len(of(more))) == (less, more)
    assert of(less) <= of(more)


def test_each_trial_begins_with_users_of_its_own() -> None:
    """Two in a row, or of two rollouts, share a tenth of a tenth: as chance would have it."""
    first = Counter(buckets(5, trial=f"default/cartpole/b/{number}") for number in range(3000))
    assert len(first) > 1000
    tens = Counter(tens for found in first.elements() for tens in {bucket[0] for bucket in found})
    assert sum((tens[digit] - 300) ** 2 / 300 for digit in "0123456789") < 33.7  # once in 10,000


def test_users_come_and_stay_while_the_weight_rises_and_those_above_it_go_when_it_falls() -> None:
    stage = begun()
    first = having(stage, "b")
    assert len(first) == 5
    stage.command("resume@1")
    stage.go()
    second = having(stage, "b")
    assert (len(second), first < second) == (37, True)
    stage.command("resume@2")
    stage.go()
    third = having(stage, "b")
    assert (len(third), first < third < second) == (20, True)
    assert stage.weights == {"a": 10_000}, "who does not say who it is stays with stable"
    fits(stage)


def test_episodes_under_way_stay_whatever_becomes_of_their_user() -> None:
    """Their client sends the user's digits with every decision, and two of them are more than one header."""
    stage = begun()
    stage.command("resume@1")
    stage.go()
    for user in USERS:
        assert [answered(stage, hers(user, policy)) for policy in "ab"] == ["a", "b"]
    assert answered(stage, {"x-belay-policy": "b"}) == "b"


def test_a_rollback_takes_all_back_by_one_write_and_the_rules_keep_their_places() -> None:
    stage = begun()
    before = _clusters(stage)
    stage.command("abort@1")
    stage.passes()
    assert (having(stage, "a"), {answered(stage, hers(user, "b")) for user in USERS}) == (set(USERS), {"a"})
    assert len(_clusters(stage)) == len(before), "a rule that goes costs requests (decision 007)"
    fits(stage)


def test_all_traffic_is_of_all_and_a_promotion_changes_nothing() -> None:
    stage = begun({"setWeight": 50}, {"pause": {}}, {"setWeight": 100}, {"pause": {}}, bake={"duration": "1h"})
    stage.command("resume@1")
    stage.go()
    assert (having(stage, "b"), answered(stage, {})) == (set(USERS), "b")
    before = stage.world.objects["HTTPRoute", "default", "cartpole"]["spec"]
    stage.command("promote@2")
    stage.go(seconds=1)
    assert stage.status.candidate is None
    assert stage.world.objects["HTTPRoute", "default", "cartpole"]["spec"] == before


def test_the_next_candidate_meets_users_of_its_own_draw() -> None:
    stage = begun()
    assert having(stage, "b") == drawn(stage)
    stage.command("abort@1")
    stage.go(seconds=1)
    for _ in range(2):
        stage.later(seconds=2)
        stage.scrape("b", rate=0.0)
        stage.passes()
    stage.wants("c")
    stage.go(seconds=1)
    assert having(stage, "c") == drawn(stage)
    assert len(having(stage, "a")) == 95


def drawn(stage: Stage) -> set[tuple[str, str]]:
    """The five of the trial under way."""
    candidate = stage.status.candidate
    assert candidate is not None
    trial = f"default/cartpole/{candidate.policy}/{format_instant(candidate.since)}"
    return set(buckets(5, trial=trial))


def test_the_logbook_is_asked_for_users() -> None:
    stage = begun()
    (poll,) = polls_of(trial_of(stage.world.objects["RLRollout", "default", "cartpole"], outcome_queries))
    assert poll.query["by"] == "user"
    episodes = Stage("a", "b", steps=[{"setWeight": 10}, {"pause": {}}]).go()
    episodes.wants("b")
    (poll,) = polls_of(trial_of(episodes.go().world.objects["RLRollout", "default", "cartpole"], outcome_queries))
    assert "by" not in poll.query


def test_verdicts_speak_of_users_and_nothing_is_said_of_all_their_episodes() -> None:
    stage = begun()
    comparison = Comparison("return", Better.MORE, Margin(0.1, relative=True), users=True)
    nobody = judge(comparison, [], [], budget=split(0.01, 1))
    assert (nobody.verdict, "client.episode(user=" in nobody.message) == (Verdict.NO_DATA, True)
    stage.episodes("return", GOOD)
    stage.passes()
    assert stage.status.regret is None
    stage.episodes("return", BAD)
    stage.passes()
    assert stage.status.rollback is not None
    assert "over 60 users against" in stage.status.rollback.message


def test_a_promotion_leaves_no_reference_of_first_episodes() -> None:
    """Stable is watched by all its episodes, and users may do better with each."""
    stage = begun({"setWeight": 50}, {"analyze": {}}, bake={"duration": "1s"})
    stage.episodes("return", dict.fromkeys("ab", (400, 480.0, 40.0)))
    stage.command("promote@1")
    stage.go(seconds=2)
    assert stage.status.candidate is None
    (watched,) = stage.status.watch
    assert watched.reference is None


# --- arms of an experiment (decision 083) -----------------------------------------------------------------------------
def competing(*arms: str, **said: Any) -> Stage:
    """`a` is stable, and users of their own have the arms."""
    steps, analysis = [{"setWeight": 50}, {"pause": {}}], ANALYSIS | {"metrics": ANALYSIS["metrics"][:1]}
    stage = Stage("a", "b", "c", "d", "e", traffic=TRAFFIC, steps=steps, analysis=analysis).go()
    stage.wants_winner_of(*arms, **said)
    return stage.go(seconds=1)


def test_each_arm_has_users_of_its_own_who_stay_and_the_others_keep_stable() -> None:
    stage = competing("b:20", "c:10", "d:50", "e:10")
    assert {arm: len(having(stage, arm)) for arm in "abcde"} == {"a": 10, "b": 20, "c": 10, "d": 50, "e": 10}
    assert answered(stage, {}) == "a", "who does not say who it is stays with stable"
    fits(stage)
    for user in USERS:
        assert [answered(stage, hers(user, policy)) for policy in "abcde"] == [*"abcde"], "episodes stay"
    before = {arm: having(stage, arm) for arm in "bce"}
    stage.ready("d", 0)
    stage.go(seconds=1)
    assert {arm: having(stage, arm) for arm in "bce"} == before, "no arm gets the users of one that leaves"
    assert len(having(stage, "a")) == 60
    fits(stage)


def test_an_experiment_asks_the_logbook_for_users_and_speaks_of_them() -> None:
    stage = competing("b", "c")
    (poll,) = polls_of(trial_of(stage.world.objects["RLRollout", "default", "cartpole"], outcome_queries))
    assert (poll.query["versions"], poll.query["by"]) == ("b,a,c", "user")
    stage.episodes("return", {"a": (400, 400.0, 40.0), "b": (400, 400.0, 40.0), "c": (400, 250.0, 40.0)})
    stage.passes()
    found = stage.status.experiment
    assert found is not None
    assert [arm.outcome for arm in found.arms] == [None, "Worse"]
    assert "over 400 users against" in found.arms[1].message
    assert having(stage, "c") == set()


def test_a_winner_is_tried_on_other_users_than_it_won_by() -> None:
    stage = competing("b:20", "c:10", duration="10m")
    theirs = having(stage, "b")
    stage.episodes("return", {"a": (400, 400.0, 40.0), "b": (400, 490.0, 40.0), "c": (400, 400.0, 40.0)})
    stage.later(minutes=11)
    stage.passes()
    found = stage.status.experiment
    assert found is not None
    assert found.winner == "b"
    assert having(stage, "a") == set(USERS), "no winner keeps those whose luck may have been its own"
    stage.go(hours=1).go(seconds=1)
    assert stage.status.candidate is not None
    assert len(having(stage, "b")) == 50
    assert having(stage, "b") != theirs
    assert len(having(stage, "b") & theirs) < len(theirs), "drawn anew"
    fits(stage)


def test_each_experiment_begins_with_users_of_its_own() -> None:
    firsts = Counter(tens for day in range(60) for tens in {user[0] for user in having(_day(day), "b")})
    assert len(firsts) > 7, "not the same ten of a hundred each time"


def _day(day: int) -> Stage:
    stage = Stage("a", "b", traffic=TRAFFIC, steps=[{"setWeight": 50}]).go()
    stage.later(days=day)
    stage.wants_winner_of("b:10")
    return stage.go(seconds=1)


MATCH = {"match": {"headers": [{"name": "x-group", "value": "staff"}], "weight": 50}}
LOAD = {"source": {"prometheus": {"query": 'sum(load{p="{{stable}}"})', "address": "http://p"}}, "limit": {"max": "5"}}


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"steps": [MATCH]}, "Write setWeight"),
        ({"analysis": {**ANALYSIS, "metrics": [{"name": "load", **LOAD}]}}, "it would compare the users"),
    ],
)
def test_what_cannot_stand_beside_it_is_left_out_and_told(part: dict[str, Any], words: str) -> None:
    stage = Stage("a", "b", traffic=TRAFFIC).go()
    stage.world.patch("RLRollout", "cartpole", {"spec": part})
    stage.wants("b")
    assert words in stage.go().message
    assert having(stage, "a") == set(USERS)


def _clusters(stage: Stage) -> list[str]:
    """Whom each rule is for, in order: Envoy Gateway names clusters by that."""
    rules = stage.world.objects["HTTPRoute", "default", "cartpole"]["spec"]["rules"]
    return ["".join(one["name"] for one in rule["matches"][0].get("headers", ())) for rule in rules]


EXPERIMENTS = {name: acts.BY_GATEWAY[name] for name in ("b and c compete", "c and d compete")}
START = Stage("a", "b", "c", "d", traffic=TRAFFIC, steps=[{"setWeight": 15}, *SPEC["steps"]]).go()


@settings(max_examples=100, deadline=None)
@given(st.lists(acts.drawn(acts.EVERY_DAY, acts.HANDS, EXPERIMENTS), max_size=14))
def test_every_user_is_answered_as_status_says(course: list[str]) -> None:
    stage = copy.deepcopy(START)
    before: tuple[Any, set[tuple[str, str]], float] | None = None
    for name in course:
        acts.act(stage, name)
        stage.passes()
        status = stage.status
        if stage.weights is None or status.stable is None:
            before = None
            continue
        fits(stage)
        if status.stable.lost_at is not None:
            assert {answered(stage, hers(user)) for user in USERS} == set(stage.weights), "no user is left behind"
            before = None
            continue
        share = status.weight.desired if status.weight and status.candidate else 0.0
        candidate = status.candidate.policy if status.candidate else ""
        theirs = having(stage, candidate)
        arms = {arm.policy: arm.weight for arm in status.arms if arm.on_route and acts.exists(stage, arm.policy)}
        of_arms = {arm: having(stage, arm) for arm in arms if not candidate}
        assert {arm: len(users) for arm, users in of_arms.items()} == (arms if not candidate else {})
        assert having(stage, status.stable.policy) == set(USERS) - theirs - {u for us in of_arms.values() for u in us}
        assert len(theirs) == share
        assert answered(stage, {}) == (candidate if share == 100 else status.stable.policy)
        trial = (candidate, status.candidate and status.candidate.since)
        if before is not None and before[0] == trial:
            less, more = sorted([before[1:], (theirs, share)], key=lambda one: one[1])
            assert less[0] <= more[0], "who had it keeps it at a higher weight"
        before = (trial, theirs, share)
        for user in USERS[::7]:
            for policy, serving in (stage.pinned or {}).items():
                assert answered(stage, {"x-belay-policy": policy}) == serving
                # The episodes of a version that serves no more are over: a straggler is answered as its user is.
                assert answered(stage, hers(user, policy)) in (
                    {serving} if serving == policy else {serving, answered(stage, hers(user))}
                )
