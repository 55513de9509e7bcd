"""How far versions may slide by verdicts alone: each may be worse than the one before by what is allowed.

Twenty candidates that are 2 % worse each, with 10 % allowed, end at 0.7 of the first. No verdict is wrong there, so
none can stop it; a person can. The anchor is the last version a person approved, by the command `approve` or `promote`.
Versions promoted since then are counted, and after `analysis.approveAfter` of them the next candidate is taken up only
when somebody has approved what serves now.
"""

from datetime import datetime

from belay_api.reasons import RolloutReason
from belay_api.rollout import AnchorStatus, RLRolloutStatus, VersionStatus
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
    if judged:
        return anchor.model_copy(update={"promotions": anchor.promotions + 1})
    returned = status.previous is not None and status.previous.digest == candidate.digest
    return anchor if returned else approved(candidate, now)


def approval_needed(observed: Observed, now: datetime) -> Wait | None:
    """The gate before a candidate is taken up; nobody waits for a person to go back."""
    status, most = observed.status, observed.spec.analysis.approve_after
    anchor, stable, wanted = status.anchor, status.stable, observed.policies.get(observed.wanted)
    compared = any(metric.compare is not None for metric in observed.spec.analysis.metrics)
    if anchor is None or stable is None or wanted is None or not compared or not 0 < most <= anchor.promotions:
        return None
    if wanted.digest in (anchor.digest, status.previous.digest if status.previous else None):
        return None
    return Wait(
        RolloutReason.APPROVAL_NEEDED,
        f"{anchor.promotions} versions were promoted by their verdicts since {anchor.policy} was approved, and each "
        f"may be worse than the one before by what is allowed: look at how {stable.policy} does and send the command "
        "approve, or promote more of them unseen with analysis.approveAfter",
        stalled=True,
    )
