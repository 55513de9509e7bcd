"""What is generated from the models is checked in; these tests prove that it is current and within its limits."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dev.reference import fields, pages

from belay_api.crd import NAME_LIMIT, RESOURCES, definition, render, structural
from belay_api.training import _FAMILY_LENGTH

ROOT = Path(__file__).parents[3]
CLIENT_SIDE_APPLY_LIMIT = 200_000  # bytes; kubectl keeps a copy in an annotation of at most 262,144


@pytest.mark.parametrize("folder", ["crds", "charts/belay/files/crds"])
def test_definitions_are_current(folder: str) -> None:
    found = {path.name: path.read_text() for path in (ROOT / folder).glob("*.yaml")}
    assert found == {f"belay.dev_{r.plural}.yaml": render(r) for r in RESOURCES}, "run `make generate`"


def test_reference_is_current() -> None:
    for name, text in pages().items():
        assert (ROOT / "docs" / "reference" / name).read_text() == text, f"{name}: run `make generate`"


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda r: r.kind)
def test_definition_is_small_enough_for_client_side_apply(resource) -> None:
    annotated = json.dumps(definition(resource), separators=(",", ":"), ensure_ascii=False)
    assert len(annotated.encode()) < CLIENT_SIDE_APPLY_LIMIT


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda r: r.kind)
def test_every_field_has_a_sentence(resource) -> None:
    for part in filter(None, (resource.spec, resource.status)):
        assert [path for path, _, _, text in fields(structural(part), "") if not text] == []


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda r: r.kind)
def test_no_list_item_has_a_default(resource) -> None:
    assert list(_defaults(definition(resource), in_list=False)) == []


def _defaults(schema: Any, *, in_list: bool, path: str = "") -> Iterator[str]:
    if not isinstance(schema, dict):
        return
    if in_list and "default" in schema:
        yield path
    for key, value in schema.items():
        inner = value if isinstance(value, list) else [value]
        for part in inner:
            yield from _defaults(part, in_list=in_list or key == "items", path=f"{path}.{key}")


def test_a_family_leaves_room_for_the_digits_of_its_policies() -> None:
    assert _FAMILY_LENGTH + len("-") + 12 == NAME_LIMIT, "as operator/belay_operator/training/build.py names them"


def test_names_columns_and_subresources() -> None:
    by_kind = {r.kind: definition(r)["spec"] for r in RESOURCES}
    assert {kind: spec["names"]["shortNames"] for kind, spec in by_kind.items()} == {
        "RLTrainingJob": ["rltj"],
        "RLPolicy": ["rlp"],
        "RLRollout": ["rlr"],
        "RLProgression": ["rlpr"],
    }
    assert all(spec["names"]["categories"] == ["rl"] for spec in by_kind.values())
    acting = {kind for kind, spec in by_kind.items() if "status" in spec["versions"][0].get("subresources", {})}
    assert acting == set(by_kind) - {"RLProgression"}, "which is only read"
    assert by_kind["RLPolicy"]["versions"][0]["subresources"]["scale"]["specReplicasPath"] == ".spec.serving.scale"
