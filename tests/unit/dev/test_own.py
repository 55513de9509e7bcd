"""A cluster of the user's own: what is asked first, what is installed, and that only that is ever removed."""

import json
import platform
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.dev.standins import Programs, listing, named

from belay_cluster import own
from belay_cluster.builder import Buildah, loopback
from belay_cluster.own import ARCHITECTURES, OwnCluster, Wanted
from belay_cluster.paths import Paths
from belay_cluster.shell import Laps, Problem

HERE = ARCHITECTURES.get(platform.machine(), platform.machine())
WANTED = Wanted("KUBECONFIG names it", "/home/me/config", None, "registry.example.com/me", None)
CLASS = "gatewayclasses.gateway.networking.k8s.io"


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(repository=tmp_path, cache=tmp_path / "cache", state=tmp_path / "state")


@pytest.fixture
def cluster(paths: Paths, programs: Programs) -> OwnCluster:
    """A cluster that has a gateway, and nothing of ours."""
    programs.answer("get (namespaces|gateways|rl)", listing())
    programs.answer("get nodes", listing(named("a", status={"nodeInfo": {"architecture": HERE}})))
    programs.answer(f"get {CLASS}", listing(named("theirs")))
    programs.answer("config view --minify", "apiVersion: v1")
    return OwnCluster(paths, Laps(), WANTED)


def ours(programs: Programs, *names: str) -> None:
    programs.answer("get namespaces", listing(*map(named, [*names, "default"])))
    programs.answer("get namespaces -l", listing(*map(named, names)))


@pytest.mark.parametrize("call", ["up", "builder"])
def test_without_a_registry_nothing_is_begun(paths: Paths, programs: Programs, call: str) -> None:
    with pytest.raises(Problem, match="so the cluster is yours: say which registry .* REGISTRY=registry"):
        getattr(OwnCluster(paths, Laps(), replace(WANTED, registry=None)), call)()
    assert programs.calls() == []


def test_a_registry_is_no_url(paths: Paths) -> None:
    with pytest.raises(Problem, match="without https://"):
        OwnCluster(paths, Laps(), replace(WANTED, registry="https://r/me")).builder()


def test_up_makes_two_namespaces_where_there_is_a_gateway(cluster: OwnCluster, programs: Programs) -> None:
    cluster.up()
    made = json.loads(programs.stdin("apply"))["items"]
    assert [(one["kind"], one["metadata"]["name"]) for one in made] == [
        ("Namespace", "belay-system"),
        ("Namespace", "belay-demo"),
    ]
    assert all(own.MADE_HERE in one["metadata"]["labels"] for one in made)
    assert programs.calls("docker build") == programs.calls("helm") == []


def test_every_command_goes_to_the_one_context_that_was_named(cluster: OwnCluster, programs: Programs) -> None:
    cluster.wanted = replace(WANTED, context="staging")
    cluster.up()
    view, *others = programs.calls("kubectl")
    assert "--minify --flatten --raw --context=staging" in view
    assert {f"--kubeconfig={cluster.paths.own_kubeconfig}" in call for call in others} == {True}
    assert cluster.paths.own_kubeconfig.stat().st_mode & 0o077 == 0


def test_a_namespace_of_somebody_else_is_never_used(cluster: OwnCluster, programs: Programs) -> None:
    programs.answer("get namespaces -o", listing(named("belay-system")))
    with pytest.raises(Problem, match="has belay-system already, and not from here"):
        cluster.up()
    assert programs.calls("apply") == []


def test_our_namespaces_are_taken_again(cluster: OwnCluster, programs: Programs) -> None:
    ours(programs, "belay-system", "belay-demo")
    cluster.up()
    assert len(programs.calls("apply")) == 1


def test_nodes_that_cannot_run_the_images_are_named(cluster: OwnCluster, programs: Programs) -> None:
    programs.answer("get nodes", listing(named("a", status={"nodeInfo": {"architecture": "s390x"}})))
    with pytest.raises(Problem, match=f"your nodes are s390x, and this machine builds {HERE}"):
        cluster.up()


def test_a_cluster_that_does_not_answer_is_named(cluster: OwnCluster, programs: Programs) -> None:
    programs.answer("jsonpath=.*server", "https://api.example.com")
    programs.answer("readyz", "no route", status=1)
    with pytest.raises(Problem, match=r"your cluster at https://api\.example\.com .* does not answer"):
        cluster.up()


def test_a_login_reaches_every_namespace_and_who_runs_there(
    cluster: OwnCluster, programs: Programs, tmp_path: Path
) -> None:
    auth = tmp_path / "auth.json"
    auth.write_text('{"auths": {}}')
    cluster.wanted = replace(WANTED, pull_auth=auth)
    cluster.up()
    made = json.loads(programs.stdin("apply"))["items"]
    for namespace in ("belay-system", "belay-demo"):
        inside = {one["kind"]: one for one in made if one["metadata"].get("namespace") == namespace}
        assert inside["Secret"]["stringData"][".dockerconfigjson"] == auth.read_text()
        assert inside["ServiceAccount"]["metadata"]["name"] == "default"
        assert inside["ServiceAccount"]["imagePullSecrets"] == [{"name": inside["Secret"]["metadata"]["name"]}]


@pytest.mark.parametrize("text", [None, "no json", "[]", "{}"])
def test_a_login_that_is_none_is_named_first(
    cluster: OwnCluster, programs: Programs, tmp_path: Path, text: str | None
) -> None:
    auth = tmp_path / "auth.json"
    if text is not None:
        auth.write_text(text)
    cluster.wanted = replace(WANTED, pull_auth=auth)
    with pytest.raises(Problem, match="PULL_AUTH=.*auth.json is no Docker config.json"):
        cluster.up()
    assert programs.calls() == []


def test_images_are_pushed_and_pulled_under_one_name(cluster: OwnCluster, programs: Programs) -> None:
    cluster.wanted = replace(WANTED, registry="registry.example.com/me/")
    ref, name = "localhost/belay-operator:0123", "registry.example.com/me/belay-operator:0123"
    assert cluster.pulled(ref) == name
    cluster.give({"belay-operator": ref})
    assert programs.calls("docker t") == [f"docker tag {ref} {name}"]
    assert programs.calls("docker p") == [f"docker push --quiet {name}"]


def test_a_push_that_is_refused_is_told(cluster: OwnCluster, programs: Programs) -> None:
    programs.answer("docker push", "denied: login first", status=1)
    with pytest.raises(Problem, match=r"(?s)pushing registry\.example\.com.*denied: login first"):
        cluster.give({"x": "localhost/x:1"})


@pytest.mark.parametrize(
    ("name", "want"),
    [
        ("127.0.0.1:5000/x:1", True),
        ("localhost/x:1", True),
        ("[::1]:5000/x:1", True),
        ("registry.example.com/localhost:1", False),
        ("localhost.example.com/x:1", False),
        ("registry-127.0.0.1.example.com/x:1", False),
    ],
)
def test_only_a_registry_on_this_machine_may_do_without_tls(
    name: str, want: bool, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(Buildah, "_buildah", lambda self, *arguments: said.extend(arguments))
    Buildah(paths, Laps()).push("localhost/x:1", name)
    assert loopback(name) is want
    assert ("--tls-verify=false" in said) is want
    assert said[-2:] == ["localhost/x:1", f"docker://{name}"]


def test_down_removes_nothing_where_nothing_was_made(cluster: OwnCluster, programs: Programs) -> None:
    cluster.down(wipe=True)
    assert programs.calls("delete") == programs.calls("helm") == []
    assert not cluster.paths.own_kubeconfig.exists(), "a copy of credentials"


def test_down_removes_what_was_made_and_nothing_else(cluster: OwnCluster, programs: Programs) -> None:
    ours(programs, "belay-system", "belay-demo")
    programs.answer("get rltrainingjobs.* -n belay-demo", listing(named("cartpole")))
    cluster.down(wipe=True)
    assert not cluster.paths.own_kubeconfig.exists(), "a copy of credentials"
    flag = f"--kubeconfig={cluster.paths.own_kubeconfig}"
    assert [call.replace(f" {flag}", "") for call in programs.calls() if "delete" in call or "helm" in call] == [
        "kubectl -n belay-demo delete rltrainingjobs.belay.dev --all --cascade=foreground --timeout=120s",
        "helm uninstall belay --namespace belay-system --ignore-not-found --wait --timeout=120s",
        "kubectl delete namespace belay-demo belay-system --ignore-not-found --timeout=180s",
        "kubectl delete crd rlrollouts.belay.dev rlprogressions.belay.dev rltrainingjobs.belay.dev"
        " rlpolicies.belay.dev --ignore-not-found --timeout=180s",
    ]


def test_crds_stay_while_somebody_uses_them(cluster: OwnCluster, programs: Programs) -> None:
    ours(programs, "belay-system")
    programs.answer("get rlpolicies.belay.dev -A", listing(named("somebodys")))
    cluster.down(wipe=True)
    assert programs.calls("delete crd") == []


@pytest.mark.parametrize(("used", "stays"), [("eg", True), ("istio", False)])
def test_envoy_gateway_stays_while_somebody_uses_it(
    cluster: OwnCluster, programs: Programs, used: str, stays: bool
) -> None:
    ours(programs, "envoy-gateway-system")
    programs.answer("get gateways", listing(named("theirs", spec={"gatewayClassName": used})))
    programs.answer("get (cluster|mutating)", listing(named("certgen:envoy-gateway-system"), named("eg:theirs")))
    cluster.down(wipe=True)
    left_by_hooks = [call.split()[3:5] for call in programs.calls("certgen:")]
    kinds = ["clusterrolebinding", "clusterrole", "mutatingwebhookconfiguration"]
    assert left_by_hooks == ([] if stays else [[kind, "certgen:envoy-gateway-system"] for kind in kinds])
    assert programs.calls("eg:theirs") == []
    assert (programs.calls("helm uninstall eg") == []) is stays
    assert (programs.calls("delete gatewayclass eg") == []) is stays
    assert (programs.calls("delete namespace envoy-gateway-system") == []) is stays
