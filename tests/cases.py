"""YAML in, YAML out: one case per file, its name is the claim, `why` says what would go wrong without it.

    why: one sentence
    now: 2026-05-04T10:00:31Z
    given: what the function under test is handed; its keys are checked against those the test names
    want: what comes out

A case is read strictly: an unknown key, a key written twice and a missing one are errors, never defaults. Instants stay
text, as the API server has them. `pytest --refresh` rewrites `want` and leaves the rest of the file as it is.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from belay_api.units import format_duration, parse_instant
from belay_operator.engine.plan import Plan

_KEYS = ("why", "now", "given", "want")


class BadCase(Exception):
    """A case file that does not say what it seems to say."""


@dataclass(slots=True)
class Case:
    """One case file, read."""

    path: Path
    why: str
    now: datetime
    given: dict[str, Any]
    want: Any

    @classmethod
    def read(cls, path: Path, *, given: Iterable[str]) -> "Case":
        """Return the case in `path`, whose `given` may hold only the keys named here. Raises: BadCase."""
        raw = yaml.load(path.read_text(), Loader=_Strict)
        if not isinstance(raw, dict) or set(raw) - set(_KEYS) or not {"why", "now", "given"} <= set(raw):
            raise BadCase(f"{path.name}: a case has exactly the keys {', '.join(_KEYS)}; found {sorted(raw or {})}")
        if unknown := set(raw["given"]) - set(given):
            raise BadCase(f"{path.name}: given knows {sorted(given)}; found {sorted(unknown)}")
        return cls(path, raw["why"], parse_instant(raw["now"]), raw["given"], raw.get("want"))

    def rewrite(self, want: Any) -> None:
        """Replace `want`, here and in the file."""
        head = self.path.read_text().split("\nwant:", 1)[0].rstrip("\n")
        text = yaml.dump({"want": want}, Dumper=_Flat, sort_keys=False, width=116, allow_unicode=True)
        self.path.write_text(f"{head}\n{text}")
        self.want = want


def case_files(folder: Path) -> list[Path]:
    """Return the case files of a folder. Raises: BadCase when there is none, for such a test would test nothing."""
    found = sorted(folder.glob("*.yaml"))
    if not found:
        raise BadCase(f"{folder} holds no case files")
    return found


def plan_as_yaml(plan: Plan, *, full: bool = False) -> dict[str, Any]:
    """Return the plan as a case writes it; what is absent is left out.

    Args:
        full: True: whole manifests; False: `Kind name`, for cases about the decision and not about its form.
    """
    said: dict[str, Any] = {}
    if plan.status is not None:
        said["status"] = plain(plan.status)
    for how, manifests in (("create", plan.create), ("apply", plan.apply)):
        if manifests:
            said[how] = [plain(m) if full else f"{m['kind']} {m['metadata']['name']}" for m in manifests]
    if plan.delete:
        said["delete"] = [f"{ref.kind} {ref.name}" for ref in plan.delete]
    if plan.events:
        said["events"] = [f"{'Warning' if e.warning else 'Normal'} {e.reason}: {e.message}" for e in plan.events]
    if plan.requeue_after is not None:
        said["requeueAfter"] = format_duration(plan.requeue_after)
    return said


def plain(value: Any) -> Any:
    """Return `value` with plain dicts, lists and text only, as YAML knows them."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, str) else value


class _Strict(yaml.SafeLoader):
    """Instants stay text, and a key written twice is an error instead of the last one winning."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own class attribute
        first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:timestamp"]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if twice := {key for key in keys if keys.count(key) > 1}:
            raise BadCase(f"key written twice: {sorted(map(str, twice))} at {node.start_mark}")
        return super().construct_mapping(node, deep=deep)


class _Flat(yaml.SafeDumper):
    """Small mappings and lists on one line: a diff line is then one fact."""

    def represent(self, data: Any) -> None:
        node = self.represent_data(data)
        node.flow_style = False
        self.serialize(node)

    def represent_mapping(self, tag: str, mapping: Any, flow_style: bool | None = None) -> yaml.MappingNode:
        node = super().represent_mapping(tag, mapping, flow_style)
        node.flow_style = len(str(mapping)) < 100 and "want" not in mapping
        return node

    def represent_sequence(self, tag: str, sequence: Any, flow_style: bool | None = None) -> yaml.SequenceNode:
        node = super().represent_sequence(tag, sequence, flow_style)
        node.flow_style = all(not isinstance(item, dict | list) for item in sequence) and len(str(sequence)) < 100
        return node

    def ignore_aliases(self, data: Any) -> bool:
        return True
