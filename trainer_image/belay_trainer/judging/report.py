"""The pod's last word, as JSON that fits into a termination message."""

import json
from pathlib import Path

from belay_api.judging_job import JudgingReport
from belay_trainer.report import LIMIT

_CUT = "…"
_STEP = 20  # characters by which words are shortened, until all fit


def write(report: JudgingReport, path: Path) -> None:
    """Write the report, its words shortened until it fits."""
    path.write_bytes(encode(report))


def encode(report: JudgingReport) -> bytes:
    """Return the report as JSON of at most `LIMIT` bytes: words of passed gates go first, then all get shorter.

    Raises: ValueError when all else is longer.
    """
    content, longest = _json(report), 300
    while len(content) > LIMIT:
        if longest < 0:
            raise ValueError(f"the report has {len(content)} bytes without its words; the kubelet keeps {LIMIT}")
        report, longest = _shortened(report, longest), longest - _STEP
        content = _json(report)
    return content


def _shortened(report: JudgingReport, longest: int) -> JudgingReport:
    changes = {"message": _cut(report.message, 4 * longest)}
    if report.validation is not None:
        gates = [
            one.model_copy(update={"message": _cut(one.message, 0 if one.verdict == "Pass" else longest)})
            for one in report.validation.gates
        ]
        compared = report.validation.compared
        if compared is not None:
            compared = compared.model_copy(update={"message": _cut(compared.message, longest)})
        changes["validation"] = report.validation.model_copy(update={"gates": gates, "compared": compared})
    return report.model_copy(update=changes)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= max(longest, 1) else text[: max(longest - 1, 0)] + _CUT


def _json(report: JudgingReport) -> bytes:
    return json.dumps(report.dump(), separators=(",", ":")).encode()
