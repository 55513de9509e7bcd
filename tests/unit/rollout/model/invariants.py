"""What must hold of what the API server has, once the operator has had its passes: one promise a function.

Who gets traffic is read from the objects that carry it, and never from what the operator says of them.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.unit.rollout.model.acts import exists
from tests.unit.rollout.stage import Stage, asked_of, digest
from tests.unit.rollout.test_anchor import asks_for
from tests.unit.rollout.test_preview import PREVIEW, shown
from tests.unit.rollout.test_replicas import Cluster
from tests.unit.rollout.test_shadow import mirrored as mirrors

from belay_api.conditions import get_condition
from belay_api.reasons import Verdict
from belay_api.rollout.analysis import AnalysisSpec
from belay_api.rollout.status import RLRolloutStatus
from belay_operator.rollout import specification
from belay_operator.rollout.analysis.queries import definition_of
from belay_operator.rollout.no_evidence import NO_EVIDENCE
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.standing import is_alarm
from belay_operator.rollout.traffic import pod_ratio
from belay_operator.rollout.verdicts import is_judged
from belay_operator.rollout.watch import DEGRADED


@dataclass(frozen=True)
class Moment:
    """The operator has had its passes."""

    before: RLRolloutStatus  # as it was before them
    status: RLRolloutStatus
    observed: Observed  # what a further pass would see
    stage: Stage

    @property
    def message(self) -> str:
        """Why it is Ready or not, as a sentence."""
        return next(c.message for c in self.status.conditions if c.type == "Ready")


Invariant = Callable[[Moment], None]


def hold(before: RLRolloutStatus, stage: Stage) -> None:
    """Ask all of them."""
    observed = stage.observed
    moment = Moment(before, observed.status, observed, stage)
    for invariant in (*EVERYWHERE, *(BY_PODS if isinstance(stage, Cluster) else BY_GATEWAY)):
        invariant(moment)


# --- where traffic goes -----------------------------------------------------------------------------------------------
def the_route_is_the_recorded_intent(at: Moment) -> None:
    """Who gets which part of the new episodes is what status says, and it is all of them."""
    status, weights = at.status, at.stage.weights
    if status.stable is None:
        assert weights is None or set(weights) == {status.candidate and status.candidate.policy}
        return
    assert weights is not None
    share = status.weight.of_everybody if status.weight and status.candidate else 0
    third = status.served_anchor
    part = min(share, (100 - share) / 2) if third and third.on_route and not is_withdrawn(status) else 0
    wanted = {status.stable.policy: round(100 * (100 - share - part))}
    if status.candidate:
        wanted[status.candidate.policy] = round(100 * share)
    on_trial = {arm.policy: 100 * arm.weight for arm in status.arms if arm.on_route}
    wanted |= on_trial
    wanted[status.stable.policy] -= sum(on_trial.values())
    if third:
        wanted[third.policy] = wanted.get(third.policy, 0) + round(100 * part)
    assert sum(weights.values()) == 10_000
    if not is_lost(at):
        assert weights == {policy: weight for policy, weight in wanted.items() if weight}


def episodes_are_answered_by_who_serves(at: Moment) -> None:
    """A pinned rule leads to a version that is there, and to nobody who is withdrawn, kept or rejected."""
    status, pinned = at.status, at.stage.pinned or {}
    if status.stable is None or is_lost(at):
        return
    assert pinned[status.stable.policy] == status.stable.policy
    assert all(is_there(at.stage, policy) for policy in pinned.values()), "the Gateway would refuse the route"
    serving = {version.policy for version in status.versions() if version is not status.kept}
    assert set(pinned.values()) <= serving, "no rule leads to pods that may go"
    if is_withdrawn(status):
        assert status.candidate is not None
        assert status.candidate.policy not in pinned.values(), "episodes leave a withdrawn candidate"
        assert status.weight is None or status.weight.desired == 0
    elif status.rollback is not None and status.rollback.reason not in NO_EVIDENCE:
        assert status.rollback.policy not in pinned.values(), "nor do they come back to one that was rejected"


def a_mirror_is_a_shadow_steps(at: Moment) -> None:
    """Requests are mirrored to the candidate alone, while its step asks for that and it answers nobody."""
    status, weights = at.status, at.stage.weights
    mirrored = set(mirrors(at.stage)) - {None} if weights is not None else set()
    if not mirrored:
        return
    assert status.candidate is not None
    assert status.step is not None
    assert (mirrored, status.step.kind, is_withdrawn(status)) == ({status.candidate.policy}, "shadow", False)
    assert status.candidate.policy not in (weights or {}), "what answers nobody gets nobody"
    assert is_there(at.stage, status.candidate.policy), "a mirror that leads nowhere makes the Gateway refuse the route"


def a_segment_is_compared_with_itself(at: Moment) -> None:
    """Who is matched gets what is recorded of them, and each comparison is of users of whom both sides were drawn."""
    status, weights = at.status, at.stage.weights or {}
    segment = status.weight.segment if status.weight and status.candidate else None
    assert (at.stage.segment is None) == (status.segment_rule is None), "a rule that was there once stays"
    if at.stage.segment is None:
        return
    if segment is None or status.stable is None or is_lost(at):
        assert at.stage.segment == weights
        assert at.stage.compared == ["everybody", "segment"]
        return
    assert status.candidate is not None
    assert at.stage.segment[status.candidate.policy] == round(100 * segment.weight)
    assert at.stage.compared == ["segment" if segment.alone else "everybody"]
    assert weights.get(status.candidate.policy, 0) < at.stage.segment[status.candidate.policy], "they are not the last"


def the_preview_leads_to_the_candidate_the_kept_or_stable(at: Moment) -> None:
    """Nobody else is met at the preview address, its episodes are nobody's evidence, and it is there if asked for."""
    status, spec = at.status, at.stage.world.objects["RLRollout", "default", "cartpole"]["spec"]
    asked, found = spec["traffic"]["gatewayAPI"].get("preview"), at.stage.world.objects.get(PREVIEW)
    sides = [side for side in (status.candidate, status.kept, status.stable) if side is not None]
    if found is None:
        there = [side for side in (status.stable,) if side is not None and is_there(at.stage, side.policy)]
        assert asked is None or not there, "an address that testers know is never dead"
        return
    assert asked is not None
    assert found["spec"]["hostnames"] == asked["hostnames"]
    assert "RequestMirror" not in str(found)
    (rule,) = found["spec"]["rules"]
    (told,) = [one["requestHeaderModifier"] for one in rule["filters"] if one["type"] == "RequestHeaderModifier"]
    assert told == {"remove": ["x-belay-rollout", "x-belay-baseline", "x-belay-shadow"]}
    leads_to = shown(at.stage)
    assert leads_to is not None
    assert leads_to in {side.policy for side in sides}
    assert is_there(at.stage, leads_to), "a rule that leads nowhere makes the Gateway refuse it"
    on_trial = status.candidate is not None and status.candidate.policy == leads_to
    if on_trial and status.stable != status.candidate:
        assert status.step is not None, "not before it has its pods"
        assert not is_withdrawn(status), "not while it is taken back"


# --- the ratio of pods ------------------------------------------------------------------------------------------------
def the_share_of_pods_is_no_more_than_the_weight(at: Moment) -> None:
    """Once Kubernetes has followed, the candidate has no more pods behind the Service than its weight gives it.

    Its first pod is all that rounding may add: less than one cannot be had.
    """
    assert isinstance(at.stage, Cluster)
    status, behind = at.status, at.stage.connections
    if status.stable is None or is_lost(at) or not at.stage.has_followed:
        return
    desired = status.weight.desired if status.weight and status.candidate else 0.0
    others = set(behind) - {status.stable.policy}
    candidate = status.candidate.policy if status.candidate else None
    assert others <= ({candidate} if desired else set()), "pods without a weight are behind no Service"
    if candidate is None or not behind.get(candidate):
        return
    assert at.stage.has_endpoints(candidate)
    share = pod_ratio.percent(candidate, behind)
    stable = behind.get(status.stable.policy, 0)
    all_of_stable = stable == at.stage.ready_pods(status.stable.policy)
    assert share <= desired or behind[candidate] == 1 or (desired > 50 and all_of_stable)
    if desired < 100:
        assert stable or not all_of_stable or desired > 50, "a weight is a limit, and all that answers is more"


def status_tells_the_pods_that_are_there(at: Moment) -> None:
    """`status.weight.pods` is what Kubernetes sends connections to, where the weight is in force."""
    assert isinstance(at.stage, Cluster)
    status, behind = at.status, at.stage.connections
    weight = status.weight
    if weight is None or weight.pods is None or status.candidate is None or status.stable is None:
        return
    if is_withdrawn(status) or is_lost(at) or weight.applied != weight.desired or not at.stage.has_followed:
        return
    told = (weight.pods.candidate, weight.pods.stable)
    assert told == (behind.get(status.candidate.policy, 0), behind.get(status.stable.policy, 0))


# --- versions ---------------------------------------------------------------------------------------------------------
def stable_is_never_lost(at: Moment) -> None:
    """Once there is a stable version there always is one, its pods are asked for, and only who was tried follows it."""
    stable = at.status.stable
    if at.before.stable is None:
        return
    assert stable is not None
    assert asks_for(at.stage, stable.policy)
    if (stable.policy, stable.digest) == (at.before.stable.policy, at.before.stable.digest):
        return
    followers = [side for side in (at.before.candidate, at.before.previous, at.status.rollback) if side is not None]
    assert stable.policy in {side.policy for side in followers}
    assert stable.digest not in at.before.rejected_digests


def no_weight_to_an_unready_version(at: Moment) -> None:
    """Nobody is given more while no pod of theirs answers."""
    status = at.status
    if status.candidate is not None and status.weight is not None and status.stable is not None and not is_lost(at):
        same = at.before.candidate is not None and at.before.candidate.policy == status.candidate.policy
        share = at.before.weight.desired if same and at.before.weight is not None else 0.0
        assert status.weight.desired <= share or at.stage.has_endpoints(status.candidate.policy)
    third = status.served_anchor
    if (
        third is not None
        and third.on_route
        and status.weight is not None
        and status.weight.desired
        and not is_withdrawn(status)
    ):
        assert at.stage.has_endpoints(third.policy), "an anchor without pods gets nothing"
    if not is_lost(at):
        assert all(at.stage.has_endpoints(arm.policy) for arm in status.arms if arm.on_route), "nor does an arm"


def what_is_rejected_serves_nobody(at: Moment) -> None:
    """A rejected digest is no side of the rollout, and no rule, no weight and no pod behind the Service is its."""
    status = at.status
    rejected = set(status.rejected_digests)
    assert not {arm.digest for arm in status.arms if arm.on_route} & rejected
    if is_withdrawn(status):
        return
    sides = [side.digest for side in (status.candidate, status.stable, status.previous) if side]
    assert not set(sides) & rejected
    reached = (
        set(at.stage.connections)
        if isinstance(at.stage, Cluster)
        else {*(at.stage.weights or ()), *(at.stage.pinned or {}).values()}
    )
    assert not {digest(policy) for policy in reached} & rejected


def an_experiment_ends_before_a_trial(at: Moment) -> None:
    """Arms have traffic beside stable alone."""
    status = at.status
    arms = [arm for arm in status.arms if arm.on_route]
    assert not arms or (status.candidate is None and status.stable is not None)


def a_place_in_the_group_comes_first(at: Moment) -> None:
    """No candidate begins while the group is full; who goes back to a warm version waits for nobody."""
    status, spec = at.status, at.stage.world.objects["RLRollout", "default", "cartpole"]["spec"]
    other = at.stage.world.objects.get(("RLRollout", "default", "other"))
    if "group" not in spec or other is None or status.candidate is None or status.stable is None:
        return
    began = at.before.candidate is None or at.before.candidate.policy != status.candidate.policy
    warm = {side.policy for side in (at.before.previous, status.previous, at.before.stable) if side is not None}
    if began and status.candidate.policy not in warm:
        assert status.group is not None
        assert status.group.granted_at is not None
        assert at.before.group is not None, "it was there before the other"
        assert at.before.group.granted_at is not None


def a_trial_keeps_to_its_steps(at: Moment) -> None:
    """An edit of the RLProgression holds from the next trial on."""
    status = at.status
    if None in (at.before.candidate, status.candidate, at.before.progression, status.progression):
        return
    same = at.before.candidate == status.candidate and at.before.step is not None
    if same and at.before.progression is not None and status.progression is not None:
        assert status.progression.asked != at.before.progression.asked or status.progression == at.before.progression


# --- what is told -----------------------------------------------------------------------------------------------------
def conditions_agree(at: Moment) -> None:
    """Ready says whether all is well, and nothing beside it is said of one that is."""
    status = at.status
    ready = [c for c in status.conditions if c.type == "Ready"]
    assert len(ready) == 1
    told = {c.type for c in status.conditions} & {"Reconciling", "Stalled"}
    assert (ready[0].status == "True") == (not told)
    assert len(told) <= 1


def a_command_is_carried_out_once(at: Moment) -> None:
    """Each id is seen once."""
    ids = [(command.action, command.id) for command in at.status.commands]
    assert len(ids) == len(set(ids))


def a_trial_leaves_nothing_behind(at: Moment) -> None:
    """Without a candidate there is no step, no weight and nobody who is held."""
    status = at.status
    if status.candidate is None:
        assert (status.paused, status.step, status.weight, status.analysis_started_at) == (None, None, None, None)


def serves_is_said_of_what_answers(at: Moment) -> None:
    """Whoever is told to serve all traffic has it, and answers."""
    status = at.status
    said = re.search(r"(\w+) serves all traffic", at.message)
    if said is None or (status.weight is not None and status.weight.applied != status.weight.desired):
        return  # until the gateway has accepted a raise all goes where it went
    assert status.stable is not None
    policy = status.stable.policy
    assert said[1] in (policy, "it")
    assert at.stage.has_endpoints(policy), "never said of what has no endpoint"
    if isinstance(at.stage, Cluster):
        assert set(at.stage.connections) <= {policy}
    else:
        assert at.stage.weights == {policy: 10_000}


def nobody_loses_pods_during_a_trial(at: Moment) -> None:
    """However an autoscaler goes by a share of the traffic: each version has what is asked for, and what it had."""
    spec, status, before = at.stage.world.objects["RLRollout", "default", "cartpole"]["spec"], at.status, at.before
    if status.stable is None and status.candidate is None:
        assert status.replicas is None
        return
    assert status.replicas is not None
    assert status.replicas >= spec.get("replicas", 1)
    if status.candidate is not None and before.candidate is not None:
        assert status.replicas >= (before.replicas or 0)


def a_lost_stable_version_is_told(at: Moment) -> None:
    """While it is gone, RLPolicy and pods, traffic goes where it is answered and nobody is said to serve."""
    status = at.status
    if not is_lost(at):
        return
    assert status.stable is not None
    assert status.stable.lost_at is not None
    third = status.served_anchor if status.served_anchor and status.served_anchor.until is None else None
    arms = [arm for arm in status.arms if arm.on_route and status.candidate is None]
    sides = [side for side in (status.candidate, status.previous, third, *arms) if side]
    answering = [side.policy for side in sides if at.stage.has_endpoints(side.policy)]
    if not isinstance(at.stage, Cluster):
        assert not answering or set(at.stage.weights or {}) <= set(answering)
    assert "serves" not in at.message, "never said of what has no endpoint"
    ready = get_condition(status.conditions, "Ready")
    assert ready is not None
    assert ready.status == "False"


def what_is_in_force_was_accepted(at: Moment) -> None:
    """`weight.applied`, and that a rollback's route is in force, are told of what the Gateway accepted last."""
    status, weight = at.status, at.status.weight
    accepted = at.stage.accepted
    if status.stable is None or status.candidate is None or accepted is None or is_lost(at):
        return
    if is_withdrawn(status):
        assert status.rollback is not None
        assert status.rollback.weight_zero_at is None or status.candidate.policy not in accepted
    elif weight is not None and weight.applied is not None and weight.segment is None:
        assert accepted.get(status.candidate.policy, 0) == round(100 * weight.applied)


def a_verdict_is_the_present_ones(at: Moment) -> None:
    """No verdict rests on another rollout's, metric's or trial's evidence."""
    status, began = at.status, at.status.analysis_started_at
    if status.candidate is None or began is None or not is_judged(at.observed):
        return
    analysis, candidate = _analysis(at.stage), status.candidate.policy
    definitions = {metric.name: definition_of(metric, analysis) for metric in analysis.metrics}
    for verdict in status.verdicts:
        assert verdict.definition == definitions.get(verdict.metric), "another metric's"
        if verdict.metric == "return" and verdict.query is not None and status.stable is not None:
            question = asked_of((candidate,), status.stable.policy, began)
            assert verdict.query == question, "another trial's, or another rollout's"
        if verdict.limit is not None:
            trials = at.stage.countings.get((candidate, verdict.limit.counting), set())
            assert began in trials, "counted in another trial, or of another version"
        if verdict.evidence_since is not None:
            assert verdict.evidence_since in status.weight_changes, "of no weight of this trial"


def a_step_is_passed_by_its_own_evidence(at: Moment) -> None:
    """An `analyze` is left with what was gathered at its weight, but where a person has ended it."""
    before, status = at.before, at.status
    if before.step is None or before.step.kind != "analyze" or before.candidate != status.candidate:
        return
    by_a_person = status.skipped != before.skipped or (status.step is not None and status.step.kind == "promote")
    if by_a_person or status.step is None or status.step.index != before.step.index + 1:
        return
    assert before.weight is not None
    passed = [verdict for verdict in status.verdicts if verdict.verdict is Verdict.PASS]
    assert all(verdict.evidence_since == before.weight.since for verdict in passed)


def no_answer_is_no_pass(at: Moment) -> None:
    """Of a source that does not answer nothing has passed."""
    if not is_judged(at.observed):
        return
    silent = {name for name, reading in at.observed.readings.items() if reading.problem is not None}
    passed = {verdict.metric for verdict in at.status.verdicts if verdict.verdict is Verdict.PASS}
    assert not silent & passed


def an_alarm_is_about_stable(at: Moment) -> None:
    """What is watched is the stable version, by the metrics of the spec; the condition stands while one is worse."""
    status = at.status
    assert status.stable is not None or not status.watch
    if status.stable is None or is_withdrawn(status):
        return
    assert {record.policy for record in status.watch} <= {status.stable.policy}
    assert at.stage.beyond >= {record.policy for record in status.watch if is_alarm(record)}, "another version's breach"
    worse = [record for record in status.watch if record.degraded_since is not None]
    assert (get_condition(status.conditions, DEGRADED) is not None) == bool(worse)
    definitions = {metric.name: definition_of(metric, _analysis(at.stage)) for metric in _analysis(at.stage).metrics}
    others = [record.metric for record in status.watch if record.definition != definitions.get(record.metric)]
    # On trial what is watched may be edited, and a spec that is at fault says nothing of it.
    assert not others or status.candidate is not None or at.observed.unfit is not None


EVERYWHERE: tuple[Invariant, ...] = (
    stable_is_never_lost,
    no_weight_to_an_unready_version,
    what_is_rejected_serves_nobody,
    an_experiment_ends_before_a_trial,
    a_place_in_the_group_comes_first,
    a_trial_keeps_to_its_steps,
    conditions_agree,
    a_command_is_carried_out_once,
    a_trial_leaves_nothing_behind,
    serves_is_said_of_what_answers,
    nobody_loses_pods_during_a_trial,
    a_lost_stable_version_is_told,
    a_verdict_is_the_present_ones,
    a_step_is_passed_by_its_own_evidence,
    no_answer_is_no_pass,
    an_alarm_is_about_stable,
)

BY_GATEWAY: tuple[Invariant, ...] = (
    the_route_is_the_recorded_intent,
    episodes_are_answered_by_who_serves,
    a_mirror_is_a_shadow_steps,
    a_segment_is_compared_with_itself,
    the_preview_leads_to_the_candidate_the_kept_or_stable,
    what_is_in_force_was_accepted,
)

BY_PODS: tuple[Invariant, ...] = (the_share_of_pods_is_no_more_than_the_weight, status_tells_the_pods_that_are_there)


# --- what they share --------------------------------------------------------------------------------------------------
def is_withdrawn(status: RLRolloutStatus) -> bool:
    """Whether a rollback is recorded and not proven yet."""
    return status.rollback is not None and status.rollback.drained_at is None


def is_there(stage: Stage, policy: str) -> bool:
    """Whether there are pods of it to lead to, or will be: its RLPolicy, or the Deployment that it has left."""
    return exists(stage, policy) or ("Deployment", "default", policy) in stage.world.objects


def is_lost(at: Moment) -> bool:
    """Whether stable is gone, RLPolicy and pods."""
    stable = at.status.stable
    return stable is not None and not is_there(at.stage, stable.policy)


def _analysis(stage: Stage) -> AnalysisSpec:
    """The part of the spec that can be read."""
    spec: dict[str, Any] = stage.world.objects["RLRollout", "default", "cartpole"]["spec"]
    return specification.analysis(spec["analysis"])
