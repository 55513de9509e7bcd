"""Where traffic goes, as it follows from status, and the objects that make it so.

Nothing here asks what the route was before. What is recorded in status determines it completely, but for one thing: no
rule leads to a version that is lost. So a crash, a lost write and a stranger's edit all end the same way: the next pass
writes this route.
"""

from datetime import datetime, timedelta
from typing import Any

from belay_api.rollout.status import RLRolloutStatus, VersionStatus
from belay_api.shadowing import ShadowStep, step_of, write_header
from belay_operator.engine.plan import Manifest, Ref
from belay_operator.rollout import anchor, arms, users
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.traffic.router import Acceptance, Intent, Mirror, Router, Segment, TrafficView, Users, said

# The rule of a warm version goes this long before its pods do, so that no request is sent to pods that are going.
WARM_LEAD = timedelta(seconds=5)

Shares = tuple[tuple[str, float], ...]


def intent(observed: Observed, now: datetime) -> Intent | None:
    """Return where requests shall go; None: there is no version that ever may serve."""
    status = observed.status
    stable, warm, third = status.stable, _warm(observed, now), _anchor(observed, now)
    if stable is not None and (substitute := _substitute(observed, warm, third)) is not None:
        return _all_to(substitute, observed, keep={substitute, warm, third} | _arms(observed, now))
    candidate = _on_route(status)
    share = status.weight.desired if candidate and status.weight else 0.0
    everything = status.weight is not None and candidate is not None and status.weight.of_everybody == 100
    if stable is None:
        return _all_to(candidate, observed, keep={candidate}) if candidate is not None and share > 0 else None
    part = anchor.part(status) if third else 0.0
    compared = _shares(stable.policy, (candidate, share), (third, part), *_on_trial(observed))
    everybody, theirs = _split(observed, candidate, compared)
    everybody, assigned = _users(observed, everybody)
    # No rule leads to a version that is lost: the Gateway would refuse the whole route, the other versions' with it.
    serving = {candidate, warm, third} | _arms(observed, now) | (set() if observed.stable_lost else {stable.policy})
    if status.rolling_back and status.candidate is not None:
        serving -= {status.candidate.policy}  # whatever else it was: an anchor or an arm whose episodes might stay
    home = candidate if candidate and observed.stable_lost else stable.policy
    aside = status.weight.segment if candidate and status.weight else None
    return Intent(
        shares=everybody,
        # A rule is never taken away: one whose version serves no more points at stable (see GatewayRouter).
        pinned=tuple((policy, policy if policy in serving else home) for policy in status.pinned),
        # With all episodes at the candidate there is nothing to compare, and its promotion shall change nothing here.
        baseline=_hex(status.candidate if status.candidate and everything else stable),
        mirror=_mirror(observed),
        told=aside is None or not aside.alone,
        segment=_segment(status, theirs, told=aside is None or aside.alone),
        users=assigned,
    )


def places(status: RLRolloutStatus) -> list[str]:
    """Give the candidate, the anchor on the route, and each arm on it, a rule of its own.

    It is its old one, that of a version that no rule leads to any more, or a further one. So there are seven at most:
    stable, the version before, the anchor, and four arms, or three and the winner as the candidate.
    """
    led_to = (
        *(status.stable, status.candidate, status.previous, status.served_anchor),
        *(arm for arm in status.arms if arm.on_route or arm.episodes_until is not None),
    )
    pinned, serving = status.pinned, {version.policy for version in led_to if version is not None}
    third = status.served_anchor if status.served_anchor is not None and status.served_anchor.on_route else None
    for version in (status.candidate, third, *(arm for arm in status.arms if arm.on_route)):
        if version is not None and version.policy not in pinned:
            place = next((i for i, policy in enumerate(pinned) if policy not in serving), len(pinned))
            pinned = [*pinned[:place], version.policy, *pinned[place + 1 :]]
    return pinned


def baseline_of(status: RLRolloutStatus) -> str | None:
    """Return the hex digest of the artifact whose critic judges both sides of a comparison: stable's; None: none is."""
    return _hex(status.stable)


def in_place(observed: Observed, now: datetime) -> bool:
    """Whether the existing objects are those that status asks for."""
    if not observed.traffic.installed:
        return intent(observed, now) is None
    return changes(observed, now) == ((), ()) and not observed.traffic.foreign


def in_force(observed: Observed, now: datetime) -> bool:
    """Whether the existing objects are those that status asks for, and whoever carries traffic has accepted them."""
    nothing_to_accept = not observed.traffic.objects
    accepted = nothing_to_accept or observed.traffic.acceptance is Acceptance.ACCEPTED
    return accepted and in_place(observed, now)


def changes(observed: Observed, now: datetime) -> tuple[tuple[Manifest, ...], tuple[Ref, ...]]:
    """Return what must be applied and deleted for traffic to go where status asks; what is foreign stays."""
    return differences(observed.router, observed.traffic, intent(observed, now))


def differences(
    router: Router, traffic: TrafficView, wish: Intent | None
) -> tuple[tuple[Manifest, ...], tuple[Ref, ...]]:
    """Return what must be applied and deleted for what exists to be what the intent asks for; what is foreign stays."""
    if not traffic.installed:
        return (), ()
    wanted = {_key(manifest): manifest for manifest in router.objects(wish, traffic)}
    found = {(one.ref.kind, one.ref.name): one for one in traffic.objects}
    apply = tuple(
        manifest
        for key, manifest in wanted.items()
        if (one := found.get(key)) is None or (not one.foreign and not (one.owned and covers(said(manifest), one.spec)))
    )
    delete = tuple(one.ref for key, one in found.items() if key not in wanted and not one.foreign)
    return apply, delete


def _substitute(observed: Observed, warm: str | None, third: str | None) -> str | None:
    """Who answers instead of a stable version that is lost; None: it is not lost, or nobody can."""
    if not observed.stable_lost:
        return None
    if observed.candidate_answers and observed.status.candidate is not None:
        return observed.status.candidate.policy
    # An arm was approved by nobody; one that answers is better than nobody.
    names = (warm, third, *(policy for policy, _ in _on_trial(observed)))
    answering = (observed.policies.get(name) for name in names if name is not None)
    return next((policy.name for policy in answering if policy is not None and policy.ready_replicas > 0), None)


def _shares(stable: str, *others: tuple[str | None, float]) -> Shares:
    """Who has which part, stable what is left."""
    left = 100.0 - sum(part for policy, part in others if policy)
    given = [(stable, left), *((policy, part) for policy, part in others if policy)]
    return tuple((policy, part) for policy, part in given if part > 0)


def _split(observed: Observed, candidate: str | None, compared: Shares) -> tuple[Shares, Shares]:
    """The shares of those who are in no segment, and of those who are."""
    weight, stable = observed.status.weight, observed.status.stable
    if candidate is None or weight is None or weight.segment is None or stable is None:
        return compared, compared
    if weight.segment.alone:
        return _shares(stable.policy), compared
    return compared, _shares(stable.policy, (candidate, weight.segment.weight))


def _users(observed: Observed, shares: Shares) -> tuple[Shares, Users | None]:
    """The shares of those who say no user, and where users go who have the candidate; None: episodes are assigned."""
    if not observed.spec.traffic.by_user:
        return shares, None
    owner = observed.owner
    return users.split(observed.status, shares, rollout=f"{owner.namespace}/{owner.name}")


def _segment(status: RLRolloutStatus, shares: Shares, *, told: bool) -> Segment | None:
    """The rules of a segment, which stay where they are once there was one."""
    if status.segment_rule is None:
        return None
    headers = tuple(sorted(status.segment_rule.headers.items()))  # the API server keeps no order of names
    return Segment(headers, status.segment_rule.after, shares, told)


def _all_to(policy: str, observed: Observed, *, keep: set[str | None]) -> Intent:
    """All new episodes to one version, and the episodes under way of every version but those to `keep`."""
    status, everything = observed.status, ((policy, 100.0),)
    return Intent(
        shares=everything,
        segment=_segment(status, everything, told=True),
        pinned=tuple((pinned, pinned if pinned in keep else policy) for pinned in status.pinned),
        baseline=next((_hex(one) for one in (status.candidate, status.stable) if one and one.policy == policy), None),
        users=Users(users.ANY, everything) if observed.spec.traffic.by_user else None,
    )


def _mirror(observed: Observed) -> Mirror | None:
    """What is mirrored to the candidate while its step asks for that, and nobody takes it back.

    Not to a policy that is gone: a gateway may then refuse the whole rule, and with it who is answered.
    """
    status, view = observed.status, observed.policy(observed.status.candidate)
    step, candidate, stable = status.step, status.candidate, status.stable
    if step is None or step.mirror is None or step.mirror.refused is not None or status.rolling_back:
        return None
    if candidate is None or stable is None or observed.stable_lost or view is None or view.deleted:
        return None
    header = write_header(ShadowStep(candidate.policy, step_of(step.started_at)))
    return Mirror(of=stable.policy, to=candidate.policy, percent=step.mirror.percent, header=header)


def _hex(version: VersionStatus | None) -> str | None:
    return version.digest.removeprefix("sha256:") if version is not None else None


def _on_route(status: RLRolloutStatus) -> str | None:
    """The candidate while it has a rule: from its first recorded weight until a rollback is recorded."""
    if status.candidate is None or status.weight is None or status.rolling_back:
        return None
    return status.candidate.policy


def _warm(observed: Observed, now: datetime) -> str | None:
    """The version before stable, while its episodes may stay."""
    status = observed.status
    previous, candidate = status.previous, status.candidate
    if previous is None or now >= previous.until - WARM_LEAD or previous.policy not in observed.policies:
        return None
    if candidate is not None and candidate.policy == previous.policy:
        return None if status.rolling_back else previous.policy
    # It leaves the route before a promotion makes its pods go.
    replaced = _on_route(status) is not None and status.weight is not None and status.weight.of_everybody == 100
    return None if replaced else previous.policy


def _anchor(observed: Observed, now: datetime) -> str | None:
    """The anchor while it has pods for a trial, and its episodes may stay."""
    served = observed.status.served_anchor
    if served is None or served.policy not in observed.policies:
        return None
    return served.policy if served.until is None or now < served.until - WARM_LEAD else None


def _on_trial(observed: Observed) -> list[tuple[str, float]]:
    """The arms of an experiment with their percent of new episodes."""
    return [(policy, share) for policy, share in arms.shares(observed.status) if policy in observed.policies]


def _arms(observed: Observed, now: datetime) -> set[str | None]:
    """The arms of an experiment that their episodes may stay with."""
    stay = (arm.policy for arm in observed.status.arms if arms.answers_its_episodes(arm, now))
    return {policy for policy in stay if policy in observed.policies}


def _key(manifest: Manifest) -> tuple[str, str]:
    return manifest["kind"], manifest["metadata"]["name"]


def covers(wanted: Any, found: Any) -> bool:
    """Whether `found` holds everything in `wanted`; lists must agree item by item, mappings may hold more."""
    if wanted == found:
        return True  # nearly always, and hundreds of times faster than looking at each field
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(covers(value, found.get(key)) for key, value in wanted.items())
    if isinstance(wanted, list):
        found = found or []  # an empty list may be left out of what is stored
        if not isinstance(found, list) or len(wanted) != len(found):
            return False
        return all(covers(a, b) for a, b in zip(wanted, found, strict=True))
    return False
