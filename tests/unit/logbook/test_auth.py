"""Closed by default; API keys open little. Tokens of service accounts: tests/api/test_logbook_auth.py."""

import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.logbook.support import MASTER, Process, receipt

from belay_logbook.auth import KeyFile
from belay_logbook.settings import BadSettings, read_settings


def entry(name: str, key: str, namespace: str) -> dict[str, str]:
    return {"name": name, "sha256": hashlib.sha256(key.encode()).hexdigest(), "namespace": namespace}


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    folder = tmp_path_factory.mktemp("closed")
    (folder / "keys.json").write_text(json.dumps([entry("app", "s3cret", "team-a")]))
    process = Process(folder, ["--key-file", str(folder / "keys.json")]).start()
    yield process
    process.stop()


ROUTES = [
    ("POST", "/v1/namespaces/team-a/progress"),
    ("GET", "/v1/progress"),
    ("GET", "/v1/namespaces/team-a/curves/u"),
    ("POST", "/v1/namespaces/team-a/starts"),
    ("POST", "/v1/namespaces/team-a/outcomes"),
    ("GET", "/v1/namespaces/team-a/statistics"),
    ("HEAD", "/v1/namespaces/team-a/blobs/" + "a" * 64),
    ("GET", "/v1/namespaces/team-a/blobs/" + "a" * 64),
    ("PATCH", "/v1/namespaces/team-a/blobs/" + "a" * 64),
    ("GET", "/v1/namespaces/team-a/checkpoints/u/0"),
    ("PUT", "/v1/namespaces/team-a/checkpoints/u/0/1"),
    ("DELETE", "/v1/namespaces/team-a/checkpoints/u/0/1"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_route_is_closed_without_a_credential(closed: Process, method: str, path: str) -> None:
    with closed.client() as client:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic s3cret"}):
            answer = client.request(method, path, headers=headers)
            assert answer.status_code == 401
            assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(("method", "path"), [route for route in ROUTES if "outcomes" not in route[1]])
def test_a_key_may_only_write_outcomes_and_read_statistics(closed: Process, method: str, path: str) -> None:
    with closed.client(token="s3cret") as client:
        status = client.request(method, path, params={"versions": "a"} if "statistics" in path else {}).status_code
        assert status == (200 if "statistics" in path else 403)


def test_a_key_opens_its_own_namespace_only(closed: Process) -> None:
    with closed.client("team-a", token="s3cret") as client:
        item = {"receipt": receipt("e", ago=1, namespace="team-a"), "outcomes": {"return": 1}}
        assert client.post("/outcomes", json={"items": [item]}).json() == {"accepted": 1, "refused": []}
    with closed.client("team-b", token="s3cret") as client:
        assert client.post("/outcomes", json={"items": []}).status_code == 403


def test_health_and_metrics_are_open(closed: Process) -> None:
    with closed.client() as client:
        for path in ("/healthz", "/readyz", "/metrics", "/v1/healthz"):
            assert client.get(path).status_code == 200
        missing = client.get("/v1/nowhere")
        assert (missing.status_code, set(missing.json())) == (404, {"error"})
        assert client.post("/metrics").status_code == 405
        assert client.request("INVENTED", "/metrics").status_code == 405
        assert "INVENTED" not in client.get("/metrics").text  # words of strangers would fill the memory


def test_the_key_file_is_read_again_and_a_broken_one_changes_nothing(closed: Process) -> None:
    path = closed.folder / "keys.json"
    before = path.read_text()

    def answers(key: str) -> int:
        with closed.client("team-a", token=key) as client:
            return client.get("/statistics", params={"versions": "a"}).status_code

    def rewrite(text: str) -> None:
        path.write_text(text)
        os.utime(path, ns=(time.time_ns(), time.time_ns()))

    rewrite(json.dumps([entry("app", "s3cret", "team-a"), entry("new", "n3w", "team-a")]))
    assert (answers("s3cret"), answers("n3w")) == (200, 200)
    no_digest = entry("new", "n3w", "team-a") | {"sha256": "n3w\u00e9"}
    for broken in ('[{"name": "half', json.dumps([no_digest])):
        rewrite(broken)
        assert (answers("s3cret"), answers("n3w")) == (200, 200)
    rewrite(json.dumps([entry("new", "n3w", "team-a")]))
    assert (answers("s3cret"), answers("n3w")) == (401, 200)
    rewrite(before)


def test_a_key_that_stands_where_its_digest_belongs_is_refused_and_not_logged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "keys.json"
    for wrong in ({"sha256": "plaint3xt"}, {"key": "plaint3xt"}):
        path.write_text(json.dumps([entry("app", "x", "team-a") | wrong]))
        assert KeyFile(path).find("plaint3xt") is None
        logged = capsys.readouterr().out
        assert next(iter(wrong)) in logged
        assert "plaint3xt" not in logged


def test_a_key_file_that_is_not_there_is_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    assert [keys.find("s3cret"), keys.find("s3cret")] == [None, None]
    assert capsys.readouterr().out.count("no API key is valid") == 1
    (tmp_path / "keys.json").write_text(json.dumps([entry("app", "s3cret", "team-a")]))
    assert keys.find("s3cret") is not None


@pytest.fixture
def key(tmp_path: Path) -> str:
    (tmp_path / "key").write_bytes(MASTER)
    return str(tmp_path / "key")


def test_admitting_everybody_is_refused_beyond_loopback(key: str) -> None:
    for address in ("0.0.0.0:8600", "[::]:8600", "10.0.0.1:8600", "logbook.example:8600"):
        with pytest.raises(BadSettings, match="loopback"):
            read_settings(["--insecure-local", "--listen", address, "--receipt-key", key], {})
    for address in ("127.0.0.1:1", "[::1]:1", "localhost:1"):
        settings = read_settings(["--insecure-local", "--listen", address, "--receipt-key", key], {})
        assert settings.open_to_all


def test_settings_that_cannot_work_are_refused_before_anything_listens(key: str, tmp_path: Path) -> None:
    (tmp_path / "short").write_bytes(b"x" * 31)
    for arguments, environment, said in [
        (["--receipt-key", str(tmp_path / "short")], {}, "31 bytes, wanted 32"),
        (["--receipt-key", str(tmp_path / "absent")], {}, "No such file"),
        (["--receipt-key", key, "--listen", "8600"], {}, "address:port"),
        (["--receipt-key", key], {"BELAY_OPERATOR_SERVICE_ACCOUNT": "belay-operator"}, "namespace:name"),
        (["--receipt-key", key, "--api-server", "https://x", "--api-server-ca", "/absent"], {}, "is missing"),
    ]:
        with pytest.raises(BadSettings, match=said):
            read_settings(arguments, environment)
