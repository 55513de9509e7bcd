"""docs/reference/logbook-api.md and wire.py name every route, parameter, error and metric there is, and no other."""

import re
from pathlib import Path

import pytest
from starlette.routing import Route
from tests.unit.logbook.support import MASTER, ROOT

from belay_api import wire
from belay_logbook import curves, look, metrics
from belay_logbook.app import Logbook, make_app
from belay_logbook.db import Database
from belay_logbook.errors import LogbookError
from belay_logbook.settings import read_settings

PAGE = (ROOT / "docs" / "reference" / "logbook-api.md").read_text()


@pytest.fixture
def routes(tmp_path: Path) -> set[tuple[str, str]]:
    (tmp_path / "key").write_bytes(MASTER)
    arguments = ["--insecure-local", "--listen", "127.0.0.1:1", "--receipt-key", str(tmp_path / "key")]
    settings = read_settings(arguments, {})
    database = Database(tmp_path / "db")
    app = make_app(Logbook(settings, database))._app  # type: ignore[attr-defined]
    database.close()
    # Starlette lets HEAD follow GET; the blob's own HEAD is a route of ours.
    routes = [route for route in app.routes if isinstance(route, Route) and route.path.startswith("/v1/")]
    return {
        (method, re.sub(r"\{\w+\}", "{}", route.path.removeprefix("/v1")))
        for route in routes
        for method in route.methods or ()
        if method != "HEAD" or "GET" not in (route.methods or ())
    }


@pytest.mark.parametrize("text", [PAGE, wire.__doc__], ids=["page", "wire"])
def test_routes(text: str, routes: set[tuple[str, str]]) -> None:
    told = set()
    for method, path in re.findall(r"(GET|HEAD|POST|PUT|PATCH|DELETE) +(?:…|/namespaces/\{ns\})(/[^\s?`|]+)", text):
        told.add((method, "/namespaces/{}" + re.sub(r"\{\w+\}", "{}", path)))
    assert told == {route for route in routes if route[1].startswith("/namespaces/")}
    for _, path in routes:
        if not path.startswith("/namespaces/"):
            assert path in text


@pytest.mark.parametrize(("title", "known"), [("Statistics", look._KNOWN), ("Curves", curves._KNOWN)])
def test_parameters(title: str, known: frozenset[str]) -> None:
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", PAGE.split(f"## {title}")[1].split("##")[0], re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"\w+", row)} == known


def test_figures_of_curves() -> None:
    text = PAGE.split("## Curves")[1].split("##")[0]
    assert f"from {curves.LEAST_POINTS} to {curves.MOST:,}" in text
    assert f"{curves.MAX_METRICS} metric names" in text
    assert all(f"`{name}`" in text for name in curves._OURS)


def test_errors() -> None:
    rows = re.findall(r"^\| (\d{3}) \|", PAGE.split("## Errors")[1], re.MULTILINE)
    assert {int(status) for status in rows} == {kind.status for kind in [LogbookError, *LogbookError.__subclasses__()]}


def test_metrics() -> None:
    known = {f"{one.name}_total" if one.type == "counter" else one.name for one in metrics.REGISTRY.collect()}
    assert set(re.findall(r"\bbelay_logbook_[a-z_]+", PAGE)) == known
