"""What Argo CD itself makes of Belay's objects: by the ConfigMap that the chart brings, asked by its own command."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.rollout.stage import Stage
from tests.unit.rollout.test_argocd import COMMANDS, possible, said, seen

from belay_cluster.paths import from_environment

CHART = Path(__file__).parents[2] / "charts" / "belay"
BIN = from_environment({}).bin

Ask = Callable[..., str]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chart's ConfigMap under the name that Argo CD reads."""
    words = ("template", "belay", str(CHART), "--set", "argocd.customizations=true")
    made = subprocess.run(
        [BIN / "helm", *words, "--show-only", "templates/argocd.yaml"], check=True, capture_output=True, text=True
    )
    config = yaml.safe_load(made.stdout)
    config["metadata"] = {"name": "argocd-cm", "labels": {"app.kubernetes.io/part-of": "argocd"}}
    path = tmp_path_factory.mktemp("argocd") / "argocd-cm.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture
def ask(settings: Path, tmp_path: Path) -> Ask:
    """`argocd admin settings resource-overrides VERB OBJECT WORDS…`."""

    def asked(verb: str, body: dict[str, Any], *words: str) -> str:
        path = tmp_path / "object.json"
        path.write_text(json.dumps({"apiVersion": "belay.dev/v1alpha1"} | body, default=str))
        command = [BIN / "argocd", "admin", "settings", "resource-overrides", verb, path, *words]
        done = subprocess.run(
            [*command, "--argocd-cm-path", settings], capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return asked


def health(ask: Ask, body: dict[str, Any]) -> str:
    answer = ask("health", body)
    return re.search(r"STATUS: (\w+)", answer)[1]  # type: ignore[index]


def actions(ask: Ask, body: dict[str, Any]) -> set[str]:
    """Those that are offered."""
    rows = [line.split() for line in ask("list-actions", body).splitlines()[1:]]
    assert sorted(row[0] for row in rows) == sorted(COMMANDS)
    return {name for name, disabled, *_ in rows if disabled == "false"}


def command(ask: Ask, body: dict[str, Any], action: str) -> str:
    """Which command an action writes, by the difference that Argo CD would apply."""
    return re.search(r"belay.dev/command: (\w+)@argocd-\d+", ask("run-action", body, action))[1]  # type: ignore[index]


def test_a_course_is_seen_as_by_our_own_lua(ask: Ask) -> None:
    stage = Stage("a", "b", steps=[{"setWeight": 10}, {"approve": {}}, {"pause": {}}])
    assert health(ask, seen(stage)) == "Progressing"
    stage.go()
    assert health(ask, seen(stage)) == "Healthy"
    stage.wants("b")
    stage.go(seconds=1)
    assert health(ask, seen(stage)) == "Suspended"
    assert actions(ask, seen(stage)) == possible(stage) == {"promote", "abort", "skip", "pause", "approve"}
    for action in sorted(possible(stage)):
        assert command(ask, seen(stage), action) == action
    stage.command("abort@1")
    stage.go(seconds=1)
    assert health(ask, seen(stage)) == "Progressing"
    assert actions(ask, seen(stage)) == set()
    stage.later(seconds=2)
    stage.scrape("b", rate=0.0)
    stage.passes()
    assert health(ask, seen(stage)) == "Degraded"
    assert actions(ask, seen(stage)) == {"retry"}


@pytest.mark.parametrize("kind", ["RLTrainingJob", "RLPolicy", "RLRollout"])
@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        ({"reason": "Told", "ready": True}, "Healthy"),
        ({"reason": "Told", "ready": True, "generation": 0}, "Progressing"),
        ({"reason": "InvalidSpec", "stalled": True}, "Degraded"),
        ({"reason": "Suspended"}, "Suspended"),
    ],
    ids=["ready", "of an older generation", "stalled", "waiting for a person"],
)
def test_each_kind_has_its_health(ask: Ask, kind: str, status: dict[str, Any], wanted: str) -> None:
    assert health(ask, {"kind": kind} | said(**status)) == wanted
