"""The weight is a ratio of pods: what they give is recorded, and told where it is another share than the step asks for.

The step goes on with what it has: no number of pods that exists would give more exactly what it asks.
"""

from datetime import datetime

from belay_api.conditions import clear_condition, get_condition
from belay_api.reasons import EventReason, RolloutReason
from belay_api.rollout.status import PodShareStatus
from belay_operator.rollout import route, scaling
from belay_operator.rollout.move import Move, changed, note, raised
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.traffic import pod_ratio

COARSE_WEIGHT = "CoarseWeight"


def act(observed: Observed, now: datetime) -> Move | None:
    """Record how many pods of each side get connections, and set the condition while that is not the weight."""
    status, behind = observed.status, observed.traffic.behind
    candidate, weight = status.candidate, status.weight
    if behind is None:
        return None
    stands = get_condition(status.conditions, COARSE_WEIGHT) is not None
    cleared = clear_condition(status.conditions, COARSE_WEIGHT)
    if candidate is None or weight is None or observed.rolling_back:
        return Move(changed(status, conditions=cleared)) if stands else None
    if weight.applied != weight.desired or not route.in_force(observed, now):
        return None  # what pods give is about to change
    share = pod_ratio.percent(candidate.policy, behind)
    told = weight.model_copy(
        update={
            "pods": PodShareStatus(
                candidate=behind.get(candidate.policy, 0),
                stable=behind.get(status.stable.policy, 0) if status.stable is not None else 0,
                percent=round(share, 1),
            )
        }
    )
    coarse = any(behind.values()) and abs(share - weight.desired) > pod_ratio.NEAR
    message = _message(weight.desired, scaling.asked(observed.spec, status)) if coarse else ""
    conditions = raised(observed, COARSE_WEIGHT, RolloutReason.TOO_FEW_PODS, message, now) if coarse else cleared
    if told == weight and conditions == status.conditions:
        return None
    event = note(EventReason.TOO_FEW_PODS, message, warning=True)
    return Move(changed(status, weight=told, conditions=conditions), (event,) if coarse and not stands else ())


def _message(weight: float, replicas: int) -> str:
    """Without the numbers of pods, which come and go."""
    wanted = pod_ratio.fewest_replicas(weight)
    advice = (
        f"With spec.replicas: {wanted} it would be what is asked; or change the step, or use traffic.gatewayAPI in an "
        "RLRollout of another name"
        if wanted > replicas
        else "Pods are not ready, or a policy has another number of pods than spec.replicas says (its own, or for "
        "other rollouts too): kubectl get rlp says how many"
    )
    return (
        f"the step asks for {weight:g} % and pods give the candidate another share, which it has: status.weight.pods "
        f"says which. {advice}"
    )
