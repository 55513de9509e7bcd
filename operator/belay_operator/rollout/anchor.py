"""The anchor beside a trial: whether one needs it, whether it can be served, and what part of the traffic it gets.

The anchor is the last version a person approved. With `analysis.anchor: Serve` each candidate is held against it as
well as against stable, on concurrent episodes. It gets part of stable's traffic and none of the candidate's, and only
while the candidate has some: what is compared is what began in the same window.
"""

from datetime import datetime, timedelta

from belay_api.rollout.analysis import AnchorUse
from belay_api.rollout.spec import RLRolloutSpec
from belay_api.rollout.status import (
    MAX_WEIGHT_CHANGES,
    AnchorStatus,
    RLRolloutStatus,
    ServedAnchorStatus,
    VersionStatus,
)
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.policy_view import PolicyView

# Coming and going each cuts a window; beyond this the changes of the weight itself would begin to be forgotten.
MOST_CHANGES = MAX_WEIGHT_CHANGES * 3 // 4


def share(candidate: float) -> float:
    """Return the anchor's percent of new episodes beside the candidate's: as many, and no more than stable keeps."""
    return min(candidate, (100.0 - candidate) / 2)


def part(status: RLRolloutStatus) -> float:
    """Return the anchor's percent of new episodes as status asks for it."""
    served, weight = status.served_anchor, status.weight
    if served is None or not served.on_route or weight is None or status.candidate is None:
        return 0.0
    return 0.0 if status.rolling_back else share(weight.desired)


def is_served(spec: RLRolloutSpec) -> bool:
    """Whether the spec wants the anchor beside each trial."""
    return spec.analysis.anchor is AnchorUse.SERVE


def needed(observed: Observed) -> AnchorStatus | None:
    """Return the anchor that the trial is held against as well as against stable.

    None: there is no trial, or its two sides have the anchor's bytes among them; or the candidate has all traffic, and
    there is nothing more to compare; or it is the version before, which is not judged.
    """
    status = observed.status
    anchor, stable, candidate, previous = status.anchor, status.stable, status.candidate, status.previous
    if not is_served(observed.spec) or anchor is None or stable is None or candidate is None or observed.rolling_back:
        return None
    known = anchor.digest in {stable.digest, candidate.digest}
    returning = previous is not None and previous.digest == candidate.digest
    everything = status.weight is not None and status.weight.desired == 100
    return None if known or returning or everything else anchor


def unservable(observed: Observed, now: datetime) -> str | None:
    """Return why the anchor cannot be served, for people; None: it can, or its pods are on their way."""
    anchor = observed.status.anchor
    if anchor is None:
        return "no version was approved yet"
    if anchor.digest in observed.status.rejected_digests:
        return f"{anchor.policy} was rolled back since"
    policy = observed.policies.get(anchor.policy)
    if policy is None or (policy.deleted and policy.ready_replicas == 0):
        return f"RLPolicy {anchor.policy} was deleted"
    if policy.digest != anchor.digest:
        return f"RLPolicy {anchor.policy} was made again with another digest"
    if policy.broken is not None:
        return f"{anchor.policy}: {': '.join(policy.broken)}"
    return _without_pods(observed, anchor, policy, now)


def _without_pods(observed: Observed, anchor: AnchorStatus, policy: PolicyView, now: datetime) -> str | None:
    """Why it does not answer, though its pods were asked for long ago; None: it does, or it is early."""
    served = observed.status.served_anchor
    if served is None or not same(served, anchor) or served.on_route:
        return None
    if comes_and_goes(observed.status):
        return f"the pods of {anchor.policy} come and go"
    if policy.has_capacity or time_left(observed, served, now) > timedelta():
        return None
    words = f" ({policy.message.rstrip('.')})" if policy.message else ""
    return f"{anchor.policy} has fewer than {policy.needed_replicas} ready replicas{words}"


def comes_and_goes(status: RLRolloutStatus) -> bool:
    """Whether it has left the route so often that it is not put there again in this trial."""
    return len(status.weight_changes) >= MOST_CHANGES


def time_left(observed: Observed, served: ServedAnchorStatus, now: datetime) -> timedelta:
    """Return for how long it may still be without its pods: as long as one side may go unmeasured."""
    policy = observed.policies.get(served.policy)
    silent = policy.silent_since if policy is not None else None
    since = max(served.since, served.changed_at, silent or served.since)
    return since + observed.spec.analysis.on_no_data.after - now


def same(one: VersionStatus | None, other: VersionStatus | None) -> bool:
    """Whether both name the same bytes under the same name."""
    return (one and (one.policy, one.digest)) == (other and (other.policy, other.digest))
