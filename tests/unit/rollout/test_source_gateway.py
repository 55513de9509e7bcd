"""What is read of a proxy's statistics, whose it is, and what a rollout makes of it; tests/long has a real Envoy."""

from typing import Any

import pytest
from tests.unit.rollout.stage import ANALYSIS, KEY, Stage

from belay_api.conditions import get_condition
from belay_api.reasons import Verdict
from belay_api.rollout.metric import Metric
from belay_api.rollout.verdicts import MetricVerdict
from belay_operator.rollout.facts import GatewayFact
from belay_operator.rollout.sources.active import trial_of
from belay_operator.rollout.sources.endpoints import EndpointCounts, Growth, ProxyAnswer, owners, read
from belay_operator.rollout.sources.gateway import Followed, wanted
from belay_operator.rollout.sources.proxy_counts import Tallies, absence_of

RULE = "httproute/shop/cartpole/rule/0"
TEXT = """\
# TYPE envoy_cluster_membership_total gauge
envoy_cluster_membership_total{envoy_cluster_name="httproute/shop/cartpole/rule/0"} 2
# TYPE envoy_cluster_endpoint_rq_error counter
envoy_cluster_endpoint_rq_error{envoy_cluster_name="httproute/shop/cartpole/rule/0",envoy_endpoint_address="10.0.0.7:8085"} 4
envoy_cluster_endpoint_rq_error{envoy_cluster_name="httproute/shop/cartpole/rule/12",envoy_endpoint_address="[fd00::7]:8085"} 0
envoy_cluster_endpoint_rq_error{envoy_cluster_name="httproute/shop/cartpole/rule/0-mirror-2",envoy_endpoint_address="10.0.0.7:8085"} 9
envoy_cluster_endpoint_rq_error{envoy_cluster_name="httproute/shop/cartpole-2/rule/0",envoy_endpoint_address="10.0.0.7:8085"} 9
# TYPE envoy_cluster_endpoint_rq_success counter
envoy_cluster_endpoint_rq_success{envoy_cluster_name="httproute/shop/cartpole/rule/0",envoy_endpoint_address="10.0.0.7:8085"} 11
envoy_cluster_endpoint_rq_success{envoy_cluster_name="httproute/shop/cartpole/rule/12",envoy_endpoint_address="[fd00::7]:8085"} 3
# TYPE envoy_cluster_endpoint_rq_timeout counter
envoy_cluster_endpoint_rq_timeout{envoy_cluster_name="httproute/shop/cartpole/rule/0",envoy_endpoint_address="10.0.0.7:8085"} 1
# TYPE envoy_cluster_endpoint_rq_total counter
envoy_cluster_endpoint_rq_total{envoy_cluster_name="httproute/shop/cartpole/rule/0",envoy_endpoint_address="10.0.0.7:8085"} 17
envoy_cluster_endpoint_rq_total{envoy_cluster_name="httproute/shop/cartpole/rule/12",envoy_endpoint_address="[fd00::7]:8085"} 3
# TYPE envoy_cluster_endpoint_rq_active gauge
envoy_cluster_endpoint_rq_active{envoy_cluster_name="httproute/shop/cartpole/rule/0",envoy_endpoint_address="10.0.0.7:8085"} 2
envoy_cluster_endpoint_rq_active{envoy_cluster_name="httproute/shop/cartpole/rule/12",envoy_endpoint_address="[fd00::7]:8085"} 0
# TYPE envoy_cluster_endpoint_rq_pending_active gauge
envoy_cluster_endpoint_rq_pending_active{envoy_cluster_name="httproute/shop/cartpole/rule/0",envoy_endpoint_address="10.0.0.7:8085"} 0
"""  # noqa: E501


def test_what_a_proxy_says_of_a_rollout_and_of_nobody_else() -> None:
    assert read(TEXT, "shop", "cartpole") == ProxyAnswer(
        routed=True,
        endpoints={
            (RULE, "10.0.0.7"): EndpointCounts(begun=17, active=2, answered=11, errors=4),
            ("httproute/shop/cartpole/rule/12", "fd00::7"): EndpointCounts(begun=3, active=0, answered=3, errors=0),
        },
    )
    first = "\n".join(TEXT.splitlines()[:2]) + "\n"
    assert read(first, "shop", "cartpole") == ProxyAnswer(routed=True, endpoints={})
    assert read("", "shop", "cartpole") == ProxyAnswer(routed=False, endpoints={})


def test_an_envoy_that_counts_otherwise_is_told_and_not_taken_for_silence() -> None:
    without = "\n".join(line for line in TEXT.splitlines() if "rq_total" not in line) + "\n"
    with pytest.raises(ValueError, match="no envoy_cluster_endpoint_rq_total of an endpoint"):
        read(without, "shop", "cartpole")


def counts(begun: float, active: float = 0, answered: float = 0, errors: float = 0) -> EndpointCounts:
    return EndpointCounts(begun, active, answered, errors)


def grown(*scrapes: EndpointCounts) -> tuple[float, float]:
    growth = Growth()
    for one in scrapes:
        growth.add(one)
    return growth.requests, growth.failed


@pytest.mark.parametrize(
    ("scrapes", "requests", "failed"),
    [
        ([counts(900, answered=800, errors=100)], 0, 0),  # of what was before nobody knows whose it is
        ([counts(0), counts(10, answered=8, errors=2)], 10, 2),
        ([counts(0), counts(0, errors=5)], 5, 5),  # connections that were refused
        ([counts(0), *[counts(10, active=4, answered=6)] * 5], 6, 0),  # under way
        ([counts(0), *[counts(10, answered=6)] * 2], 6, 0),  # not yet known to be lost
        ([counts(0), *[counts(10, answered=6)] * 3], 10, 4),  # callers gave up on a pod that hangs
        ([counts(0), *[counts(10, answered=4, errors=2)] * 3], 10, 6),  # both
        # Read in the instant in which a request ends, again and again, but not three times on end.
        ([counts(0), *[counts(9 + it, answered=9 + it - it % 2) for it in range(5)]], 13, 0),
        # Begun anew: all that it counts came since.
        ([counts(50, answered=50), counts(60, answered=59, errors=1), counts(4, answered=1, errors=3)], 14, 4),
        ([counts(50, answered=40), *[counts(3)] * 3], 3, 3),
    ],
)  # fmt: skip
def test_how_many_requests_failed(scrapes: list[EndpointCounts], requests: float, failed: float) -> None:
    assert grown(*scrapes) == (requests, failed)


def pod(version: str, address: str, uid: str) -> tuple[str, dict[str, Any]]:
    return version, {"metadata": {"uid": uid}, "status": {"podIP": address}}


def test_an_address_is_whose_it_is_now_and_nobodys_where_two_have_it() -> None:
    service = {"metadata": {"uid": "s"}, "spec": {"clusterIP": "10.96.0.4"}}
    headless = {"metadata": {"uid": "h"}, "spec": {"clusterIP": "None"}}
    told = [pod("a", "10.0.0.1", "1"), pod("b", "fd00:0::2", "2"), pod("b", "10.0.0.3", "3"), pod("a", "10.0.0.3", "4")]
    starting = ("b", {"metadata": {"uid": "5"}, "status": {}})
    assert owners([*told, starting, ("b", service), ("a", headless)]) == {
        "10.0.0.1": ("a", "1"),
        "fd00::2": ("b", "2"),
        "10.96.0.4": ("b", "s"),
    }


# --- what a rollout makes of it ---------------------------------------------------------------------------------------
METRIC = {"name": "errors", "source": {"gateway": "errorRate"}, "limit": {"max": "5%", "tolerates": "1s"}}


class Proxied:
    """A rollout at its first weight, and the poller of one proxy."""

    def __init__(self) -> None:
        analysis = ANALYSIS | {"metrics": [METRIC]}
        self.stage = Stage("a", "b", steps=[{"setWeight": 50}, {"pause": {"duration": "30d"}}], analysis=analysis)
        self.stage.go()
        self.stage.later(minutes=2)
        self.stage.go()
        self.counted = {"a": counts(0), "b": counts(0)}
        self.entry: Followed | None = None
        self.passes(5)
        assert self.stage.status.stable is not None
        self.stage.wants("b")
        self.stage.go(seconds=1)

    def passes(
        self,
        seconds: int,
        *,
        good: int = 0,
        bad: int = 0,
        problem: str | None = None,
        answer: ProxyAnswer | None = None,
    ) -> None:
        """Every second the proxy is scraped, after so many more requests to the candidate."""
        stage = self.stage
        for _ in range(seconds):
            trial = trial_of(stage.world.objects["RLRollout", "default", "cartpole"], wanted)
            if trial is None or trial.since is None:
                stage.go(seconds=1)
                continue
            if self.entry is None or self.entry.tallies.since != trial.since:
                self.entry = Followed(trial, Tallies(KEY, trial.since))
            self.entry.trial = trial
            before = self.counted["b"]
            self.counted["b"] = counts(
                before.begun + good + bad, answered=before.answered + good, errors=before.errors + bad
            )
            told = answer or ProxyAnswer(True, {(RULE, f"10.0.0.{it}"): self.counted[it] for it in ("a", "b")})
            owned = owners(pod(it, f"10.0.0.{it}", it) for it in ("a", "b"))
            self.entry.tallies.grow({"proxy": None if problem else told}, owned)
            absence, refused = absence_of([] if problem else [told], owned, [("infra", "gw")], KEY)
            stage.world.facts["gateway", "default", "cartpole"] = GatewayFact(
                since=self.entry.tallies.since,
                weight_since=trial.weight_since,
                at=stage.now,
                asked="the proxies of Gateway infra/gw",
                versions={it: self.entry.tallies.of(it, stage.now, trial.weight_since) for it in self.entry.versions},
                problem=problem,
                absence=absence,
                refused=refused,
            )
            stage.go(seconds=1)

    @property
    def verdict(self) -> MetricVerdict:
        return next(one for one in self.stage.status.verdicts if one.metric == "errors")


def test_a_candidate_that_fails_at_the_gateway_is_taken_back() -> None:
    proxied = Proxied()
    proxied.passes(20, good=50)
    assert proxied.stage.status.rollback is None
    proxied.passes(8, bad=50)
    rollback = proxied.stage.status.rollback
    assert rollback is not None
    assert rollback.metric == "errors"


def test_one_that_keeps_its_limit_passes_by_the_evidence_of_the_proxies() -> None:
    proxied = Proxied()
    proxied.passes(40, good=99, bad=1)
    assert proxied.verdict.verdict is Verdict.PASS
    assert proxied.verdict.query == "errorRate of the pods of b, at the proxies of Gateway infra/gw"
    assert proxied.verdict.limit is not None
    assert proxied.verdict.limit.requests > 3000


def test_no_request_is_no_data_and_no_answer_an_outage() -> None:
    proxied = Proxied()
    proxied.passes(5)
    assert (proxied.verdict.verdict, proxied.verdict.message) == (Verdict.NO_DATA, "no requests at the candidate")
    proxied.passes(2, good=10, problem="the proxy envoy-1 does not tell")
    assert (proxied.verdict.verdict, proxied.verdict.message) == (
        Verdict.PROVIDER_DOWN,
        "the proxy envoy-1 does not tell",
    )
    # What was counted meanwhile comes with the next answer.
    proxied.passes(3, good=10)
    assert proxied.entry is not None
    assert proxied.entry.tallies.meters["b"].add(proxied.stage.now, []).scrapes[-1].requests == 50


def test_what_is_not_set_up_is_told_with_what_to_set_until_it_is() -> None:
    proxied = Proxied()
    proxied.passes(3, answer=ProxyAnswer(routed=True, endpoints={}))
    told = get_condition(proxied.stage.status.conditions, "GatewayNotSetUp")
    assert told is not None
    assert told.message == (
        "errors: the proxies of Gateway infra/gw count nothing by endpoint: set "
        "spec.telemetry.metrics.enablePerEndpointStats: true in the EnvoyProxy of the Gateway or of its class"
    )
    assert proxied.verdict.verdict is Verdict.NO_DATA
    assert proxied.stage.told.count("GatewayNotSetUp") == 1
    # While nobody answers, what was said stands.
    proxied.passes(2, problem="the proxy envoy-1 does not tell")
    assert get_condition(proxied.stage.status.conditions, "GatewayNotSetUp") is not None
    proxied.passes(3, good=10)
    assert get_condition(proxied.stage.status.conditions, "GatewayNotSetUp") is None


def test_a_route_that_the_proxies_do_not_know_is_no_silence_of_the_candidate() -> None:
    proxied = Proxied()
    proxied.passes(5, answer=ProxyAnswer(routed=False, endpoints={}))
    assert "know no cluster httproute/default/cartpole" in proxied.verdict.message
    elsewhere = {(RULE, "172.16.0.1"): counts(5, answered=5)}
    proxied.passes(5, answer=ProxyAnswer(routed=True, endpoints=elsewhere))
    assert "send requests to other addresses than those of the pods" in proxied.verdict.message


def test_a_latency_is_refused_with_where_to_have_one() -> None:
    with pytest.raises(ValueError, match="For a latency use source.serving: latencyP99"):
        Metric.model_validate({"name": "a", "source": {"gateway": "latencyP99"}, "limit": {"max": "100ms"}})
