"""What a policy tells: that it cannot be served, and that it can after all."""

from collections.abc import Iterable

from belay_api.reasons import PolicyReason
from belay_operator.notify.told.telling import Happened, Severity, Status, Telling


def happened(status: Status) -> Iterable[Happened]:
    """Return nothing: what goes well with a policy is its rollout's news."""
    return ()


TELLING = Telling(
    kind="RLPolicy",
    plural="rlpolicies",
    word="policy",
    happens=(),
    happened=happened,
    situations={
        "Ready": {
            str(reason): Severity.ERROR
            for reason in (
                PolicyReason.DIGEST_MISMATCH,
                PolicyReason.ARTIFACT_INVALID,
                PolicyReason.ARTIFACT_NOT_FOUND,
                PolicyReason.NAME_IN_USE,
                PolicyReason.INVALID_SPEC,
                PolicyReason.CHILD_CONFLICT,
                PolicyReason.CHILD_REFUSED,
            )
        },
        "Stalled": {str(PolicyReason.NOT_VALIDATED): Severity.ERROR},  # its gates are over, and were not passed
    },
)
