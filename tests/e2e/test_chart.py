"""The chart as Helm renders it: what a packager's tools and a restricted namespace take, and what Helm refuses."""

import copy
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from belay_demo.install import ROOT
from belay_demo.kube import Namespace
from belay_operator.notify.receivers import FOLDER, read_receivers

CHART = str(ROOT / "charts" / "belay")
KINDS = {"RLTrainingJob", "RLPolicy", "RLRollout", "RLProgression"}


class Strict(yaml.SafeLoader):
    """Refuses a key that stands twice in one mapping, as kustomize and Flux do."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if twice := {key for key in keys if keys.count(key) > 1}:
            raise yaml.constructor.ConstructorError(None, None, f"{twice} twice", node.start_mark)
        return super().construct_mapping(node, deep=deep)


def template(*flags: str, release: str = "belay", namespace: str = "belay-system") -> subprocess.CompletedProcess[str]:
    command = ["helm", "template", release, CHART, "--namespace", namespace, *flags]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def manifests(*flags: str, **named: str) -> list[dict[str, Any]]:
    done = template(*flags, **named)
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.load_all(done.stdout, Strict) if one]


def strings(value: Any, key: str) -> list[Any]:
    """Every value that stands under a key, however deep."""
    if isinstance(value, list):
        return [one for each in value for one in strings(each, key)]
    if not isinstance(value, dict):
        return []
    return [*([value[key]] if key in value else []), *(one for each in value.values() for one in strings(each, key))]


@pytest.mark.usefixtures("cluster")
def test_no_key_stands_twice_and_every_component_is_there() -> None:
    found = manifests()
    assert {one["metadata"]["name"] for one in found if one["kind"] == "Deployment"} == {
        "belay-operator",
        "belay-logbook",
    }
    assert {one["spec"]["names"]["kind"] for one in found if one["kind"] == "CustomResourceDefinition"} == KINDS
    assert {one["kind"] for one in manifests("--set", "crds.enabled=false")}.isdisjoint({"CustomResourceDefinition"})


@pytest.mark.usefixtures("cluster")
def test_receivers_reach_the_operator_as_they_are_written_and_their_secrets_beside_them() -> None:
    receivers = [
        {"name": "chat", "format": "slack", "secret": "belay-chat"},
        {"name": "ci", "url": "https://ci.example.com/x?a=1&b=2", "reasons": ["Promoted"]},
    ]
    found = manifests("--set-json", f"operator.notifications={json.dumps(receivers)}")
    (deployment,) = [one for one in found if (one["kind"], one["metadata"]["name"]) == ("Deployment", "belay-operator")]
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    (given,) = [one["value"] for one in container["env"] if one["name"] == "BELAY_NOTIFICATIONS"]
    assert [one.said() for one in read_receivers({"BELAY_NOTIFICATIONS": given})] == receivers
    mounts = [one for one in container["volumeMounts"] if one["name"].startswith("notify-")]
    assert mounts == [{"name": "notify-chat", "mountPath": f"{FOLDER}/chat", "readOnly": True}]
    (volume,) = [one for one in pod["volumes"] if one["name"].startswith("notify-")]
    assert volume["secret"] == {"secretName": "belay-chat", "optional": True}, (
        "a missing Secret must not stop the start"
    )
    keyless = [{"name": "oncall", "format": "pagerduty", "url": "https://x/y"}]
    bad = template("--set-json", f"operator.notifications={json.dumps(keyless)}")
    assert bad.returncode != 0
    assert "/operator/notifications/0" in bad.stderr


@pytest.mark.usefixtures("cluster")
def test_argo_cd_gets_each_script_whole() -> None:
    """What the scripts do: tests/unit/rollout/test_argocd.py."""
    (found,) = [one for one in manifests("--set", "argocd.customizations=true") if "argocd" in one["metadata"]["name"]]
    files = Path(CHART) / "files/argocd"
    health = {key: text for key, text in found["data"].items() if ".health." in key}
    assert sorted(health) == [
        f"resource.customizations.health.belay.dev_{kind}" for kind in ("RLPolicy", "RLRollout", "RLTrainingJob")
    ]
    assert {text.strip() for text in health.values()} == {(files / "health.lua").read_text().strip()}
    actions = yaml.safe_load(found["data"]["resource.customizations.actions.belay.dev_RLRollout"])
    assert actions["discovery.lua"].strip() == (files / "discovery.lua").read_text().strip()
    for action in actions["definitions"]:
        assert f'"{action["name"]}@argocd-"' in action["action.lua"]


@pytest.mark.usefixtures("cluster")
def test_who_uninstalls_it_keeps_the_objects_of_its_users() -> None:
    """A CRD that goes takes every object of its kind along."""
    kept = {
        one["spec"]["names"]["kind"]: one["metadata"]["annotations"]["helm.sh/resource-policy"]
        for one in manifests()
        if one["kind"] == "CustomResourceDefinition"
    }
    assert kept == dict.fromkeys(KINDS, "keep")


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("key", ["namespace", "app.kubernetes.io/instance", "claimName"])
def test_names_of_digits_stay_names(key: str) -> None:
    odd = ["--set-json", 'operator.watchNamespaces=["789"]', "--set-string", "logbook.persistence.existingClaim=12"]
    named = strings(manifests("--set", "crds.enabled=false", *odd, release="123", namespace="456"), key)
    assert named
    assert {type(one) for one in named} == {str}


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(
    ("flag", "told"),
    [
        ("--set=operator.replica=2", "'replica' not allowed"),
        ("--set=image.operator=x", "'image' not allowed"),
        ("--set=logbook.persistence.storageclass=fast", "'storageclass' not allowed"),
        ("--set=operator.resources.limit.cpu=1", "'limit' not allowed"),
        ("--set-json=operator.qps=0.5", "/operator/qps"),
        ("--set=operator.logLevel=debug", "/operator/logLevel"),
        ("--set=logbook.persistence.size=10K", "/logbook/persistence/size"),
        ("--set=operator.watchNamespaces={a b}", "/operator/watchNamespaces"),
    ],
)
def test_a_value_that_would_do_nothing_or_harm_is_refused(flag: str, told: str) -> None:
    done = template(flag)
    assert done.returncode != 0
    assert told in done.stderr


def test_a_restricted_namespace_takes_its_pods(here: Namespace) -> None:
    here.kubectl("label", "namespace", here.name, "pod-security.kubernetes.io/enforce=restricted")
    for deployment in (one for one in manifests() if one["kind"] == "Deployment"):
        pod = copy.deepcopy(deployment["spec"]["template"])
        pod["spec"]["serviceAccountName"] = "default"
        pod |= {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": deployment["metadata"]["name"]}}
        here.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(pod))
