"""From what a proxy counts of each address it sends requests to, to what a version's pods were asked and failed. Pure.

Envoy keeps, by cluster and endpoint, how many requests it began, how many are under way, how many were answered below
500 and how many went wrong by its own account: 5xx, resets, time-outs, connections that were refused. A caller who
gives up first is in none of the last two: of a pod that hangs, nothing is seen but requests that began and are neither
answered nor under way. They failed as well, whoever lost patience.

    failed >= max(errors, begun - under way - answered)          for what fails with a request begun is in both

What fails before it has a connection is in `errors` alone, so of a pod that refuses connections and hangs the smaller
part may not be seen: never too many are counted.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from re import escape, fullmatch
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

PREFIX = "envoy_cluster_endpoint_rq_"
# Counts are read one after the other, within microseconds: a request that ends between two of them seems lost once. In
# three scrapes one after the other that would have to happen each time.
SETTLED_IN = 3

Endpoint = tuple[str, str]
"""Cluster and address."""


@dataclass(frozen=True, slots=True)
class EndpointCounts:
    """One endpoint's counts at one proxy."""

    begun: float
    active: float
    answered: float  # with less than 500
    errors: float

    @property
    def unanswered(self) -> float:
        """Requests that ended without a good answer, of those that began."""
        return self.begun - self.active - self.answered


ZERO = EndpointCounts(0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class ProxyAnswer:
    """What one proxy says of a rollout."""

    routed: bool  # it has clusters of the rollout
    endpoints: Mapping[Endpoint, EndpointCounts]


@dataclass(slots=True)
class Growth:
    """What one proxy has counted of one endpoint since it was first seen. Neither number ever falls."""

    requests: float = 0.0
    failed: float = 0.0
    _last: EndpointCounts | None = None
    _base: EndpointCounts = ZERO  # at the beginning of the life that `_before` is from
    _before: tuple[float, float] = (0.0, 0.0)  # requests and failures of the lives before
    _unanswered: deque[float] = field(default_factory=lambda: deque([0.0] * SETTLED_IN, SETTLED_IN))
    _settled: float = 0.0

    def add(self, now: EndpointCounts) -> None:
        """Take what is counted now. One that is seen for the first time gives a baseline and nothing else."""
        last, self._last = self._last, now
        if last is None:
            self._base = now
        elif now.begun < last.begun or now.answered < last.answered or now.errors < last.errors:
            # The proxy, its container or its cluster was made anew: all that it counts came since.
            self._base, self._before, self._settled = ZERO, (self.requests, self.failed), 0.0
            self._unanswered.extend([0.0] * SETTLED_IN)
        self._unanswered.append(now.unanswered - self._base.unanswered)
        self._settled = max(self._settled, min(self._unanswered))
        failed = max(now.errors - self._base.errors, self._settled)
        self.failed = self._before[1] + failed
        self.requests = self._before[0] + now.answered - self._base.answered + failed


def wanted(namespace: str, rollout: str) -> str:
    """Return a regular expression of the statistics that `read` understands, for Envoy to leave out all others."""
    return rf"^cluster\.{_cluster(namespace, rollout)}\.(membership_total$|endpoint\..*\.rq_)"


def read(text: str, namespace: str, rollout: str) -> ProxyAnswer:
    """Return what Prometheus text says of a rollout's clusters. Raises: ValueError where it is none.

    What is mirrored has clusters of other names: nobody hears those answers.
    """
    ours, routed, found = _cluster(namespace, rollout), False, dict[Endpoint, dict[str, float]]()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            routed = routed or sample.name.endswith("membership_total")
            cluster, address = (sample.labels.get(f"envoy_{part}", "") for part in ("cluster_name", "endpoint_address"))
            if sample.name.startswith(PREFIX) and fullmatch(ours, cluster):
                # The parser ends the names of counters in `_total`, where Envoy does not.
                name = sample.name.removeprefix(PREFIX).removesuffix("_total")
                found.setdefault((cluster, host(address)), {})[name] = sample.value
    return ProxyAnswer(
        routed=routed or bool(found), endpoints={endpoint: _counted(it) for endpoint, it in found.items()}
    )


def owners(objects: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, tuple[str, str]]:
    """Return whose each address is: version and uid. One that two have at a time, such as a node's, is nobody's.

    Args:
        objects: A version with each of its pods and with its Service, which some gateways send requests to.
    """
    found = dict[str, set[tuple[str, str]]]()
    for version, one in objects:
        spec, status = one.get("spec") or {}, one.get("status") or {}
        for address in (status.get("podIP"), spec.get("clusterIP")):
            if address in (None, "", "None"):
                continue
            found.setdefault(_plain(address), set()).add((version, one["metadata"]["uid"]))
    return {address: next(iter(claims)) for address, claims in found.items() if len(claims) == 1}


def host(address: str) -> str:
    """Return the address without its port.

    >>> host("10.0.0.7:8085"), host("[fd00::0:7]:8085")
    ('10.0.0.7', 'fd00::7')
    """
    return _plain(address.rpartition(":")[0].strip("[]"))


def _plain(address: str) -> str:
    try:
        return str(ip_address(address))
    except ValueError:
        return address


def _cluster(namespace: str, rollout: str) -> str:
    """A regular expression of Envoy Gateway's names for the clusters of an HTTPRoute's rules."""
    return rf"httproute/{escape(namespace)}/{escape(rollout)}/rule/[0-9]+"


def _counted(told: Mapping[str, float]) -> EndpointCounts:
    try:
        return EndpointCounts(told["total"], told["active"], told["success"], told["error"])
    except KeyError as missing:
        raise ValueError(f"no {PREFIX}{missing.args[0]} of an endpoint: is it another Envoy?") from None
