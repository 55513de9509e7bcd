"""How far versions may slide by verdicts alone: each may be worse than the one before by what is allowed.

Twenty candidates that are 2 % worse each, with 10 % allowed, end at 0.7 of the first. No verdict is wrong there, so
none can stop it; a person can. The anchor is the last version a person approved: by the command `approve` or `promote`,
or at a step `approve` after which no verdict was asked for. Versions promoted since then are counted, and after
`analysis.approveAfter` of them the next candidate is taken up only when somebody has approved what serves now.

With `analysis.anchor: Serve` each candidate is held against the anchor itself (`anchored`), and nobody is asked while
that can be served.
"""

from datetime import datetime

from belay_api.reasons import RolloutReason, Verdict
from belay_api.rollout.status import AnchorStatus, RLRolloutStatus, VersionStatus
from belay_operator.rollout import anchor as beside
from belay_operator.rollout.move import instant
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.wait import Wait


def approved(version: VersionStatus, now: datetime) -> AnchorStatus:
    """Return the anchor once a person has approved a version."""
    return AnchorStatus(policy=version.policy, digest=version.digest, since=instant(now))


def after_promotion(status: RLRolloutStatus, candidate: VersionStatus, *, judged: bool, now: datetime) -> AnchorStatus:
    """Return the anchor after a promotion.

    Args:
        judged: It was promoted by its verdicts; else by a person, or because it is the version before, still warm.
    """
    stable, anchor = status.stable, status.anchor
    if stable is None:
        return approved(candidate, now)  # whoever made the rollout chose it
    if anchor is None:  # of a version of Belay that kept none
        anchor = approved(stable, now)
    if candidate.digest == anchor.digest:
        return anchor.model_copy(update={"promotions": 0})
    approval = status.step.approval if status.step is not None else None
    if approval is not None and approval.digest == candidate.digest:
        return approved(candidate, now)
    if judged:
        return anchor.model_copy(update={"promotions": anchor.promotions + 1})
    returned = status.previous is not None and status.previous.digest == candidate.digest
    return anchor if returned else approved(candidate, now)


def approval_needed(observed: Observed, now: datetime) -> Wait | None:
    """The gate before a candidate is taken up; nobody waits for a person to go back."""
    status, most = observed.status, observed.spec.analysis.approve_after
    anchor, stable, wanted = status.anchor, status.stable, observed.policies.get(observed.wanted)
    compared = any(metric.compare is not None for metric in observed.spec.analysis.deciding)
    if anchor is None or stable is None or wanted is None or not compared or not 0 < most <= anchor.promotions:
        return None
    if wanted.digest in (anchor.digest, status.previous.digest if status.previous else None):
        return None
    words = beside.unservable(observed, now) if beside.is_served(observed.spec) else ""
    if words is None:
        return None
    return Wait(
        RolloutReason.APPROVAL_NEEDED,
        f"{anchor.promotions} versions were promoted by their verdicts since {anchor.policy} was approved, and each "
        f"may be worse than the one before by what is allowed: look at how {stable.policy} does and send the command "
        "approve, or promote more of them unseen with analysis.approveAfter"
        + (f". A person is asked because the anchor cannot be served: {words}" if words else ""),
        stalled=True,
    )


def approval_in_place_of_the_anchor(observed: Observed, now: datetime) -> Wait | None:
    """The gate before a step that asks for Pass is left: the anchor is not served, and enough was promoted unseen."""
    anchor, most = beside.needed(observed), observed.spec.analysis.approve_after
    words = None if anchor is None else beside.unservable(observed, now)
    if anchor is None or words is None or not 0 < most <= anchor.promotions or _known(observed, anchor):
        return None
    stable = observed.status.stable.policy if observed.status.stable else "stable"
    return Wait(
        RolloutReason.APPROVAL_NEEDED,
        f"the candidate cannot be held against {anchor.policy}, the last version a person approved: {words}. "
        f"versions promoted by their verdicts since then: {anchor.promotions}. Look at how {stable} does and send the "
        "command approve, or send promote or abort",
        stalled=True,
    )


def _known(observed: Observed, anchor: AnchorStatus) -> bool:
    """Whether every comparison has passed against the anchor before that went."""
    compared = {metric.name for metric in observed.spec.analysis.deciding if metric.compare is not None}
    passed = {
        verdict.metric
        for verdict in observed.verdicts or ()
        if verdict.anchor is not None
        and (verdict.anchor.policy, verdict.anchor.verdict) == (anchor.policy, Verdict.PASS)
    }
    return compared <= passed
