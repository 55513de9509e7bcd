"""`kubectl belay rollout` with the real kubectl against a real API server: one view, and what cannot be read."""

import copy
import json
import os
from pathlib import Path

import pytest
from tests.api.engine.kube import Kube
from tests.unit.cli.test_rollout import found, rolled_back

from belay_cli.main import main
from belay_cluster.api import Api, ApiServer
from belay_cluster.paths import from_environment


@pytest.fixture(autouse=True)
def _on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{from_environment(os.environ).bin}:{os.environ['PATH']}")


def as_user(kubeconfig: Path, user: str, folder: Path) -> Path:
    """The same cluster, as somebody else."""
    kube = Kube(kubeconfig)
    said = json.loads(kube.run("config", "view", "--raw", "-o", "json"))
    for one in said["users"]:
        one["user"]["as"] = user
    path = folder / "kubeconfig"
    path.write_text(json.dumps(said))
    return path


def nobody_there(folder: Path) -> Path:
    """A cluster whose API server does not answer."""
    path = folder / "nobody-there"
    context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
    cluster = {"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}
    user = {"name": "u", "user": {"token": "t"}}
    path.write_text(json.dumps({"current-context": "c", "contexts": [context], "clusters": [cluster], "users": [user]}))
    return path


def test_a_rollout_is_shown_or_one_sentence_says_why_not(
    api: Api, kube: Kube, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = copy.deepcopy(found(rolled_back()))
    meta = {"name": "cartpole"}
    kube.apply({"apiVersion": told["apiVersion"], "kind": "RLRollout", "metadata": meta, "spec": told["spec"]})

    def view(*arguments: str, kubeconfig: Path = api.kubeconfig) -> tuple[int, str, str]:
        code = main(["rollout", *arguments, "-n", kube.namespace, "--kubeconfig", str(kubeconfig), "--width", "80"])
        return code, *capsys.readouterr()

    code, text, _ = view("cartpole")
    assert (code, "The operator has not looked at it yet" in text) == (0, True)
    kube.patch_status("rlrollout", "cartpole", told["status"])
    code, text, errors = view("cartpole")
    assert (code, errors) == (0, "")
    assert text.startswith(f"cartpole  RolledBack   namespace {kube.namespace}\n")
    assert "return  Fail" in text
    assert "-248 ··[━" in text

    assert view("nobody") == (
        1,
        "",
        f"kubectl belay: there is no RLRollout nobody in the namespace {kube.namespace}: `kubectl get rlrollouts -A` "
        "lists all\n",
    )
    code, text, errors = view("cartpole", kubeconfig=as_user(api.kubeconfig, "eve", tmp_path))
    assert (code, text, errors.count("\n")) == (1, "", 1)
    assert 'User "eve" cannot get resource "rlrollouts"' in errors
    assert errors.endswith("somebody has to give you `get` on rlrollouts.belay.dev there\n")
    with ApiServer() as bare:
        code, text, errors = view("cartpole", kubeconfig=bare.kubeconfig)
    assert (code, text) == (1, "")
    assert errors.startswith("kubectl belay: this cluster has no RLRollouts, because Belay is not installed in it")
    code, text, errors = view("cartpole", kubeconfig=nobody_there(tmp_path))
    assert (code, text, errors.count("\n")) == (1, "", 1), "kubectl logs each of its tries before it says so"
    assert "The connection to the server 127.0.0.1:1 was refused" in errors
