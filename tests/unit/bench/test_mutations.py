"""What the engine bench counts as a request that changes something, and what it leaves out."""

from engine.mutations import Mutations, parse

METRICS = """\
# TYPE apiserver_request_total counter
apiserver_request_total{code="200",dry_run="",group="apps",resource="deployments",subresource="",verb="GET"} 9
apiserver_request_total{code="200",dry_run="",group="apps",resource="deployments",subresource="",verb="APPLY"} 3
apiserver_request_total{code="409",dry_run="",group="apps",resource="deployments",subresource="",verb="APPLY"} 2
apiserver_request_total{code="200",dry_run="All",group="apps",resource="deployments",subresource="",verb="APPLY"} 4
apiserver_request_total{code="200",dry_run="",group="apps",resource="deployments",subresource="status",verb="PUT"} 1e+06
apiserver_request_total{code="201",dry_run="",group="",resource="events",subresource="",verb="POST"} 5
apiserver_request_total{code="200",dry_run="",group="events.k8s.io",resource="events",subresource="",verb="PATCH"} 1
apiserver_request_total{code="200",dry_run="",group="coordination.k8s.io",resource="leases",subresource="",verb="PUT"} 8
apiserver_request_terminations_total{code="500",resource="pods",subresource="",verb="POST"} 7
"""


def test_every_try_of_every_client_counts_but_reads_dry_runs_and_leases() -> None:
    found = parse(METRICS)
    assert found.counts == {
        "APPLY deployments": 5,
        "PUT deployments/status": 1e6,
        "POST events": 5,
        "PATCH events": 1,
    }
    assert (found.events, found.others) == (6, 1_000_005)


def test_what_came_since() -> None:
    before = Mutations({"POST pods": 2, "POST events": 1})
    after = Mutations({"POST pods": 2, "POST events": 4, "DELETE pods": 1})
    assert after.since(before).counts == {"POST events": 3, "DELETE pods": 1}
    assert "    0.75  POST events" in after.since(before).table(4)
