"""What came of the gates, as a document: passed or not for each of them, every number, and how it was measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from belay_api.environment import EnvironmentSpec
from belay_api.judging import ComparedResult
from belay_api.reasons import Verdict
from belay_trainer import files
from belay_trainer.reporting.document import Document, Heading, Paragraph, Part, Picture, Table, as_json, page, write
from belay_trainer.served import Artifact
from belay_trainer.validation.against import Compared
from belay_trainer.validation.checklist import checklist
from belay_trainer.validation.gates import GateResult, settings_of
from belay_trainer.validation.measurement import Measurement, worst
from belay_trainer.validation.plot import picture
from belay_trainer.validation.subject import first_seed

PICTURE = "returns.png"
WORDS = {
    Verdict.PASS: "passed",
    Verdict.FAIL: "failed",
    Verdict.NOT_ENOUGH_SAMPLES: "cannot tell",
    Verdict.NO_DATA: "nothing to measure",
}


@dataclass(frozen=True, slots=True)
class Validated:
    """A policy and what came of its gates."""

    artifact: Artifact
    task: EnvironmentSpec
    results: Sequence[GateResult]
    compared: Compared | None = None  # with another policy; None: with none

    @property
    def verdict(self) -> Verdict:
        """Pass where every gate passed, and the comparison if it is held to something; else the gravest."""
        held = None if self.compared is None else self.compared.result.verdict
        verdicts = [*(one.verdict for one in self.results), *([] if held is None else [held])]
        return worst(verdicts) if verdicts else Verdict.PASS

    @property
    def passed(self) -> bool:
        """Whether nothing was missed."""
        return self.verdict is Verdict.PASS

    @property
    def returns(self) -> Mapping[str, Any]:
        """What was played, each kind once."""
        return _returns(self.results, {} if self.compared is None else self.compared.returns)


def documents(validated: Validated) -> dict[str, bytes]:
    """Return the report for people, a page with its picture inside, and the one for programs, by file name."""
    return {"report.html": whole_page(validated), "report.json": as_json(document(validated, pictured=False))}


def whole_page(validated: Validated) -> bytes:
    """Return the report for people as one HTML file, its picture inside."""
    returns = validated.returns
    pictures = {PICTURE: picture(returns, title=validated.task.id)} if returns else {}
    return page(document(validated, pictured=bool(returns)), pictures).encode()


def write_report(validated: Validated, folder: Path) -> None:
    """Write report.md, report.html, report.json and the picture into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    returns = validated.returns
    if returns:
        files.write_atomically(folder / PICTURE, picture(returns, title=validated.task.id))
    write(document(validated, pictured=bool(returns)), folder)


def document(validated: Validated, *, pictured: bool) -> Document:
    """Return the report. Args: pictured: there is a picture of the returns."""
    manifest, results = validated.artifact.manifest, validated.results
    begun = first_seed(validated.artifact)
    parts: list[Part] = [
        Paragraph(sentence(validated)),
        Table(("gate", "verdict", "measured"), [_row(one) for one in results]),
        *([Picture(PICTURE, "Returns by what was disturbed: every episode, and the mean.")] if pictured else []),
    ]
    for one in results:
        parts += _gate(one)
    if validated.compared is not None:
        parts += _comparison(validated.compared.result)
    items = checklist(validated.artifact, results)
    proved = sum(one.evidence is not None for one in items)
    parts += [
        Heading(f"Checklist: {proved} of {len(items)} are proved"),
        Table(
            ("category", "claim", "evidence"),
            [[one.category, one.claim, one.evidence or "not proved"] for one in items],
        ),
        Paragraph("What is not proved counts for nothing. No person can sign an item in its place yet."),
        Heading("How it was validated"),
        Paragraph(
            f"Policy {validated.artifact.digest}, {manifest.algorithm or 'of an algorithm that is not known'}, in "
            f"{validated.task.id} with {validated.task.kwargs or 'no keyword arguments'}. Its exported network acted, "
            f"greedily, as serving pods have it. Episodes begin at reset seeds from {begun} on, from where neither "
            "training nor any evaluation began. Bounds of means are Learned-Miller and Thomas's, and hold for returns "
            "of any shape within the range that a gate names. Up to three looks share a gate's error. A gate with "
            "several limits passes only if each is kept."
        ),
    ]
    return Document(f"Validation of {manifest.algorithm or 'a policy'} in {validated.task.id}", parts, facts(validated))


def sentence(validated: Validated) -> str:
    """Return the whole in one sentence, for a terminal as well."""
    missed = [one for one in validated.results if one.verdict is not Verdict.PASS]
    count, compared = len(validated.results), validated.compared
    beside = "" if compared is None else f" {compared.result.message}"
    if not missed:
        passed = f"The policy passed {'its gate' if count == 1 else f'all {count} gates'}." if count else ""
        return f"{passed}{beside}".strip() or "The policy was asked nothing."
    told = ", ".join(f"{one.name} ({WORDS[one.verdict]})" for one in missed)
    return f"The policy did not pass {len(missed)} of {count} gates: {told}.{beside}"


def facts(validated: Validated) -> dict[str, Any]:
    """Return the report for programs; keys are a contract, see `docs/guides/validate.md`."""
    return {
        "passed": validated.passed,
        "policy": {"digest": validated.artifact.digest, "algorithm": validated.artifact.manifest.algorithm},
        "environment": {"id": validated.task.id, "kwargs": validated.task.kwargs},
        "firstSeed": first_seed(validated.artifact),
        "gates": [
            {
                "gate": one.name,
                "verdict": one.verdict.value,
                "settings": settings_of(one.gate).dump(),
                "measurements": [_fact(measurement) for measurement in one.measured.measurements],
                "notes": list(one.measured.notes),
                "returns": {name: values.tolist() for name, values in one.measured.returns.items()},
            }
            for one in validated.results
        ],
        **({} if validated.compared is None else {"compared": _compared(validated.compared)}),
        "checklist": [
            {"category": one.category, "claim": one.claim, "evidence": one.evidence}
            for one in checklist(validated.artifact, validated.results)
        ],
    }


def _compared(compared: Compared) -> dict[str, Any]:
    return {**compared.result.dump(), "returns": {name: values.tolist() for name, values in compared.returns.items()}}


def _comparison(result: ComparedResult) -> list[Part]:
    held = "told" if result.verdict is None else WORDS[result.verdict]
    return [
        Heading(f"Against {result.policy}: {held}"),
        Paragraph(result.message),
        Paragraph(
            f"That is {result.digest}. Both play the same starts; the difference is that within each pair, and its "
            "interval holds for differences of any shape within the range of returns that was seen of either policy."
        ),
    ]


def _fact(measurement: Measurement) -> dict[str, Any]:
    return {
        "name": measurement.name,
        "verdict": measurement.verdict.value,
        "value": measurement.value,
        "low": measurement.low,
        "high": measurement.high,
        "limit": measurement.limit,
        "unit": measurement.unit,
        "episodes": measurement.episodes,
        "message": measurement.message,
    }


def _row(result: GateResult) -> list[str]:
    gravest = [one for one in result.measured.measurements if one.verdict is result.verdict]
    return [result.name, WORDS[result.verdict], gravest[0].message]


def _gate(result: GateResult) -> list[Part]:
    rows = [
        [
            one.name,
            WORDS[one.verdict],
            *(_number(number, one.unit) for number in (one.value, one.low, one.high, one.limit)),
            "–" if one.episodes is None else str(one.episodes),
        ]
        for one in result.measured.measurements
    ]
    return [
        Heading(f"{result.title}: {WORDS[result.verdict]}"),
        Table(("what", "verdict", "measured", "at least", "at most", "limit", "episodes"), rows),
        *(Paragraph(note) for note in result.measured.notes),
    ]


def _number(value: float | None, unit: str) -> str:
    return "–" if value is None else f"{value:.4g} {unit}".rstrip()


def _returns(results: Sequence[GateResult], more: Mapping[str, Any]) -> Mapping[str, Any]:
    found: dict[str, Any] = {}
    for returns in (*(one.measured.returns for one in results), more):
        for name, values in returns.items():
            if len(values) > len(found.get(name, ())):
                found[name] = values
    return found
