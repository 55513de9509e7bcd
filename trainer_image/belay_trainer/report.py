"""The pod's last word: a TrainingReport where the kubelet picks it up, so that a result depends on no other service."""

import json
from pathlib import Path

from belay_api.training import TrainingReport

LIMIT = 4096  # bytes; the kubelet cuts off the rest, which would leave no JSON
_CUT = " …"


def write_report(report: TrainingReport, path: Path) -> None:
    """Write the report, shortened until it fits."""
    path.write_bytes(encode(report))


def encode(report: TrainingReport) -> bytes:
    """Return the report as JSON of at most `LIMIT` bytes: its message is shortened, then its last findings left out.

    Raises: ValueError when all else is longer.
    """
    content, message = _json(report), report.message
    while len(content) > LIMIT:
        if message:
            # A character takes six bytes at most.
            message = message[: len(message) - max(1, (len(content) - LIMIT) // 6)]
            report = report.model_copy(update={"message": message + _CUT})
        elif report.findings:
            report = report.model_copy(update={"findings": report.findings[:-1]})
        else:
            raise ValueError(f"the report has {len(content)} bytes without its message; the kubelet keeps {LIMIT}")
        content = _json(report)
    return content


def _json(report: TrainingReport) -> bytes:
    return json.dumps(report.dump(), separators=(",", ":")).encode()
