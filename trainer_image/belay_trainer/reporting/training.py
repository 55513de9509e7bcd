"""The report of a training on this machine: what was trained, what came of each seed and of all, and how it went."""

import logging
from collections.abc import Sequence
from typing import Any

import yaml

from belay_api.environment import CostReport
from belay_api.training import (
    RLTrainingJobSpec,
    TrainingConfig,
    TrainingReport,
)
from belay_trainer import files
from belay_trainer.local.folder import RunFolder
from belay_trainer.local.progress import number
from belay_trainer.reporting import curves
from belay_trainer.reporting import search as searching
from belay_trainer.reporting.document import Document, Heading, Paragraph, Part, Picture, Table, Verbatim, write
from belay_trainer.reporting.result import Result, manifest_of, policy, succeeded
from belay_trainer.reporting.sentences import sentences, standard_error
from belay_trainer.trackers.json_lines import read_rows

PICTURE, EPISODE, POLICY = "curves.png", "episode.gif", "policy.yaml"
log = logging.getLogger(__name__)


def write_report(result: Result, folder: RunFolder) -> None:
    """Write everything that people look at into the run's folder."""
    seeds = {seed: list(read_rows(folder.seed(seed).curves)) for seed in _seeds(result.config)}
    seeds = {seed: rows for seed, rows in seeds.items() if rows}
    pictured = any("return" in row.metrics for rows in seeds.values() for row in rows)
    if seeds:
        curves.write_table(seeds, folder.curves)
    if pictured:
        best = result.aggregate.best if result.aggregate else None
        random = best.random.mean if best and best.random else None
        told = {seed: rows for seed, rows in seeds.items() if any("return" in row.metrics for row in rows)}
        curves.draw(told, folder.report / PICTURE, title=result.config.job, random=random)
    if result.search is not None:
        searching.draw(result.search, folder.report / searching.PICTURE)
    if result.aggregate is not None and result.manifest is not None:
        text = yaml.safe_dump(policy(result, result.aggregate), sort_keys=False)
        files.write_atomically(folder.report / POLICY, text.encode())
    write(document(result, folder, pictured=pictured, recorded=_record(result, folder)), folder.report)


def document(result: Result, folder: RunFolder, *, pictured: bool = False, recorded: str | None = None) -> Document:
    """Return the report of a training.

    Args:
        folder: Where its artifacts lie.
        pictured: There is a picture of its curves.
        recorded: What the recording of the best policy shows; None: there is none.
    """
    config, spec = result.config, result.config.spec
    reports = [result.reports[index] for index in sorted(result.reports)]
    parts: list[Part] = [
        Paragraph(
            f"{spec.algorithm.chosen} on {_task(spec)} for each of "
            f"{spec.seeds.count} seeds. {sum(map(succeeded, reports))} succeeded; {_required(config)} had to."
        ),
        Heading("Result"),
        *_result(result, folder),
        *([Picture(PICTURE, "Small pictures: mean over seeds, band from lowest to highest.")] if pictured else []),
        *([Picture(EPISODE, f"The best policy {recorded}.")] if recorded else []),
        Heading("Seeds"),
        Table(_HEADER, [_row(report, folder) for report in reports]),
        Paragraph(_HOW_JUDGED if spec.played_in is None else _HOW_PLAYED),
        *_costs(result),
        *_failures(reports),
        *_findings(reports),
        *(searching.parts(result.search) if result.search else []),
        Heading("What was trained"),
        Table(("what", "is"), _origin(result)),
        Paragraph("Without defaults, the spec was:"),
        Verbatim(yaml.safe_dump(spec.said(), sort_keys=False)),
    ]
    return Document(f"Training {config.job}", parts, facts=facts(result))


_HOW_PLAYED = (
    "Return: greedy episodes of the published checkpoint, from starts that chose nothing. Its standard error is over "
    "those episodes: it says how well this one policy is known, not how far seeds differ. Choosing return: of the "
    "evaluation that chose the checkpoint, and so higher than the policy is worth."
)
_HOW_JUDGED = (
    "There is no return: nobody has played these policies. What is told are estimates of the mean discounted return, "
    "from logged episodes that were held back and chose nothing."
)


def facts(result: Result) -> dict[str, Any]:
    """Return the report for programs, in the words of the API."""
    manifest = result.manifest
    return {
        "job": result.config.job,
        "namespace": result.config.namespace,
        "configHash": result.config.config_hash,
        "spec": result.config.spec.said(),
        "seeds": [result.reports[index].dump() for index in sorted(result.reports)],
        "aggregate": result.aggregate.dump() if result.aggregate else None,
        "search": result.search.status.dump() if result.search else None,
        "packages": dict(result.manifest.lineage.packages) if result.manifest else {},
        "evaluation": manifest.evaluation.dump() if manifest and manifest.evaluation else None,
        "estimate": manifest.estimate.dump() if manifest and manifest.estimate else None,
        "floor": manifest.floor.dump() if manifest and manifest.floor else None,
    }


def _result(result: Result, folder: RunFolder) -> list[Part]:
    parts: list[Part] = [Paragraph(" ".join(sentences(result)))]
    if result.aggregate is not None:
        if result.aggregate.std is not None and result.aggregate.stderr is not None:
            parts.append(
                Paragraph(
                    f"Over seeds the standard deviation is {number(result.aggregate.std)}, and the standard error of "
                    f"the mean {number(result.aggregate.stderr)}. Intervals are the interquartile mean's, by bootstrap."
                )
            )
        artifact = result.aggregate.best.artifact
        parts.append(Paragraph(f"The policy: `{folder.artifact(artifact)}`, digest `{artifact.digest}`."))
    return parts


_HEADER = (
    "seed", "outcome", "return", "standard error", "episodes", "choosing return", "at timestep", "random actions",
    "steps/s", "preset",
)  # fmt: skip


def _row(report: TrainingReport, folder: RunFolder) -> list[str]:
    measured = None
    if report.artifact is not None and (found := manifest_of(folder, report.artifact)) is not None:
        measured = found.evaluation
    error = standard_error(measured.std, measured.episodes) if measured else None
    return [
        str(report.seed),
        report.outcome,
        _or_none(report.return_),
        _or_none(error),
        str(measured.episodes) if measured else "–",
        _or_none(report.selection_return),
        f"{report.best_step:,}" if report.best_step is not None else "–",
        _or_none(report.random.mean if report.random else None),
        f"{report.steps_per_second:,.0f}" if report.steps_per_second else "–",
        report.preset or "–",
    ]


def _costs(result: Result) -> list[Part]:
    found = result.manifest.evaluation.costs if result.manifest and result.manifest.evaluation else []
    if not found:
        return []
    header = ("cost", "an episode", "a timestep", "episodes with any", "limit", "episodes above it")
    rows = [
        (one.name, number(one.per_episode), number(one.per_step), str(one.costly_episodes), *_limit(one))
        for one in found
    ]
    return [Heading("Costs of the best seed's policy"), Table(header, rows)]


def _limit(cost: CostReport) -> tuple[str, str]:
    return ("", "") if cost.limit is None else (number(cost.limit), str(cost.over_limit))


def _failures(reports: Sequence[TrainingReport]) -> list[Part]:
    said = [[str(report.seed), report.message] for report in reports if report.message]
    return [Table(("seed", "what it said"), said)] if said else []


def _record(result: Result, folder: RunFolder) -> str | None:
    """Record an episode of the best policy, and return what it shows; None: there is none, or nothing can be drawn."""
    from belay_trainer.recording import played, record  # noqa: PLC0415 - brings torch, and a bad file is refused in a second
    from belay_trainer.served import read_artifact  # noqa: PLC0415

    if result.aggregate is None or result.manifest is None or result.manifest.evaluation is None:
        return None
    artifact, first = folder.artifact(result.aggregate.best.artifact), result.manifest.evaluation.first_seed
    task = result.config.spec.played_in
    try:
        recorded = record(read_artifact(artifact), task, folder.report / EPISODE, seed=first)
    except Exception as error:  # whatever a renderer raises without a screen: the training is over, and is reported
        log.info("no episode is recorded: %s", error)
        return None
    return f"from seed {recorded.seed}: {played(recorded)}"


def _findings(reports: Sequence[TrainingReport]) -> list[Part]:
    """Return what the diagnosis tells, of every seed that it tells something of."""
    told = [[str(report.seed), one.reason, one.message, one.advice] for report in reports for one in report.findings]
    return [Heading("Findings"), Table(("seed", "finding", "what was seen", "what to try"), told)] if told else []


def _origin(result: Result) -> list[list[str]]:
    config, manifest = result.config, result.manifest
    rows = [["job", f"{config.namespace}/{config.job}"], ["hash of the spec", config.config_hash]]
    if manifest is not None:
        rows += [["observations", str(manifest.observation)], ["actions", str(manifest.action)]]
        rows += [[name, version] for name, version in manifest.lineage.packages.items()]
    return rows


def _task(spec: RLTrainingJobSpec) -> str:
    """What is learned from, and for how long."""
    if spec.dataset is not None:
        return f"{spec.dataset.path}, {spec.budget.steps:,} gradient steps"
    return f"{spec.environment.id if spec.environment else '?'}, {spec.budget.steps:,} timesteps"


def _required(config: TrainingConfig) -> int:
    return config.spec.seeds.required or config.spec.seeds.count


def _seeds(config: TrainingConfig) -> range:
    return range(config.spec.seeds.first, config.spec.seeds.first + config.spec.seeds.count)


def _or_none(value: float | None) -> str:
    return "–" if value is None else number(value)
