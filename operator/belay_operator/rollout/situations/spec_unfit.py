"""Part of the spec cannot be carried out: the steps and new candidates wait, everything else goes on."""

from datetime import datetime

from belay_api.reasons import RolloutReason
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.stepping import kind_under_way
from belay_operator.rollout.wait import Wait


def explain(observed: Observed, now: datetime) -> Wait | None:
    """Tell what is wrong, what goes on all the same, and what ends it."""
    status = observed.status
    if observed.unfit is None:
        return None
    kind = kind_under_way(observed)
    if kind is not None and not kind.needs_fit_spec:
        return None
    if status.candidate is not None:
        meanwhile = (
            f"Until then {status.candidate.policy} keeps its weight and is judged by what can be read; the command "
            "abort takes it back"
        )
    elif status.stable is not None:
        meanwhile = f"Until then {status.stable.policy} stays stable"
    else:
        meanwhile = "Until then nothing is served"
    return Wait(RolloutReason.INVALID_SPEC, f"{observed.unfit}. {meanwhile}", stalled=True)
