"""The search before a training, in its report: what was tried, what of it mattered, and what came out."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from belay_api.search import SearchStatus
from belay_api.training import TrainingConfig
from belay_trainer import files
from belay_trainer.config import Run
from belay_trainer.local.folder import RunFolder
from belay_trainer.local.progress import number
from belay_trainer.local.workers import words
from belay_trainer.reporting.document import Heading, Paragraph, Part, Picture, Table
from belay_trainer.stop import Stop

PICTURE = "search.png"
_SHOWN = 10  # trials in the table, the best ones first
_DRAWN = "Each trial's value, and the best so far."
_DRAWN_BESIDE = " Right: what decided which were among the best."  # of enough trials


@dataclass(frozen=True, slots=True)
class Row:
    """One trial."""

    number: int
    end: str  # finished, pruned, failed or unfinished
    value: float | None  # of a pruned one: its last evaluation
    settings: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Search:
    """What came of a search."""

    status: SearchStatus
    rows: Sequence[Row]  # by number


def read_search(folder: RunFolder) -> Search | None:
    """Return the search of a run; None: it had none."""
    if not folder.journal.exists():
        return None
    # Optuna takes a second to import.
    from belay_trainer.search.journal import FileLines, Journal  # noqa: PLC0415
    from belay_trainer.search.worker import open_study  # noqa: PLC0415

    config = TrainingConfig.model_validate_json(folder.config_file.read_bytes())
    journal = Journal(FileLines(folder.journal), key=None, stop=Stop())
    study = open_study(Run(config, index=0, seed=config.spec.seeds.first), journal)
    return Search(study.status(importance=True), [Row(*row) for row in study.rows()])


def parts(search: Search) -> list[Part]:
    """Return the report's part about a search."""
    status = search.status
    ends = f"{status.finished} finished, {status.pruned} were pruned, {status.failed} failed"
    best = f" Trial {status.best.trial} was best; the seeds trained with its settings." if status.best else ""
    found: list[Part] = [
        Heading("Search"),
        Paragraph(f"Of {status.trials} trials {ends}.{best}"),
        Picture(PICTURE, _DRAWN + (_DRAWN_BESIDE if status.importance else "")),
        Table(("trial", "end", "value", "settings"), [_cells(row) for row in _best(search.rows)]),
        Paragraph(
            "Value: mean return over the second half of a trial's evaluations, of a pruned one its last evaluation. It "
            "chose the settings, so it is higher than they are worth; what they are worth is the return above, of "
            "other seeds and other starts."
        ),
    ]
    if status.importance:
        found += [
            Table(("setting", "importance"), [(name, f"{share:.0%}") for name, share in status.importance.items()]),
            Paragraph(
                "Importance: how much the settings of the best tenth of trials stand apart from all others' "
                "(PED-ANOVA, Watanabe, Bansal, Hutter, IJCAI 2023), in parts of the whole. Of few trials it is a hint."
            ),
        ]
    return found


def draw(search: Search, path: Path) -> None:
    """Write a PNG of values by trial, and of the importance of each setting."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - takes a second, and only who draws needs it

    figure = Figure(figsize=(10, 3.6), layout="constrained")
    shares = search.status.importance or {}
    grid = figure.add_gridspec(1, 2 if shares else 1)
    left = figure.add_subplot(grid[0, 0])
    for end, color, marker in (("finished", "C0", "o"), ("pruned", "grey", "x")):
        told = [(row.number, row.value) for row in search.rows if row.end == end and row.value is not None]
        if told:
            left.scatter(*zip(*told, strict=True), c=color, marker=marker, s=18, label=end)
    finished = [row for row in search.rows if row.end == "finished" and row.value is not None]
    best = [max(one.value for one in finished[: place + 1]) for place in range(len(finished))]  # type: ignore[type-var]
    left.step([row.number for row in finished], best, where="post", color="C1", label="best so far")
    left.set_xlabel("trial")
    left.xaxis.get_major_locator().set_params(integer=True)
    left.set_ylabel("value")
    left.legend(fontsize=8)
    if shares:
        right = figure.add_subplot(grid[0, 1])
        names = list(reversed(shares))
        right.barh(names, [shares[name] for name in names], color="C0")
        right.set_xlabel("importance")
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=120)
    files.write_atomically(path, picture.getvalue())


def _best(rows: Sequence[Row]) -> list[Row]:
    ends = {"finished": 0, "pruned": 1, "failed": 2}
    ranked = sorted(rows, key=lambda row: (ends.get(row.end, 3), -(row.value or 0.0), row.number))
    return ranked[:_SHOWN]


def _cells(row: Row) -> list[str]:
    return [str(row.number), row.end, "–" if row.value is None else number(row.value), words(row.settings)]
