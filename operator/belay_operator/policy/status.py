"""Status of a policy from what was observed: are its bytes the ones promised, are they loaded, are there enough pods.

Verified   what the pods found of the artifact; what was once proven stays known when the pods are gone
Loaded     whether any pod answers
Ready      whether as many answer as are asked for; nobody asking is Ready too, with reason NotLoaded

What is said of a generation is said of a Deployment that carries its settings: until the API server has taken them, the
status stays with the generation that runs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from belay_api.conditions import Condition, ConditionStatus, clear_condition, get_condition, set_condition
from belay_api.policy import LoadReport, RLPolicyStatus, SignatureStatus
from belay_api.reasons import PolicyReason
from belay_operator.judging.kind import Said
from belay_operator.judging.standing import QuestionStanding
from belay_operator.pods import over_quota
from belay_operator.policy import build
from belay_operator.policy.needs import Demand
from belay_operator.policy.observed import Observed

TRUE, FALSE, UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN
_FINAL = frozenset({PolicyReason.DIGEST_MISMATCH, PolicyReason.ARTIFACT_INVALID})  # another download cannot help

# What Ready says once a pass has asked for the Deployment, until there is one.
_ASKED = frozenset({PolicyReason.VERIFYING, PolicyReason.CHILD_CONFLICT, PolicyReason.CHILD_REFUSED})
_NOT_MADE = "The Deployment could not be made yet, and is tried again; the operator's log says why."


@dataclass(frozen=True, slots=True)
class _Situation:
    observed: Observed
    wanted: int  # pods
    running: int  # pods
    ready: int  # pods
    carried: bool  # the Deployment has the settings of the spec; nothing contradicts them while there is none
    in_the_way: Demand | None  # who needs what a deleted policy of our name serves
    waits_for: QuestionStanding | None  # the gates that serving waits for; None: it does not
    verified: Said


def status_of(
    observed: Observed, *, wanted: int, used_by: Sequence[str], waits_for: QuestionStanding | None = None, now: datetime
) -> RLPolicyStatus:
    """Return the whole status, but for what is asked of the policy.

    Args:
        wanted: Pods asked for.
        used_by: Rollouts that ask for them.
        waits_for: The gates that serving waits for; None: it does not.
    """
    owner, before, deployment = observed.owner, observed.status, observed.deployment
    proof = _proof(observed)
    seen = _Situation(
        observed=observed,
        wanted=wanted,
        running=deployment.replicas if deployment else 0,
        ready=deployment.ready if deployment else 0,
        carried=observed.accepted is None,
        in_the_way=observed.in_the_way(now),
        waits_for=waits_for,
        verified=_verified(observed, wanted),
    )
    ready = _first(
        seen,
        _name_in_use,
        _refused,
        _not_validated,
        _nobody_asks,
        _unloading,
        _all_ready,
        _artifact_unusable,
        _cannot_start,
        _some_ready,
        _none_ready,
    )
    settled = ready.status == TRUE and _rolled_out(seen)
    missed = ready.reason == PolicyReason.NOT_VALIDATED and waits_for is not None and waits_for.over
    stalled = ready.reason in _FINAL or ready.reason == PolicyReason.NAME_IN_USE or missed
    loaded = _first(
        seen,
        _loaded,
        _name_in_use,
        _not_validated,
        _nobody_asks_loaded,
        _artifact_unusable,
        _cannot_start,
        _none_ready,
    )
    said = {
        "Verified": seen.verified,
        "Loaded": loaded,
        "Ready": ready,
        "Reconciling": None if settled or stalled else Said(TRUE, ready.reason, ready.message),
        "Stalled": Said(TRUE, ready.reason, ready.message) if stalled else None,
    }
    if seen.carried or ready.reason == PolicyReason.CHILD_REFUSED or before.observed_generation is None:
        generation = owner.generation
    else:
        generation = before.observed_generation
    return before.model_copy(
        update={
            "observed_generation": generation,
            "conditions": _conditions(before.conditions, said, generation=generation, now=now),
            "digest": proof.digest if proof else before.digest,
            "signature": _signature(proof) or before.signature,
            "outcomes": (proof.outcomes if proof else None) or before.outcomes,
            "imported": (proof.imported if proof else None) or before.imported,
            "absent": (proof.absent or None) if proof else before.absent,
            "endpoint": build.endpoint(owner.name, owner.namespace) if wanted > 0 else None,
            "replicas": seen.running,
            "ready_replicas": seen.ready,
            "desired_replicas": wanted,
            "selector": ",".join(f"{k}={v}" for k, v in sorted(build.selector(owner.name).items())),
            "used_by": list(used_by),
        }
    )


def invalid_status(status: RLPolicyStatus, message: str, *, generation: int, now: datetime) -> RLPolicyStatus:
    """Return `status` saying that the spec cannot be served."""
    said = {
        "Ready": Said(FALSE, PolicyReason.INVALID_SPEC, message),
        "Reconciling": None,
        "Stalled": Said(TRUE, PolicyReason.INVALID_SPEC, message),
    }
    conditions = _conditions(status.conditions, said, generation=generation, now=now)
    return status.model_copy(update={"conditions": conditions, "observed_generation": generation})


def _conditions(
    conditions: list[Condition], said: dict[str, Said | None], *, generation: int, now: datetime
) -> list[Condition]:
    for kind, what in said.items():
        if what is None:
            conditions = clear_condition(conditions, kind)
            continue
        conditions = set_condition(
            conditions,
            kind,
            what.status,
            reason=what.reason,
            message=what.message,
            generation=generation,
            now=now,
        )
    return conditions


# --- Verified ---------------------------------------------------------------------------------------------------------
def _proof(observed: Observed) -> LoadReport | None:
    """Return the report of a pod that read the whole artifact and found the digest of the spec."""
    digest = observed.spec.artifact.digest
    return next((r for p in observed.pods if (r := p.report) and r.reason == "Verified" and r.digest == digest), None)


def _verified(observed: Observed, wanted: int) -> Said:
    """Say what is known of the bytes.

    The newest word counts: an artifact that was good yesterday and is found changed today is a changed artifact.
    Without a new word the old one stays, but for words about a store that may be back by now.
    """
    artifact, before = observed.spec.artifact, get_condition(observed.status.conditions, "Verified")
    reports = [pod.report for pod in observed.pods if pod.report is not None]
    if reports and reports[-1].reason != "Verified":
        return Said(FALSE, PolicyReason(reports[-1].reason), _complaint(observed, reports[-1]))
    if reports and reports[-1].digest != artifact.digest:
        return Said(FALSE, PolicyReason.DIGEST_MISMATCH, _complaint(observed, reports[-1]))
    if reports or (observed.status.digest == artifact.digest and not _is_final(before)):
        return Said(
            TRUE, PolicyReason.VERIFIED, f"A serving pod read the whole artifact; its digest is {artifact.digest}."
        )
    if before is not None and (_is_final(before) or (wanted > 0 and before.status == FALSE)):
        return Said(before.status, PolicyReason(before.reason), before.message)
    if wanted == 0:
        return Said(UNKNOWN, PolicyReason.NOT_LOADED, "No pod has read the artifact yet: none is asked for.")
    fetching = "A pod is fetching the artifact and checks its digest."
    return Said(UNKNOWN, PolicyReason.VERIFYING, _NOT_MADE if _not_made(observed) else fetching)


def _not_made(observed: Observed) -> bool:
    """Whether the Deployment is missing although an earlier pass has asked for it."""
    before = get_condition(observed.status.conditions, "Ready")
    return observed.child is None and before is not None and before.reason in _ASKED


def _is_final(condition: Condition | None) -> bool:
    return condition is not None and condition.reason in _FINAL


def _complaint(observed: Observed, report: LoadReport) -> str:
    artifact = observed.spec.artifact
    meanwhile = "It is not loaded; pods that serve the wanted bytes keep running."
    if report.reason in ("Verified", "DigestMismatch"):
        found = report.digest or "other bytes"
        detail = f" ({report.message})" if report.message else ""
        return (
            f"spec.artifact: {artifact.uri} has digest {found}, wanted {artifact.digest}{detail}. {meanwhile} "
            "Publish the changed artifact as a new RLPolicy."
        )
    if report.reason == "StoreUnavailable":
        return f"spec.artifact: the store of {artifact.uri} does not answer: {report.message}. The pods try again."
    if report.reason == "ArtifactNotFound":
        return (
            f"spec.artifact: the store has no {artifact.uri}: {report.message}. {meanwhile} The pods try again; put "
            "the artifact back, or create an RLPolicy of one that exists."
        )
    return f"spec.artifact: {artifact.uri} cannot be served: {report.message}. {meanwhile} Publish a new RLPolicy."


def _signature(proof: LoadReport | None) -> SignatureStatus | None:
    if proof is None or proof.observation is None or proof.action is None:
        return None
    return SignatureStatus(observation=proof.observation, action=proof.action, state=proof.state)


# --- Loaded and Ready: chains, read from top to bottom ----------------------------------------------------------------
_Link = Callable[[_Situation], Said | None]


def _first(seen: _Situation, *links: _Link) -> Said:
    return next(said for link in links if (said := link(seen)) is not None)


def _name_in_use(seen: _Situation) -> Said | None:
    needed = seen.in_the_way
    if needed is None:
        return None
    message = (
        f"spec.artifact: this has digest {seen.observed.spec.artifact.digest}, and RLRollout {needed.rollout} still "
        f"serves {needed.digest} under the name {seen.observed.owner.name}, from a deleted RLPolicy. That is left "
        "as it is, and these bytes are not served. Create this RLPolicy under another name; otherwise it is served "
        "once no rollout needs the other bytes."
    )
    return Said(FALSE, PolicyReason.NAME_IN_USE, message)


def _refused(seen: _Situation) -> Said | None:
    """Keep what the engine said of these settings while the Deployment does not carry them."""
    said = get_condition(seen.observed.status.conditions, "Ready")
    if said is None or said.reason != PolicyReason.CHILD_REFUSED:
        return None
    open_ = not seen.carried or (seen.observed.child is None and seen.wanted > 0)
    if not open_ or said.observed_generation != seen.observed.owner.generation:
        return None
    return Said(said.status, PolicyReason.CHILD_REFUSED, said.message)


def _not_validated(seen: _Situation) -> Said | None:
    if seen.waits_for is None or seen.verified.reason in _FINAL:
        return None
    message = (
        "spec.validation.required is true and the policy has not passed its gates, so no pod of it is asked for. "
        f"{seen.waits_for.said.message}"
    )
    return Said(FALSE, PolicyReason.NOT_VALIDATED, message)


def _loaded(seen: _Situation) -> Said | None:
    if seen.ready == 0:
        return None
    return Said(TRUE, PolicyReason.LOADED, "At least one pod has loaded the policy and answers.")


def _nobody_asks(seen: _Situation) -> Said | None:
    if seen.wanted > 0 or seen.running > 0 or seen.verified.reason in _FINAL:
        return None
    return Said(TRUE, PolicyReason.NOT_LOADED, _idle_words(seen))


def _unloading(seen: _Situation) -> Said | None:
    if seen.wanted > 0 or seen.verified.reason in _FINAL:
        return None
    return Said(TRUE, PolicyReason.UNLOADING, _unloading_words(seen))


def _nobody_asks_loaded(seen: _Situation) -> Said | None:
    if seen.wanted > 0:
        return None
    if seen.running > 0:
        return Said(FALSE, PolicyReason.UNLOADING, _unloading_words(seen))
    return Said(FALSE, PolicyReason.NOT_LOADED, _idle_words(seen))


def _unloading_words(seen: _Situation) -> str:
    return f"{_idle_words(seen)} Pods of it still run and are being ended."


def _idle_words(seen: _Situation) -> str:
    if seen.observed.closed_by is not None:
        return f"Closed by the rollback of RLRollout {seen.observed.closed_by}: no pod may serve it."
    for field in ("scale", "replicas"):
        if getattr(seen.observed.spec.serving, field) == 0:
            return f"spec.serving.{field} is 0."
    return "No rollout uses the policy, so no pod is asked for. Name it in an RLRollout, or set spec.serving.replicas."


def _all_ready(seen: _Situation) -> Said | None:
    if seen.ready < seen.wanted or seen.wanted == 0:
        return None
    return Said(TRUE, PolicyReason.AVAILABLE, "All pods asked for are ready.")


def _artifact_unusable(seen: _Situation) -> Said | None:
    return seen.verified if seen.verified.status == FALSE else None


def _cannot_start(seen: _Situation) -> Said | None:
    deployment = seen.observed.deployment
    words = sorted(pod.cannot_start for pod in seen.observed.pods if pod.cannot_start and not pod.ready)
    if deployment is not None and deployment.failure and not over_quota(deployment.failure):
        words.append(deployment.failure)
    if not words:
        return _unschedulable(seen)
    message = f"A pod cannot start: {words[0]}. It goes on by itself once that is mended."
    return Said(FALSE, PolicyReason.POD_START_FAILED, message)


def _unschedulable(seen: _Situation) -> Said | None:
    deployment = seen.observed.deployment
    words = sorted(pod.unschedulable for pod in seen.observed.pods if pod.unschedulable)
    if deployment is not None and deployment.failure:
        words.append(deployment.failure)
    if not words:
        return None
    message = f"A pod has no place to run: {words[0]}. It goes on by itself once there is one."
    return Said(FALSE, PolicyReason.UNSCHEDULABLE, message)


def _some_ready(seen: _Situation) -> Said | None:
    if seen.ready == 0:
        return None
    return Said(
        FALSE, PolicyReason.UNAVAILABLE, "Fewer pods are ready than asked for; status.readyReplicas says how many."
    )


def _none_ready(seen: _Situation) -> Said:
    if seen.verified.status == UNKNOWN:
        return Said(FALSE, seen.verified.reason, seen.verified.message)
    return Said(FALSE, PolicyReason.LOADING, "The artifact is verified; the server is not ready yet.")


def _rolled_out(seen: _Situation) -> bool:
    """Whether the pods are those of the latest settings, and no others are left."""
    deployment = seen.observed.deployment
    if deployment is None:
        return seen.wanted == 0
    return seen.carried and deployment.current and deployment.updated == seen.wanted == deployment.replicas
