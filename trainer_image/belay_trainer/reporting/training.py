"""The report of a training on this machine: what was trained, what came of each seed and of all, and how it went."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist
from typing import Any

import yaml

from belay_api import names
from belay_api.artifact import MANIFEST, Manifest
from belay_api.environment import CostReport
from belay_api.policy import ArtifactSpec, LineageSpec, RLPolicySpec
from belay_api.summary import FEWEST_SEEDS, aggregate
from belay_api.training import (
    Aggregate,
    ArtifactRef,
    RLTrainingJobSpec,
    SeedPhase,
    SeedStatus,
    TrainingConfig,
    TrainingReport,
)
from belay_trainer import files
from belay_trainer.local.folder import RunFolder
from belay_trainer.local.progress import number
from belay_trainer.recording import Recorded, played, record
from belay_trainer.reporting import curves
from belay_trainer.reporting import search as searching
from belay_trainer.reporting.document import Document, Heading, Paragraph, Part, Picture, Table, Verbatim, write
from belay_trainer.served import read_artifact
from belay_trainer.trackers.json_lines import read_rows

PICTURE, EPISODE, POLICY = "curves.png", "episode.gif", "policy.yaml"
WRONG = 0.05  # of reports on a policy no better than random actions say that it differs
_DIGITS = 6  # of the digest, in the policy's name, as the operator has it
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a run."""

    config: TrainingConfig
    reports: Mapping[int, TrainingReport]  # last words by index; of a seed that never began there is none
    aggregate: Aggregate | None  # over the seeds that succeeded; None: none has
    manifest: Manifest | None  # of the best seed's artifact
    search: searching.Search | None = None  # before the training; None: there was none


def result_of(config: TrainingConfig, reports: Mapping[int, TrainingReport], folder: RunFolder) -> Result:
    """Return what came of a run, summed up by the operator's own formulas."""
    found = aggregate([_status(report) for report in reports.values()], gated=config.spec.gates is not None)
    manifest = _manifest(folder, found.best.artifact) if found else None
    return Result(config, reports, found, manifest, searching.read_search(folder))


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


def document(
    result: Result, folder: RunFolder, *, pictured: bool = False, recorded: Recorded | None = None
) -> Document:
    """Return the report of a training.

    Args:
        folder: Where its artifacts lie.
        pictured: There is a picture of its curves.
        recorded: An episode of the best policy; None: there is no recording.
    """
    config, spec = result.config, result.config.spec
    reports = [result.reports[index] for index in sorted(result.reports)]
    parts: list[Part] = [
        Paragraph(
            f"{spec.algorithm.chosen} on {_task(spec)} for each of "
            f"{spec.seeds.count} seeds. {sum(map(_succeeded, reports))} succeeded; {_required(config)} had to."
        ),
        Heading("Result"),
        *_result(result, folder),
        *([Picture(PICTURE, "Small pictures: mean over seeds, band from lowest to highest.")] if pictured else []),
        *([Picture(EPISODE, f"The best policy from seed {recorded.seed}: {played(recorded)}.")] if recorded else []),
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


def policy(result: Result, found: Aggregate) -> dict[str, Any]:
    """Return the RLPolicy of the best seed, as the operator would make it."""
    config, best, publish = result.config, found.best, result.config.spec.publish
    spec = RLPolicySpec(
        artifact=ArtifactSpec(uri=best.artifact.uri, digest=best.artifact.digest),
        lineage=LineageSpec(
            training_job=config.job, uid=config.uid, seed=best.seed, step=best.step, config_hash=config.config_hash
        ),
        **({"serving": publish.serving} if publish else {}),
    )
    family = publish.family if publish else config.job
    digits = best.artifact.digest.removeprefix("sha256:")[:_DIGITS]
    return {
        "apiVersion": names.API_VERSION,
        "kind": "RLPolicy",
        "metadata": {
            "name": f"{family}-{digits}",
            "namespace": config.namespace,
            "labels": {names.FAMILY_LABEL: family, names.TRAINING_JOB_LABEL: config.job},
        },
        "spec": spec.said(),
    }


def sentences(result: Result) -> list[str]:
    """Return the result in a few lines, for a terminal as well."""
    found = result.aggregate
    gates = [_gates(one) for _, one in sorted(result.reports.items()) if one.validation is not None]
    if found is None:
        return ["No seed has a policy that can be published, so there is no result.", *gates]
    best, below = found.best, [f"It is {found.best.floor.words()}."] if found.best.floor else []
    if best.return_ is None or found.mean is None or found.iqm is None:
        judged = f": {best.estimate.words()}" if best.estimate else ""
        return [f"{found.seeds} seed{'s' if found.seeds > 1 else ''}. Best: seed {best.seed}{judged}.", *below]
    if found.ci95 is not None:
        span = f"95 % interval {number(found.ci95[0])} to {number(found.ci95[1])}"
    else:
        span = f"no interval: that takes {FEWEST_SEEDS} seeds"
    lines = [
        f"Return over {found.seeds} seed{'s' if found.seeds > 1 else ''}: mean {number(found.mean)}, "
        f"interquartile mean {number(found.iqm)}, {span}.",
        f"Best: seed {best.seed}, return {number(best.return_)}"
        + (f" at timestep {best.step:,}." if best.step is not None else "."),
    ]
    return [*lines, _beside_random(result, best.return_, found), *below, *gates]


def _gates(report: TrainingReport) -> str:
    """Return what came of the gates of a seed."""
    found = report.validation
    if found is None or found.failure is None:
        return f"Seed {report.seed} passed its gates."
    missed = found.failure
    return f"Seed {report.seed} did not pass {missed.gate} ({missed.verdict.value}): {missed.message}"


def standard_error(std: float, episodes: int) -> float | None:
    """Return the standard error of a mean; None: one episode has none.

    Args:
        std: Over the episodes, as NumPy has it: divided by their number, not by one less.
    """
    return std / sqrt(episodes - 1) if episodes > 1 else None


def told_apart(gain: float, errors: Sequence[float], *, chosen_from: int) -> bool:
    """Return whether a difference of two means is more than chance makes of equal ones in 1 of 20 reports.

    Args:
        gain: The difference.
        errors: Standard errors of the two means, of independent episodes: their squares add.
        chosen_from: Seeds whose best was taken; among many, one is far off by chance.
    Source: z test with Bonferroni's correction (Dunn, "Multiple comparisons among means", JASA 56, 1961).
    """
    limit = NormalDist().inv_cdf(1 - WRONG / (2 * chosen_from))
    return abs(gain) > limit * sqrt(sum(error**2 for error in errors))


def finding_lines(result: Result) -> list[str]:
    """Return what the diagnosis tells, a line each, for a terminal."""
    return [
        f"Seed {report.seed}, {one.reason}: {one.message} {one.advice}"
        for _, report in sorted(result.reports.items())
        for one in report.findings
    ]


def _beside_random(result: Result, best_return: float, found: Aggregate) -> str:
    """Return how the best policy compares with random actions."""
    best = found.best
    if best.random is None:
        return "What random actions return is not known: such episodes did not end in reasonable time."
    gain = best_return - best.random.mean
    told = f"Random actions return {number(best.random.mean)} ({best.random.episodes} episodes): the best policy is "
    known = result.manifest.outcomes.get("return") if result.manifest else None
    played = [one for one in (known.evaluated, known.random) if one is not None] if known else []
    errors = [error for one in played if (error := standard_error(one.std, one.episodes)) is not None]
    if len(errors) == 2 and not told_apart(gain, errors, chosen_from=found.seeds):
        return f"{told}not told apart from them in {played[0].episodes} episodes (difference {number(gain)})."
    return f"{told}{number(abs(gain))} {'better' if gain > 0 else 'worse'}."


def _result(result: Result, folder: RunFolder) -> list[Part]:
    parts: list[Part] = [Paragraph(" ".join(sentences(result)))]
    if result.aggregate is not None:
        artifact = result.aggregate.best.artifact
        parts.append(Paragraph(f"The policy: `{folder.artifact(artifact)}`, digest `{artifact.digest}`."))
    return parts


_HEADER = (
    "seed", "outcome", "return", "standard error", "episodes", "choosing return", "at timestep", "random actions",
    "steps/s", "preset",
)  # fmt: skip


def _row(report: TrainingReport, folder: RunFolder) -> list[str]:
    measured = None
    if report.artifact is not None and (found := _manifest(folder, report.artifact)) is not None:
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


def _record(result: Result, folder: RunFolder) -> Recorded | None:
    """Record an episode of the best policy; None: there is none, or its environment cannot be drawn here."""
    if result.aggregate is None or result.manifest is None or result.manifest.evaluation is None:
        return None
    artifact, first = folder.artifact(result.aggregate.best.artifact), result.manifest.evaluation.first_seed
    task = result.config.spec.played_in
    try:
        return record(read_artifact(artifact), task, folder.report / EPISODE, seed=first)
    except Exception as error:  # whatever a renderer raises without a screen: the training is over, and is reported
        log.info("no episode is recorded: %s", error)
        return None


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


def _status(report: TrainingReport) -> SeedStatus:
    succeeded = _succeeded(report)
    return SeedStatus(
        index=report.index,
        seed=report.seed,
        phase=SeedPhase.SUCCEEDED if succeeded else SeedPhase.FAILED,
        return_=report.return_ if succeeded else None,
        estimate=report.estimate if succeeded else None,
        floor=report.floor if succeeded else None,
        best_step=report.best_step,
        random=report.random,
        artifact=report.artifact if succeeded else None,
        validation=report.validation,
    )


def _task(spec: RLTrainingJobSpec) -> str:
    """What is learned from, and for how long."""
    if spec.dataset is not None:
        return f"{spec.dataset.path}, {spec.budget.steps:,} gradient steps"
    return f"{spec.environment.id if spec.environment else '?'}, {spec.budget.steps:,} timesteps"


def _succeeded(report: TrainingReport) -> bool:
    return report.outcome == "Succeeded"


def _manifest(folder: RunFolder, artifact: ArtifactRef) -> Manifest | None:
    path = folder.artifact(artifact) / MANIFEST
    return Manifest.model_validate_json(path.read_bytes()) if path.is_file() else None


def _required(config: TrainingConfig) -> int:
    return config.spec.seeds.required or config.spec.seeds.count


def _seeds(config: TrainingConfig) -> range:
    return range(config.spec.seeds.first, config.spec.seeds.first + config.spec.seeds.count)


def _or_none(value: float | None) -> str:
    return "–" if value is None else number(value)
