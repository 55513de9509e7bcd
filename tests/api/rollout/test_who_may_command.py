"""Who may give which command is ordinary RBAC: two users on a real API server, with the chart's roles and policy."""

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.api.engine.kube import Kube, eventually
from tests.api.rollout.test_rollout import rollout

from belay_cluster.api import Api
from belay_operator.rollout.commands import ACTIONS

TEMPLATES = Path(__file__).parents[3] / "charts" / "belay" / "templates"
EDITOR, APPROVER = "ed", "ann"
OF_EDITORS = {"abort", "pause", "retry", "undo"}


def chart(name: str) -> list[dict[str, Any]]:
    """The objects of a template that asks for nothing but labels."""
    text = re.sub(r"^ *{{.*}}\n", "", (TEMPLATES / name).read_text(), flags=re.MULTILINE)
    assert "{{" not in text, "the template asks for values that this test does not know"
    found: list[dict[str, Any]] = list(yaml.safe_load_all(text))
    return found


@pytest.fixture(scope="module")
def rights(api: Api) -> Iterator[Kube]:
    """`ed` has the edit role, `ann` the edit and the approve role; the policy is in force."""
    kube = Kube(api.kubeconfig, "rights")
    objects = [*chart("user-roles.yaml"), *chart("command-rights.yaml")]
    kube.run("create", "namespace", kube.namespace)
    for thing in objects:
        kube.apply(thing)
    for user, role in ((EDITOR, "belay-view"), (EDITOR, "belay-edit"), (APPROVER, "belay-view"),
                       (APPROVER, "belay-edit"), (APPROVER, "belay-approve")):  # fmt: skip
        kube.run("create", "rolebinding", f"{user}-{role}", f"--clusterrole={role}", f"--user={user}")
    kube.apply(rollout("r", "a"))
    # The API server compiles a new policy within a second or so. Until then it lets commands through, and one that
    # stands is not asked about again: each has an id of its own.
    warm_up = itertools.count()
    eventually(lambda: refused(kube, EDITOR, f"approve@warm-up-{next(warm_up)}"), what="the policy is in force")
    yield kube
    for thing in reversed(objects):
        kube.run("delete", thing["kind"], thing["metadata"]["name"])
    kube.run("delete", "rlrollouts", "--all")


def refused(kube: Kube, user: str, command: str) -> str:
    """Annotate as somebody; returns the refusal, empty where it was let through."""
    try:
        kube.run("annotate", "--overwrite", "rlr", "r", f"belay.dev/command={command}", f"--as={user}")
    except AssertionError as error:
        return str(error)
    return ""


def test_an_editor_edits_the_spec_and_does_not_approve(rights: Kube) -> None:
    rights.run("patch", "rlr", "r", "--type=merge", "-p", '{"spec": {"replicas": 2}}', f"--as={EDITOR}")
    words = refused(rights, EDITOR, "approve@1")
    assert "ed may not approve a rollout in namespace rights" in words
    assert "the verb update on rlrollouts/approve, as the ClusterRole belay-approve gives it" in words


def test_an_approver_approves(rights: Kube) -> None:
    assert refused(rights, APPROVER, "approve@1") == ""
    stored = rights.get("rlr", "r") or {}
    assert stored["metadata"]["annotations"]["belay.dev/command"] == "approve@1"


@pytest.mark.parametrize("action", sorted(ACTIONS))
def test_every_command_asks(rights: Kube, action: str) -> None:
    assert bool(refused(rights, EDITOR, f"{action}@every")) is (action not in OF_EDITORS)
    assert refused(rights, APPROVER, f"{action}@every-too") == ""
    assert refused(rights, "nobody", f"{action}@never")


def test_a_command_given_with_the_object_itself_is_asked_about(rights: Kube) -> None:
    thing = json.dumps(rollout("made", "a", command="approve@1"))
    with pytest.raises(AssertionError, match="ed may not approve"):
        rights.run("create", "-f", "-", f"--as={EDITOR}", stdin=thing)
    rights.run("create", "-f", "-", f"--as={APPROVER}", stdin=thing)
    rights.run("create", "-f", "-", f"--as={EDITOR}", stdin=json.dumps(rollout("plain", "a")))


def test_a_command_that_stands_is_not_asked_about_again(rights: Kube) -> None:
    """Else nobody else could edit what somebody has approved, and Git could not put the same commit in force twice."""
    assert refused(rights, APPROVER, "promote@stands") == ""
    rights.run("label", "rlr", "r", "team=a", "--overwrite", f"--as={EDITOR}")
    rights.run("annotate", "rlr", "r", "note=seen", "--overwrite", f"--as={EDITOR}")
    assert refused(rights, EDITOR, "promote@stands") == ""
    rights.run("annotate", "rlr", "r", "belay.dev/command-", f"--as={EDITOR}")
    assert "may not promote" in refused(rights, EDITOR, "promote@stands"), "to put it back is to give it"


def test_who_may_write_status_alone_gives_no_command(rights: Kube) -> None:
    """The operator's own right on rollouts is neither barred nor a way around."""
    rights.run("create", "role", "status", "--verb=get,patch,update", "--resource=rlrollouts.belay.dev/status")
    rights.run("create", "rolebinding", "status", "--role=status", "--user=operator")
    rights.run("create", "rolebinding", "status-view", "--clusterrole=belay-view", "--user=operator")
    before = (rights.get("rlr", "r") or {})["metadata"].get("annotations", {})
    patch = {"metadata": {"annotations": {"belay.dev/command": "approve@sly"}}, "status": {"observedGeneration": 1}}
    rights.run("patch", "rlr", "r", "--subresource=status", "--type=merge", "-p", json.dumps(patch), "--as=operator")
    stored = rights.get("rlr", "r") or {}
    assert stored["status"]["observedGeneration"] == 1
    assert stored["metadata"].get("annotations", {}) == before
