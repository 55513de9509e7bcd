"""Write `docs/reference/` from the models: `python dev/reference.py docs/reference`. No second copy can drift."""

import ast
import inspect
import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

from belay_api import reasons
from belay_api.crd import RESOURCES, Resource, structural
from belay_api.units import DURATION_PATTERN

HEAD = "<!-- Generated from api/belay_api by `make generate`; change the sentence there. -->\n\n"


def fields(schema: dict[str, Any], path: str) -> Iterator[tuple[str, str, str, str]]:
    """Yield (path, type, default, sentence) of every field, depth first."""
    required = schema.get("required", [])
    for name, value in schema.get("properties", {}).items():
        here = f"{path}.{name}"
        default = "required" if name in required else _default(value)
        yield here, _type(value), default, value.get("description", "")
        inner = value.get("items", value) if value.get("type") == "array" else value
        yield from fields(inner, here + ("[]" if value.get("type") == "array" else ""))


def _default(value: dict[str, Any]) -> str:
    if "default" not in value or value["default"] in ({}, []):
        return ""
    return f"`{value['default']}`"


def _type(value: dict[str, Any]) -> str:  # noqa: PLR0911 - a table
    if "x-kubernetes-int-or-string" in value:
        return "quantity"
    if "enum" in value:
        return " \\| ".join(f"`{choice}`" for choice in value["enum"])
    if value.get("type") == "array":
        return f"list of {_type(value['items'])}"
    if isinstance(value.get("additionalProperties"), dict):
        return f"map of {_type(value['additionalProperties'])}"
    if value.get("format") == "date-time":
        return "time"
    if value.get("pattern") == DURATION_PATTERN:
        return "duration"
    return str(value.get("type", "any"))


def rules(schema: dict[str, Any], path: str) -> Iterator[tuple[str, str]]:
    """Yield (path, message) of every rule the API server enforces; how a duration is written is its type's."""
    if schema.get("pattern") == DURATION_PATTERN:
        return
    for entry in schema.get("x-kubernetes-validations", []):
        yield path, entry["message"]
    for name, value in schema.get("properties", {}).items():
        yield from rules(value.get("items", value), f"{path}.{name}")


def kind_page(resource: Resource) -> str:
    """Return the page of one kind."""
    lines = [
        HEAD,
        f"# {resource.kind}\n\n",
        f"Short name `{resource.short}`, group `belay.dev/v1alpha1`, namespaced.\n",
    ]
    for part, model in (("spec", resource.spec), ("status", resource.status)):
        if model is None:
            continue
        schema = structural(model)
        lines.append(f"\n## {part}\n\n| field | type | default | meaning |\n|---|---|---|---|\n")
        lines += [
            f"| `{where}` | {kind} | {default} | {text} |\n" for where, kind, default, text in fields(schema, part)
        ]
        refused = list(rules(schema, part))
        if refused:
            lines.append("\nRefused by the API server:\n\n")
            lines += [f"* `{where}`: {message}\n" for where, message in refused]
    return "".join(lines)


def reasons_page() -> str:
    """Return the page of all reasons, from the docstrings under the enum members."""
    lines = [HEAD, "# Conditions, verdicts and events\n"]
    tree = ast.parse(inspect.getsource(reasons))
    for node in tree.body:
        if not isinstance(node, ast.ClassDef) or not issubclass(getattr(reasons, node.name), StrEnum):
            continue
        lines.append(f"\n## {node.name}\n\n{ast.get_docstring(node)}\n\n| reason | meaning |\n|---|---|\n")
        for member, text in zip(node.body[1::2], node.body[2::2], strict=True):
            lines.append(f"| `{member.value.value}` | {' '.join(text.value.value.split())} |\n")  # type: ignore[attr-defined]
    return "".join(lines)


def pages() -> dict[str, str]:
    """Return every page by file name."""
    return {f"{resource.kind.lower()}.md": kind_page(resource) for resource in RESOURCES} | {
        "reasons.md": reasons_page()
    }


if __name__ == "__main__":
    for name, text in pages().items():
        (Path(sys.argv[1]) / name).write_text(text)
