"""The Prometheus source against a real server (`make prometheus`), with TLS and a password, killed and started."""

import asyncio
import base64
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.unit.rollout.poller_context import WorldPollerContext
from tests.unit.rollout.stage import SPEC
from tests.world import World, belay_object

from belay_api.units import format_instant
from belay_operator.rollout.facts import PrometheusFact, Reading
from belay_operator.rollout.sources.prometheus import PrometheusSource

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "belay"
BINARY = CACHE / "prometheus" / "usr" / "bin" / "prometheus"
RATES = {"candidate": 20.0, "stable": 40.0}  # orders a second
PASSWORD = "U*U"
HASH = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"  # bcrypt, and a cheap one: a test vector of it
STEP = {"index": 1, "kind": "pause", "startedAt": "2026-05-04T10:00:00Z"}


class Orders(BaseHTTPRequestHandler):
    """An application that counts orders by version."""

    began = time.monotonic()

    def do_GET(self) -> None:
        elapsed = time.monotonic() - self.began
        lines = [f'orders_total{{policy="{side}"}} {rate * elapsed}' for side, rate in RATES.items()]
        body = ("# TYPE orders_total counter\n" + "\n".join(lines) + "\n").encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


def free_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])


class Server:
    """A Prometheus of its own that scrapes the application every second."""

    def __init__(self, folder: Path, target: int) -> None:
        self.folder, self.port = folder, free_port()
        key, cert = folder / "key.pem", folder / "cert.pem"
        options = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
        options += ["-subj", "/CN=prometheus", "-addext", "subjectAltName=IP:127.0.0.1"]
        made = ["openssl", "req", *options, "-keyout", str(key), "-out", str(cert)]
        subprocess.run(made, check=True, capture_output=True)
        self.certificate = cert.read_text()
        (folder / "web.yml").write_text(
            f"tls_server_config: {{cert_file: {cert}, key_file: {key}}}\nbasic_auth_users: {{belay: {HASH}}}\n"
        )
        (folder / "prometheus.yml").write_text(
            "global: {scrape_interval: 1s}\nscrape_configs:\n"
            f'- {{job_name: shop, static_configs: [{{targets: ["127.0.0.1:{target}"]}}]}}\n'
        )
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = [
            "--web.console.libraries=",
            "--web.console.templates=",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]
        options += [f"--config.file={self.folder}/prometheus.yml", f"--web.config.file={self.folder}/web.yml"]
        options += [f"--storage.tsdb.path={self.folder}/data"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([BINARY, *options], stdout=log, stderr=log)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            assert self.process.poll() is None, (self.folder / "log").read_text()[-2000:]
            time.sleep(0.1)
        raise AssertionError("it does not listen")

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    assert BINARY.exists(), "make prometheus"
    application = ThreadingHTTPServer(("127.0.0.1", 0), Orders)
    threading.Thread(target=application.serve_forever, daemon=True).start()
    made = Server(tmp_path, application.server_address[1])
    made.start()
    yield made
    made.kill()
    application.shutdown()


def metric(name: str, query: str, server: Server, **more: Any) -> dict[str, Any]:
    judged = {key: more.pop(key) for key in ("limit", "compare") if key in more} or {"limit": {"max": 30}}
    source = {
        "address": f"https://127.0.0.1:{server.port}",
        "query": query,
        "interval": "3s",
        "timeout": "30s",
        "auth": {"basic": {"name": "who"}},
        "caFrom": {"configMapKeyRef": {"name": "ca", "key": "ca.crt"}},
    }
    return {"name": name, "source": {"prometheus": source | more}, **judged}


def world(server: Server, *metrics: dict[str, Any], since: datetime) -> World:
    at = format_instant(since)
    sides = {side: {"policy": side, "digest": side, "since": at} for side in ("stable", "candidate")}
    status = sides | {"step": STEP, "weight": {"desired": 50, "applied": 50, "since": at}, "analysisStartedAt": at}
    rollout = belay_object("RLRollout", "cartpole", SPEC | {"analysis": {"metrics": list(metrics)}}, status=status)
    made = World([rollout])
    for name, password in (("who", PASSWORD), ("stranger", "guess")):
        data = {"username": "belay", "password": password}
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
        made.put({"kind": "Secret", "metadata": {"name": name, "namespace": "default"}, "data": encoded})
    ca = {"ca.crt": server.certificate}
    made.put({"kind": "ConfigMap", "metadata": {"name": "ca", "namespace": "default"}, "data": ca})
    return made


def reading(context: WorldPollerContext, name: str) -> Reading | None:
    fact = context.fact("prometheus", "default", "cartpole")
    readings = fact.versions.get("candidate", {}) if isinstance(fact, PrometheusFact) else {}
    return readings[name][1] if name in readings else None


ORDERS = 'sum(rate(orders_total{policy="{{version}}"}[{{interval}}]))'


@pytest.mark.asyncio
async def test_a_real_server_is_asked_killed_and_asked_again(server: Server) -> None:
    since = datetime.now(UTC)
    metrics = [
        metric("orders", ORDERS, server, compare={"maxRegression": "10%"}),
        metric("beside", ORDERS.replace("version", "candidate") + " / " + ORDERS.replace("version", "stable"), server),
        metric("share", ORDERS + " / 40", server, limit={"max": "60%"}),
        metric("unparsable", "sum(rate(", server),
        metric("several", "orders_total", server),
        metric("none", 'sum(nothing{policy="{{version}}"})', server),
        metric("nan", "vector(0) / 0", server),
        metric("stranger", ORDERS, server, auth={"basic": {"name": "stranger"}}),
        metric("untrusted", ORDERS, server),
    ]
    metrics[-1]["source"]["prometheus"].pop("caFrom")
    made = world(server, *metrics, since=since)
    async with aiohttp.ClientSession() as http:
        context = WorldPollerContext(made, http)
        running = asyncio.create_task(PrometheusSource().run(context))

        def looks() -> Any:
            told = reading(context, "orders")
            return told.looks if told is not None and told.problem is None and told.looks else ()

        await context.until(lambda: len(looks()) >= 4, within_s=60)
        values = looks()[-1].values
        assert values["candidate"] == pytest.approx(20, rel=0.1)
        assert values["stable"] == pytest.approx(40, rel=0.1)
        told = {name: await context.until(lambda n=name: reading(context, n)) for name in (m["name"] for m in metrics)}
        beside, share = (told[name].counts for name in ("beside", "share"))
        assert beside.of(beside.scrapes[-1])[1] == 0 < beside.of(beside.scrapes[-1])[0]
        requests, beyond = share.of(share.scrapes[-1])
        assert beyond / requests == pytest.approx(0.5, rel=0.1)
        assert "refuses the query" in told["unparsable"].absence
        assert "parse error" in told["unparsable"].absence
        assert "several series" in told["several"].absence
        assert told["several"].refused
        assert "answer is empty" in told["none"].absence
        assert not told["none"].refused
        assert "answer is NaN" in told["nan"].absence
        assert not told["nan"].refused
        told["stranger"] = await context.until(
            lambda: (it := reading(context, "stranger")) and "401" in str(it.problem) and it, within_s=60
        )
        assert "answers 401 (see prometheus.auth)" in told["stranger"].problem
        assert "is not trusted" in told["untrusted"].problem
        assert "prometheus.caFrom" in told["untrusted"].problem

        before = len(looks())
        await asyncio.to_thread(server.kill)
        problem = await context.until(lambda: (it := reading(context, "orders")) and it.problem, within_s=60)
        assert "does not answer" in problem
        await asyncio.to_thread(server.start)
        await context.until(lambda: len(looks()) > before + 2, within_s=60)
        running.cancel()
        first = looks()
        assert [look.number for look in first] == list(range(1, len(first) + 1)), "of the outage as well"

        # Another operator has the same evidence.
        second = WorldPollerContext(made, http)
        running = asyncio.create_task(PrometheusSource().run(second))
        told_again = await second.until(
            lambda: (it := reading(second, "orders")) and it.problem is None and it, within_s=60
        )
        again = {look.number: look for look in told_again.looks}
        settled = [look for look in first if look.number <= before]
        assert settled
        assert all(again[look.number] == look for look in settled)
        running.cancel()
