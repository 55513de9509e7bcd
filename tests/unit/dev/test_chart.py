"""The chart against what it is made for: no right the operator does not use, no value without its schema."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from belay_api import crd, names
from belay_operator.engine.resources import OURS, RESOURCES
from belay_operator.notify.receivers import URL_PATTERN, Format, Receiver
from belay_operator.notify.told.telling import Severity

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts" / "belay"

Right = tuple[str, str, str]  # group, resource, verb

# By kind. Whatever is applied is read live first (it may be somebody else's), and is made by its first apply.
APPLIED = {"RLPolicy", "Job", "Deployment", "Service", "HTTPRoute", "EndpointSlice", "ConfigMap", "Secret"}
# A route when a rollout has no version to serve, the others when no rollout needs what a deleted policy left; all else
# goes with its owner.
DELETED = {"Job", "HTTPRoute", "EndpointSlice", "Deployment", "Service"}
POSTED = {"Event"}
LISTED = {"Event"}  # now and then, and never watched


def rules(text: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(text)
    return found


def operator_rules() -> list[dict[str, Any]]:
    text = (CHART / "templates" / "_helpers.tpl").read_text()
    found = re.search(r'define "belay\.operatorRules" -}}\n(.*?){{- end }}', text, re.DOTALL)
    assert found is not None
    return rules(found[1])


def rights(granted: list[dict[str, Any]]) -> set[Right]:
    return {(g, r, v) for rule in granted for g in rule["apiGroups"] for r in rule["resources"] for v in rule["verbs"]}


def needed() -> set[Right]:
    found: set[Right] = set()
    for kind, resource in RESOURCES.items():
        verbs = {"get", "list", "watch"} if resource.cached else set()
        verbs |= {"get", "create", "patch"} if kind in APPLIED else set()
        verbs |= {"delete"} if kind in DELETED else set()
        verbs |= {"create"} if kind in POSTED else set()
        verbs |= {"list"} if kind in LISTED else set()
        found |= {(resource.group, resource.plural, verb) for verb in verbs}
        if kind in OURS:  # `finalizers`: for what the admission of owner references asks, where a cluster has it on
            found |= {(resource.group, f"{resource.plural}/{part}", "update") for part in ("status", "finalizers")}
    return found


def test_the_operator_may_do_what_it_does_and_no_more() -> None:
    assert rights(operator_rules()) == needed()


def test_of_secrets_it_reads_and_changes_only_the_receipt_key() -> None:
    secrets = [rule for rule in operator_rules() if rule["resources"] == ["secrets"]]
    assert [rule["verbs"] for rule in secrets if "resourceNames" not in rule] == [["create"]]
    assert {name for rule in secrets for name in rule.get("resourceNames", ())} == {names.RECEIPT_SECRET}


def test_a_secret_that_is_listed_may_be_read_and_no_other() -> None:
    text = (CHART / "templates" / "operator-rbac.yaml").read_text()
    found = re.search(r"range \.Values\.operator\.readSecrets }}\n(.*?){{- end }}", text, re.DOTALL)
    assert found is not None
    role, binding = yaml.safe_load_all(re.sub(r"{{.*?}}", "x", found[1]))
    assert (role["kind"], binding["kind"]) == ("Role", "RoleBinding"), "in the Secret's own namespace"
    (rule,) = role["rules"]
    assert (rule["resources"], rule["verbs"], len(rule["resourceNames"])) == (["secrets"], ["get"], 1)


def test_who_may_edit_a_namespace_may_scale_in_it() -> None:
    roles = yaml.safe_load_all(re.sub(r".*{{.*\n", "", (CHART / "templates" / "user-roles.yaml").read_text()))
    granted = {right for role in roles for right in rights(role["rules"])}
    scaled = {f"{resource.plural}/scale" for resource in crd.RESOURCES if resource.scale}
    assert {(names.GROUP, plural, "patch") for plural in scaled} <= granted


def test_nobody_is_granted_a_wildcard() -> None:
    for path in (CHART / "templates").iterdir():
        assert not re.search(r"""(apiGroups|resources|verbs): \[.*['"]?\*""", path.read_text()), path.name


def test_crds_are_those_of_the_repository() -> None:
    ours = {path.name: path.read_text() for path in (ROOT / "crds").glob("*.yaml")}
    assert len(ours) == 4
    assert {path.name: path.read_text() for path in (CHART / "files" / "crds").glob("*.yaml")} == ours


def leaves(value: Any, at: str = "") -> set[str]:
    """Paths of a values file down to where users fill in what they like."""
    if not isinstance(value, dict) or not value:
        return {at}
    return {leaf for key, each in value.items() for leaf in leaves(each, f"{at}.{key}")}


def described(schema: dict[str, Any], at: str = "") -> set[str]:
    """The same paths out of a schema."""
    if "properties" not in schema:
        return {at}
    return {leaf for key, each in schema["properties"].items() for leaf in described(each, f"{at}.{key}")}


def objects(schema: Any) -> list[dict[str, Any]]:
    """Every object with named fields in a schema."""
    if not isinstance(schema, dict):
        return []
    return [*([schema] if "properties" in schema else []), *(one for each in schema.values() for one in objects(each))]


@pytest.fixture
def schema() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
    return found


def test_every_value_has_its_schema_and_the_other_way_round(schema: dict[str, Any]) -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    for room in ("operator", "logbook"):
        values[room]["resources"] = {}  # what stands there is the user's; the schema knows requests and limits
    assert leaves(values) == described(schema) - {".global"}


def test_a_receiver_of_the_chart_is_one_of_the_operator(schema: dict[str, Any]) -> None:
    """Else Helm lets through what ends the operator, or refuses what it takes."""
    found = schema["properties"]["operator"]["properties"]["notifications"]["items"]["properties"]
    model = Receiver.model_json_schema()
    assert set(found) == set(model["properties"])
    assert found["format"]["enum"] == list(Format)
    assert found["severity"]["enum"] == list(Severity)
    assert found["url"]["pattern"] == URL_PATTERN
    assert (found["name"]["maxLength"], found["name"]["pattern"]) == (
        model["properties"]["name"]["maxLength"],
        model["properties"]["name"]["pattern"],
    )


def test_no_object_takes_a_misspelt_key(schema: dict[str, Any]) -> None:
    assert [one for one in objects(schema) if one.get("additionalProperties") is not False] == []


@pytest.mark.parametrize("room", ["operator", "logbook"])
def test_a_slow_start_is_not_killed(room: str) -> None:
    """On a machine under load the first answer took longer than the liveness probe waits, so no start ever ended."""
    found = re.search(
        r"^ {10}startupProbe:\n((?: {12}.*\n)+)", (CHART / "templates" / f"{room}.yaml").read_text(), re.M
    )
    assert found is not None
    probe = yaml.safe_load(found[1])
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 300
