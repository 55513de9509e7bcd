"""A report as people read it (Markdown, HTML) and as programs do (JSON), from one description."""

import base64
import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from belay_trainer import files

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse}th,td{border:1px solid #ccc;padding:.3rem .6rem;text-align:left}img{max-width:100%}"
)


@dataclass(frozen=True, slots=True)
class Heading:
    """The beginning of a part."""

    text: str


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A few sentences."""

    text: str


@dataclass(frozen=True, slots=True)
class Verbatim:
    """Text whose lines stay as they are."""

    text: str


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells under a header, all of one length."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Picture:
    """An image file beside the report."""

    file: str  # its name
    caption: str


Part = Heading | Paragraph | Verbatim | Table | Picture


@dataclass(frozen=True, slots=True)
class Document:
    """A report."""

    title: str
    parts: Sequence[Part]
    facts: dict[str, Any] = field(default_factory=dict)  # what programs read: anything JSON can say


def write(document: Document, folder: Path) -> None:
    """Write report.md, report.html and report.json into a folder; its pictures are there already."""
    files.write_atomically(folder / "report.md", markdown(document).encode())
    files.write_atomically(folder / "report.html", page(document).encode())
    files.write_atomically(folder / "report.json", as_json(document))


def as_json(document: Document) -> bytes:
    """Return what a report tells programs."""
    return (json.dumps(document.facts, indent=1, sort_keys=True) + "\n").encode()


def markdown(document: Document) -> str:
    """Return a report as Markdown."""
    return "\n\n".join([f"# {document.title}", *map(_markdown, document.parts)]) + "\n"


def page(document: Document, pictures: Mapping[str, bytes] | None = None) -> str:
    """Return a report as one HTML page.

    Args:
        pictures: PNG files by name that become part of the page; others stay beside it.
    """
    title = html.escape(document.title)
    body = "\n".join(_html(part, pictures or {}) for part in document.parts)
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>\n'
        f"<h1>{title}</h1>\n{body}\n</html>\n"
    )


def _markdown(part: Part) -> str:
    match part:
        case Heading():
            return f"## {part.text}"
        case Paragraph():
            return part.text
        case Verbatim():
            return f"```\n{part.text.rstrip()}\n```"
        case Picture():
            return f"![{part.caption}]({part.file})\n\n*{part.caption}*"
        case Table():
            lines = [part.header, ["---"] * len(part.header), *part.rows]
            return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _html(part: Part, pictures: Mapping[str, bytes]) -> str:
    match part:
        case Heading():
            return f"<h2>{html.escape(part.text)}</h2>"
        case Paragraph():
            return f"<p>{_spans(part.text)}</p>"
        case Verbatim():
            return f"<pre>{html.escape(part.text)}</pre>"
        case Picture():
            caption, source = html.escape(part.caption), html.escape(part.file)
            if part.file in pictures:
                source = f"data:image/png;base64,{base64.b64encode(pictures[part.file]).decode()}"
            image = f'<img src="{source}" alt="{caption}">'
            return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"
        case Table():
            head = "".join(f"<th>{html.escape(cell)}</th>" for cell in part.header)
            rows = "".join(f"<tr>{''.join(f'<td>{_spans(cell)}</td>' for cell in row)}</tr>" for row in part.rows)
            return f"<table><tr>{head}</tr>{rows}</table>"


def _spans(text: str) -> str:
    """Return text for a page, with what stands in backquotes as code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", html.escape(text))


def _cell(text: str) -> str:
    """Return a cell that does not end its column or its row."""
    return " ".join(text.split()).replace("|", "\\|")
