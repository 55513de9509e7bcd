"""What came of the gates, as a document: passed or not for each of them, every number, and how it was measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from belay_api.environment import EnvironmentSpec
from belay_api.reasons import Verdict
from belay_trainer import files
from belay_trainer.reporting.document import Document, Heading, Paragraph, Part, Picture, Table, as_json, page, write
from belay_trainer.served import Artifact
from belay_trainer.validation.checklist import checklist
from belay_trainer.validation.gates import GateResult, settings_of
from belay_trainer.validation.measurement import Measurement
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

    @property
    def passed(self) -> bool:
        """Whether every gate passed."""
        return all(one.verdict is Verdict.PASS for one in self.results)


def documents(validated: Validated) -> dict[str, bytes]:
    """Return the report for people, a page with its picture inside, and the one for programs, by file name."""
    return {"report.html": whole_page(validated), "report.json": as_json(document(validated, pictured=False))}


def whole_page(validated: Validated) -> bytes:
    """Return the report for people as one HTML file, its picture inside."""
    returns = _returns(validated.results)
    pictures = {PICTURE: picture(returns, title=validated.task.id)} if returns else {}
    return page(document(validated, pictured=bool(returns)), pictures).encode()


def write_report(validated: Validated, folder: Path) -> None:
    """Write report.md, report.html, report.json and the picture into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    returns = _returns(validated.results)
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
    count = len(validated.results)
    if not missed:
        return f"The policy passed {'its gate' if count == 1 else f'all {count} gates'}."
    told = ", ".join(f"{one.name} ({WORDS[one.verdict]})" for one in missed)
    return f"The policy did not pass {len(missed)} of {count} gates: {told}."


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
        "checklist": [
            {"category": one.category, "claim": one.claim, "evidence": one.evidence}
            for one in checklist(validated.artifact, validated.results)
        ],
    }


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


def _returns(results: Sequence[GateResult]) -> Mapping[str, Any]:
    """Return what was played, each kind once."""
    found: dict[str, Any] = {}
    for one in results:
        for name, values in one.measured.returns.items():
            if len(values) > len(found.get(name, ())):
                found[name] = values
    return found
