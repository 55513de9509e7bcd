"""Traffic through one HTTPRoute of the Gateway API, owned by the rollout.

The first rule matches the public path alone and spreads new episodes by weight. The others match the path *and* the
header `x-belay-policy: <policy>`: an episode under way comes back with the header it was answered with and stays where
it began (the more specific match wins, whatever the order). Pointing a policy's rule at another one therefore moves its
episodes at once, which a weight alone never does.

Rules keep their places and are never taken away: `status.pinned` records who has which, and a new version takes over
the place of one that serves no more. The reason is the data plane: Envoy Gateway names clusters by the rule's position,
and removes a cluster a moment before the routes that use it, so a rule that shifts or goes answers 503 in that moment
(docs/decisions/007). Another backend behind the same rule costs no request.

Every rule sets the header `x-belay-rollout`, over whatever the client sends. Serving pods put it into their receipts,
so that no rollout is judged by episodes of another one that shares its policies (docs/decisions/014). So it does with
`x-belay-baseline`: the pods of both sides ask the same critic of an episode's first observation (docs/decisions/027).
While a step `shadow` is under way, every rule that stable answers alone mirrors to the candidate and says so in
`x-belay-shadow`; all others take that header off, so that no client can have a pod take its requests for mirrors.

Requests of a segment have rules of their own, once there was one: a weighted rule, and one beside each pinned rule,
which matches the segment's headers as well and so comes before it, however many these are. `status.segmentRule` says
after which pinned rule they begin. The two sides of a comparison are drawn among the same users: only the rules of
those whose share is compared name the rollout, and what comes by the others is nobody's evidence (decision 069).

Where users are assigned (`assignment: User`, decision 077) the second rule is theirs, always: the digits of those who
have the candidate. Each pinned rule of a version that serves has the same digits beside its own header, as further
matches: two digits would else win over one header, and a raise would take episodes under way along. Users of an arm
come by the arm's own rule, which has their digits alone as well (decision 083).

The preview address (`spec.traffic.gatewayAPI.preview`) is an HTTPRoute of its own, under the rollout's name with
`-preview`: one rule, which leads to one version and names no rollout (docs/decisions/075).

Rules are an atomic list for server-side apply, so the route is nobody's but ours. Every field that the API server would
default is written out; what exists can then be compared with what is wanted.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from belay_api.names import (
    BASELINE_HEADER,
    MODEL_NAME,
    POLICY_HEADER,
    ROLLOUT_HEADER,
    ROLLOUT_LABEL,
    SERVING_PORT,
    SHADOW_HEADER,
    USER_ONES_HEADER,
    USER_TENS_HEADER,
)
from belay_api.reasons import RolloutReason
from belay_api.rollout.traffic import GatewayTraffic, ParentRef
from belay_operator.children import Owner, child_labels
from belay_operator.engine.foreign import is_foreign
from belay_operator.engine.kind import Reader
from belay_operator.engine.plan import Manifest, Ref
from belay_operator.rollout.traffic.router import (
    Acceptance,
    Bucket,
    Intent,
    Mirror,
    TrafficObject,
    TrafficView,
    Users,
)
from belay_operator.rollout.wait import Wait

API_VERSION = "gateway.networking.k8s.io/v1"
GATEWAY_GROUP = "gateway.networking.k8s.io"
KIND = "HTTPRoute"
WEIGHT_BASE = 10_000  # weights are relative; this base allows steps of 0.01 %
ANSWER_TIME = timedelta(seconds=10)  # a Gateway usually answers within 0.2 s; after this its silence is told
POSITIVE = ("Accepted", "ResolvedRefs")  # conditions that must hold; any other that holds tells of something wrong
HARMLESS = frozenset({*POSITIVE, "Programmed", "Ready"})  # conditions that are well when they hold


@dataclass(frozen=True, slots=True)
class _Requests:
    """Whose requests a rule is for."""

    headers: tuple[tuple[str, str], ...]  # of their segment; empty: those of nobody else's rule
    told: bool
    pinned: str | None = None  # who began their episode; None: nobody has yet
    users: bool = False  # of those who have another share


@dataclass(frozen=True, slots=True)
class GatewayRouter:
    """The Router for `spec.traffic.gatewayAPI`."""

    traffic: GatewayTraffic
    owner: Owner
    labels: Mapping[str, str]  # the installation's own
    suffix: str = ""  # of the HTTPRoute's name; the route of everybody has none

    @property
    def name(self) -> str:
        """Of the HTTPRoute."""
        return f"{self.owner.name}{self.suffix}"

    def read(self, reader: Reader, policies: Collection[str]) -> TrafficView:
        """Return the HTTPRoute, and whether every gateway has accepted its latest generation."""
        route = reader.get(KIND, self.owner.namespace, self.name)
        installed = reader.serves(KIND)
        if route is None:
            return TrafficView(installed=installed, acceptance=Acceptance.SILENT)
        metadata = route["metadata"]
        parents = (route.get("status") or {}).get("parents") or []
        generation = metadata.get("generation", 0)
        answers = [_answer(ref, parents, metadata["namespace"], generation) for ref in self.traffic.parent_refs]
        return TrafficView(
            objects=(
                TrafficObject(
                    ref=Ref(API_VERSION, KIND, metadata["namespace"], metadata["name"], metadata["uid"]),
                    spec=route.get("spec") or {},
                    owned=self.owner.owns(route),
                    foreign=is_foreign(route, self.owner.child(API_VERSION, KIND, self.name, {})),
                    annotations=metadata.get("annotations") or {},
                    version=metadata.get("resourceVersion"),
                ),
            ),
            installed=installed,
            acceptance=max(acceptance for acceptance, _, _ in answers),
            message="; ".join(message for acceptance, message, _ in answers if acceptance is not Acceptance.ACCEPTED),
            warning="; ".join(warning for _, _, warning in answers if warning),
        )

    def objects(self, intent: Intent | None, view: TrafficView) -> tuple[Manifest, ...]:
        """Return the HTTPRoute for an intent."""
        if intent is None:
            return ()
        path = self.traffic.path or f"/predictions/{self.owner.name}"
        rules = _rules(path, self.owner.name, intent)
        spec: dict[str, Any] = {
            "parentRefs": [_parent(ref) for ref in self.traffic.parent_refs],
            "hostnames": list(self.traffic.hostnames),  # also when there are none: one that a stranger adds must go
            "rules": rules,
        }
        labels = child_labels({ROLLOUT_LABEL: self.owner.name}, self.labels)
        return (self.owner.child(API_VERSION, KIND, self.name, labels, spec=spec),)

    def trouble(self, view: TrafficView, *, in_place: bool, waited: timedelta) -> Wait | None:
        """Return what the Gateway has not accepted, or accepted and still finds wrong; None: neither."""
        if not view.installed:
            message = (
                f"this cluster serves no HTTPRoute ({API_VERSION}); install the Gateway API and a controller for it"
            )
            return Wait(RolloutReason.ROUTE_NOT_ACCEPTED, message, stalled=True)
        if view.foreign:
            message = f"the HTTPRoute {self.name} belongs to another object; it is not changed. Delete or rename it"
            return Wait(RolloutReason.ROUTE_NOT_ACCEPTED, message)
        # A Gateway that has judged an earlier generation is there and will answer; one that never spoke may not exist.
        acceptance = view.acceptance if in_place else Acceptance.PENDING
        left = ANSWER_TIME - waited
        if acceptance is Acceptance.REFUSED or (acceptance is Acceptance.SILENT and left <= timedelta()):
            return Wait(RolloutReason.ROUTE_NOT_ACCEPTED, view.message)
        if acceptance is Acceptance.ACCEPTED:
            return Wait(RolloutReason.ROUTE_NOT_ACCEPTED, view.warning) if view.warning else None
        message = "waiting for the Gateway to accept the route"
        return Wait(RolloutReason.PROGRESSING, message, left if left > timedelta() else None)


def _rules(path: str, rollout: str, intent: Intent) -> list[dict[str, Any]]:
    """Every rule in its place: everybody's, and the segment's behind those that were there before it."""

    def of(requests: _Requests, shares: Iterable[tuple[str, float]]) -> list[dict[str, Any]]:
        ways = [(None, _weights(shares)), *((one, [(serving, WEIGHT_BASE)]) for one, serving in intent.pinned)]
        return [_rule(path, weights, rollout, intent, replace(requests, pinned=one)) for one, weights in ways]

    weighted, *pinned = of(_Requests((), intent.told), intent.shares)
    if (users := intent.users) is not None:
        having = _Requests((), intent.told, users=True)
        return [weighted, _rule(path, _weights(users.shares), rollout, intent, having), *pinned]
    if (segment := intent.segment) is None:
        return [weighted, *pinned]
    theirs, *twins = of(_Requests(segment.headers, segment.told), segment.shares)
    before, at = pinned[: segment.after], segment.after
    later = [rule for pair in zip(pinned[at:], twins[at:], strict=True) for rule in pair]
    return [weighted, *before, theirs, *twins[:at], *later]


def _weights(shares: Iterable[tuple[str, float]]) -> list[tuple[str, int]]:
    """Percent shares as integers that sum to the base; the largest side takes the rounding."""
    weights = [(policy, round(share * WEIGHT_BASE / 100)) for policy, share in shares]
    largest = max(range(len(weights)), key=lambda i: weights[i][1])
    policy, weight = weights[largest]
    weights[largest] = (policy, weight + WEIGHT_BASE - sum(weight for _, weight in weights))
    return weights


def _headers(rollout: str, intent: Intent, mirror: Mirror | None, *, told: bool) -> dict[str, Any]:
    """What pods are told of a request, over whatever the client sends."""
    said = {
        ROLLOUT_HEADER: rollout if told else None,
        BASELINE_HEADER: intent.baseline if told else None,
        SHADOW_HEADER: mirror.header if mirror is not None else None,
    }
    given = [{"name": name, "value": value} for name, value in said.items() if value is not None]
    removed = [name for name, value in said.items() if value is None]
    return ({"set": given} if given else {}) | ({"remove": removed} if removed else {})


def _rule(
    path: str,
    weights: list[tuple[str, int]],
    rollout: str,
    intent: Intent,
    requests: _Requests,
) -> dict[str, Any]:
    # Only what one version answers alone is mirrored: of the others nobody knows whose decision to compare with.
    mirror = intent.mirror if intent.mirror and [policy for policy, _ in weights] == [intent.mirror.of] else None
    told = _headers(rollout, intent, mirror, told=requests.told)
    serves = [policy for policy, _ in weights] == [requests.pinned]
    rewrite = {"path": {"type": "ReplaceFullPath", "replaceFullPath": f"/predictions/{MODEL_NAME}"}}
    return {
        "matches": [_match(path, headers) for headers in _matched(requests, intent.users, serves=serves)],
        "filters": [
            {"type": "URLRewrite", "urlRewrite": rewrite},
            {"type": "RequestHeaderModifier", "requestHeaderModifier": told},
            *([_mirrored(mirror)] if mirror is not None else []),
        ],
        "backendRefs": [
            {"group": "", "kind": "Service", "name": policy, "port": SERVING_PORT, "weight": weight}
            for policy, weight in weights
        ],
    }


def _matched(requests: _Requests, users: Users | None, *, serves: bool) -> list[list[tuple[str, str]]]:
    """The headers of each match of a rule.

    Args:
        serves: The rule leads to the version that it is for. Of another the episodes are over, and a route has matches
            for so many.
    """
    if users is None or (requests.pinned is None and not requests.users):
        return [[*_pin(requests), *requests.headers]]
    if requests.users:
        return _digits(users.buckets)
    own = [*_pin(requests), *requests.headers]
    beside = [[*own, *theirs] for theirs in _digits(users.told_apart)] if serves else []
    return [own, *beside, *_digits(dict(users.arms).get(requests.pinned or "", ()))]


def _pin(requests: _Requests) -> list[tuple[str, str]]:
    return [] if requests.pinned is None else [(POLICY_HEADER, requests.pinned)]


def _digits(buckets: Iterable[Bucket]) -> list[list[tuple[str, str]]]:
    return [[(USER_TENS_HEADER, tens), *([] if ones is None else [(USER_ONES_HEADER, ones)])] for tens, ones in buckets]


def _match(path: str, headers: list[tuple[str, str]]) -> dict[str, Any]:
    match: dict[str, Any] = {"path": {"type": "Exact", "value": path}}
    if headers:
        match["headers"] = [{"type": "Exact", "name": name, "value": value} for name, value in headers]
    return match


def _mirrored(mirror: Mirror) -> dict[str, Any]:
    backend = {"group": "", "kind": "Service", "name": mirror.to, "port": SERVING_PORT}
    # A Gateway API before 1.3 does not know `percent`, and mirrors all.
    part = {"percent": mirror.percent} if mirror.percent < 100 else {}
    return {"type": "RequestMirror", "requestMirror": {"backendRef": backend, **part}}


def _parent(ref: ParentRef) -> dict[str, Any]:
    return {"group": GATEWAY_GROUP, "kind": "Gateway"} | ref.dump()


def _answer(
    ref: ParentRef, parents: list[Mapping[str, Any]], namespace: str, generation: int
) -> tuple[Acceptance, str, str]:
    """What one gateway says of the route's latest generation: its answer, why not, and what else is wrong."""
    gateway = f"Gateway {ref.namespace or namespace}/{ref.name}"
    ours = [parent for parent in parents if _same(ref, parent.get("parentRef") or {}, namespace)]
    if not ours:
        message = f"{gateway} has not answered; check that it exists and that its controller runs"
        return Acceptance.SILENT, message, ""
    # Several controllers may report on one parent; one that has accepted is enough.
    acceptance, message, warning = min(_judgement(parent, generation) for parent in ours)
    return acceptance, f"{gateway} {message}", f"{gateway} {warning}" if warning else ""


def _same(ref: ParentRef, found: Mapping[str, Any], namespace: str) -> bool:
    return (
        found.get("name") == ref.name
        and (found.get("namespace") or namespace) == (ref.namespace or namespace)
        and found.get("sectionName") == ref.section_name
        and found.get("kind", "Gateway") == "Gateway"
    )


def _judgement(parent: Mapping[str, Any], generation: int) -> tuple[Acceptance, str, str]:
    conditions = {condition.get("type"): condition for condition in parent.get("conditions") or []}
    for kind in POSITIVE:
        condition = conditions.get(kind)
        if condition is None or condition.get("observedGeneration", 0) < generation:
            return Acceptance.PENDING, "has not judged the latest generation of the route yet", ""
        if condition.get("status") != "True":
            return Acceptance.REFUSED, _says(condition), ""
    # Such as PartiallyInvalid and RouteRulesOverlap: the route is taken, and some of its requests go elsewhere.
    wrong = [
        _says(condition)
        for kind, condition in conditions.items()
        if kind not in HARMLESS and condition.get("status") == "True"
    ]
    return Acceptance.ACCEPTED, "", "; ".join(wrong)


def _says(condition: Mapping[str, Any]) -> str:
    return f"says {condition.get('reason') or condition.get('type')}: {condition.get('message', '')}"
