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
so that no rollout is judged by episodes of another one that shares its policies (docs/decisions/014).

Rules are an atomic list for server-side apply, so the route is nobody's but ours. Every field that the API server would
default is written out; what exists can then be compared with what is wanted.
"""

from collections.abc import Mapping
from typing import Any

from belay_api.names import MODEL_NAME, POLICY_HEADER, ROLLOUT_HEADER, SERVING_PORT
from belay_api.rollout import GatewayTraffic, ParentRef
from belay_operator.children import Owner
from belay_operator.engine.plan import Manifest, Ref
from belay_operator.rollout.traffic.router import Answer, Intent, RouteView

API_VERSION = "gateway.networking.k8s.io/v1"
GATEWAY_GROUP = "gateway.networking.k8s.io"
KIND = "HTTPRoute"
WEIGHT_BASE = 10_000  # weights are relative; this base allows steps of 0.01 %


class GatewayRouter:
    """The Router for `spec.traffic.gatewayAPI`."""

    def manifest(self, traffic: GatewayTraffic, intent: Intent, *, owner: Owner, labels: Mapping[str, str]) -> Manifest:
        """Return the HTTPRoute for an intent, under the rollout's name."""
        path = traffic.path or f"/predictions/{owner.name}"
        rules = [_rule(path, _weights(intent), rollout=owner.name)]
        rules += [
            _rule(path, [(serving, WEIGHT_BASE)], rollout=owner.name, pinned=policy)
            for policy, serving in intent.pinned
        ]
        spec: dict[str, Any] = {"parentRefs": [_parent(ref) for ref in traffic.parent_refs], "rules": rules}
        if traffic.hostnames:
            spec["hostnames"] = list(traffic.hostnames)
        return owner.child(API_VERSION, KIND, owner.name, labels, spec=spec)

    def carries(self, route: RouteView, manifest: Manifest) -> bool:
        """Return whether the existing route says what `manifest` says, fields of others aside."""
        return _covers(manifest["spec"], route.spec)

    def read(self, route: Mapping[str, Any], traffic: GatewayTraffic, *, owner: Owner) -> RouteView:
        """Return what an existing HTTPRoute says and whether every gateway has accepted its latest generation."""
        metadata = route["metadata"]
        parents = (route.get("status") or {}).get("parents") or []
        generation = metadata.get("generation", 0)
        answers = [_answer(ref, parents, metadata["namespace"], generation) for ref in traffic.parent_refs]
        return RouteView(
            uid=metadata["uid"],
            spec=route.get("spec") or {},
            ours=owner.owns(route),
            answer=max(answer for answer, _ in answers),
            message="; ".join(message for answer, message in answers if answer is not Answer.ACCEPTED),
        )

    def ref(self, route: RouteView, *, owner: Owner) -> Ref:
        """Return the HTTPRoute to delete."""
        return Ref(api_version=API_VERSION, kind=KIND, namespace=owner.namespace, name=owner.name, uid=route.uid)


def _weights(intent: Intent) -> list[tuple[str, int]]:
    """Percent shares as integers that sum to the base; the largest side takes the rounding."""
    weights = [(policy, round(share * WEIGHT_BASE / 100)) for policy, share in intent.shares]
    largest = max(range(len(weights)), key=lambda i: weights[i][1])
    policy, weight = weights[largest]
    weights[largest] = (policy, weight + WEIGHT_BASE - sum(weight for _, weight in weights))
    return weights


def _rule(path: str, weights: list[tuple[str, int]], *, rollout: str, pinned: str | None = None) -> dict[str, Any]:
    match: dict[str, Any] = {"path": {"type": "Exact", "value": path}}
    if pinned is not None:
        match["headers"] = [{"type": "Exact", "name": POLICY_HEADER, "value": pinned}]
    rewrite = {"path": {"type": "ReplaceFullPath", "replaceFullPath": f"/predictions/{MODEL_NAME}"}}
    return {
        "matches": [match],
        "filters": [
            {"type": "URLRewrite", "urlRewrite": rewrite},
            {
                "type": "RequestHeaderModifier",
                "requestHeaderModifier": {"set": [{"name": ROLLOUT_HEADER, "value": rollout}]},
            },
        ],
        "backendRefs": [
            {"group": "", "kind": "Service", "name": policy, "port": SERVING_PORT, "weight": weight}
            for policy, weight in weights
        ],
    }


def _parent(ref: ParentRef) -> dict[str, Any]:
    return {"group": GATEWAY_GROUP, "kind": "Gateway"} | ref.dump()


def _covers(wanted: Any, found: Any) -> bool:
    """Whether `found` holds everything in `wanted`; lists must agree item by item, mappings may hold more."""
    if wanted == found:
        return True  # nearly always, and hundreds of times faster than looking at each field
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(k in found and _covers(v, found[k]) for k, v in wanted.items())
    if isinstance(wanted, list):
        if not isinstance(found, list) or len(wanted) != len(found):
            return False
        return all(_covers(a, b) for a, b in zip(wanted, found, strict=True))
    return False


def _answer(ref: ParentRef, parents: list[Mapping[str, Any]], namespace: str, generation: int) -> tuple[Answer, str]:
    """What one gateway says of the route's latest generation, with its words."""
    gateway = f"Gateway {ref.namespace or namespace}/{ref.name}"
    ours = [parent for parent in parents if _same(ref, parent.get("parentRef") or {}, namespace)]
    if not ours:
        return Answer.SILENT, f"{gateway} has not answered; check that it exists and that its controller runs"
    # Several controllers may report on one parent; one that has accepted is enough.
    answer, message = min(_judgement(parent, generation) for parent in ours)
    return answer, f"{gateway} {message}"


def _same(ref: ParentRef, found: Mapping[str, Any], namespace: str) -> bool:
    return (
        found.get("name") == ref.name
        and (found.get("namespace") or namespace) == (ref.namespace or namespace)
        and found.get("sectionName") == ref.section_name
        and found.get("kind", "Gateway") == "Gateway"
    )


def _judgement(parent: Mapping[str, Any], generation: int) -> tuple[Answer, str]:
    conditions = {condition.get("type"): condition for condition in parent.get("conditions") or []}
    for kind in ("Accepted", "ResolvedRefs"):
        condition = conditions.get(kind)
        if condition is None or condition.get("observedGeneration", 0) < generation:
            return Answer.PENDING, "has not judged the latest generation of the route yet"
        if condition.get("status") != "True":
            return Answer.REFUSED, f"says {condition.get('reason', kind)}: {condition.get('message', '')}"
    return Answer.ACCEPTED, ""
