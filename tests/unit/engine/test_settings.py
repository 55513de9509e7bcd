"""Settings: what is read, and that a wrong one stops the start by name."""

import os
import subprocess
import sys
from datetime import timedelta

import pytest

from belay_operator.engine.rate import TokenBucket
from belay_operator.settings import BadSetting, from_environment


def test_defaults() -> None:
    made = from_environment({})
    assert made.kinds.logbook_url is None
    assert made.kinds.gateway_namespaces == ("envoy-gateway-system",)
    assert made.watch == ()
    assert made.terms is not None
    assert (made.terms.lease, made.terms.renew, made.terms.retry) == tuple(timedelta(seconds=s) for s in (15, 10, 2))
    assert (made.rate_per_s, made.burst, made.workers) == (100, 200, 32)


def test_what_the_chart_sets() -> None:
    env = {
        "BELAY_WATCH_NAMESPACES": "a, b,",
        "BELAY_LOGBOOK_URL": "",
        "BELAY_GATEWAY_NAMESPACES": "gateways,edge",
        "BELAY_LEADER_ELECTION": "3/2/1",
        "BELAY_QPS": "500",
        "BELAY_PACKAGE_INDEX": "https://pypi.example.com/simple",
        "BELAY_CPU_HOUR": "0.04",
        "BELAY_GPU_HOUR": "0",
        "BELAY_CURRENCY": "EUR",
    }
    made = from_environment(env | {"BELAY_QPS": "500"})
    assert made.watch == ("a", "b")
    assert made.kinds.gateway_namespaces == ("gateways", "edge")
    assert made.kinds.logbook_url is None
    assert made.kinds.package_index == "https://pypi.example.com/simple"
    assert from_environment({"BELAY_PACKAGE_INDEX": ""}).kinds.package_index is None
    assert made.kinds.rates.said() == {"cpuHour": 0.04, "currency": "EUR"}
    assert made.terms is not None
    assert made.terms.lease == timedelta(seconds=3)
    assert made.rate_per_s == 500
    assert from_environment({"BELAY_LEADER_ELECTION": "off"}).terms is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BELAY_QPS", "fast"),
        ("BELAY_WORKERS", "0"),
        ("BELAY_LEADER_ELECTION", "15"),
        ("BELAY_BURST", "-1"),
        ("BELAY_GPU_HOUR", "-2"),
    ],
)
def test_a_wrong_value_names_its_variable(name: str, value: str) -> None:
    with pytest.raises(BadSetting, match=name):
        from_environment({name: value})


def test_the_bucket_holds_its_rate_and_lets_urgent_calls_pass_in_debt() -> None:
    now = 0.0
    bucket = TokenBucket(rate_per_s=10, burst=2, clock=lambda: now)
    assert [bucket.reserve() for _ in range(3)] == [0.0, 0.0, pytest.approx(0.1)]
    assert bucket.reserve(urgent=True) == 0.0
    assert bucket.reserve() == pytest.approx(0.3), "the urgent call's token is paid back by the next"
    now = 10.0
    assert bucket.reserve() == 0.0


def test_the_process_may_open_as_many_files_as_the_system_allows() -> None:
    """In a process of its own: a limit that was raised stays so."""
    text = (
        "import resource as r; from belay_operator.main import allow_open_files as allow;"
        "most = r.getrlimit(r.RLIMIT_NOFILE)[1]; r.setrlimit(r.RLIMIT_NOFILE, (256, most));"
        "allow(); print(r.getrlimit(r.RLIMIT_NOFILE)[0] == most)"
    )
    paths = {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True, env=paths)
    assert done.stdout == "True\n"
