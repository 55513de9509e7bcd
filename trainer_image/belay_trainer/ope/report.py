"""A judgement as a table for the terminal and as a report. Estimates that do not count show no number."""

from dataclasses import asdict, dataclass
from typing import Any

from belay_api.reasons import Verdict
from belay_trainer.ope.estimators import ESTIMATORS
from belay_trainer.ope.judge import Estimate, Interval, Judgement
from belay_trainer.reporting.document import Document, Heading, Paragraph, Part, Picture, Table

NOT_JUDGED = "cannot be judged offline"
_HELD = {
    Verdict.PASS: "That is as much as is allowed",
    Verdict.FAIL: "That is less than is allowed",
    Verdict.NOT_ENOUGH_SAMPLES: "The log does not tell whether that is as much as is allowed",
}


@dataclass(frozen=True, slots=True)
class Subject:
    """What was judged, by what."""

    policy: str
    """Its folder."""
    digest: str
    """Of the artifact."""
    environment: str
    """The task it was trained for."""
    acts: str
    """`greedy` or `sampled`."""
    dataset: str
    """The file."""
    dataset_digest: str
    """`sha256:<hex>` of its bytes; of all files, where it is a folder."""
    timesteps: int
    """Logged ones."""
    notes: tuple[str, ...]
    """What was found in the dataset that is no error."""


def as_json(judgement: Judgement, subject: Subject) -> dict[str, Any]:
    """Return the report for programs; keys are a contract, see `docs/guides/judge-offline.md`."""
    headline = judgement.headline
    return {
        "judged": headline is not None,
        "reason": judgement.reason,
        "estimator": headline.estimator if headline else None,
        "return": asdict(headline.found) if headline and headline.found else None,
        "logged": asdict(judgement.logged),
        "discount": judgement.discount,
        "confidence": judgement.confidence,
        "policy": {
            "folder": subject.policy,
            "digest": subject.digest,
            "environment": subject.environment,
            "acts": subject.acts,
        },
        "dataset": {
            "path": subject.dataset,
            "digest": subject.dataset_digest,
            "episodes": judgement.episodes,
            "timesteps": subject.timesteps,
        },
        "margin": asdict(judgement.margin) if judgement.margin else None,
        "verdict": judgement.verdict.value if judgement.verdict else None,
        "meanRatio": judgement.mean_ratio,
        "estimates": [
            {
                "estimator": one.estimator,
                "return": asdict(one.found) if one.found else None,
                "effectiveEpisodes": one.effective,
                "reason": one.reason,
            }
            for one in judgement.estimates
        ],
        "notes": [*subject.notes, *judgement.notes],
    }


def as_text(judgement: Judgement, subject: Subject) -> str:
    """Return the report for a terminal."""
    lines = [_sentence(judgement), ""]
    percent = f"{judgement.confidence:.0%}"
    lines.append(f"{'':8}{'return':>10}  {percent + ' interval':<24}{'effective episodes'}")
    for one in judgement.estimates:
        lines.append(f"{one.estimator:8}{_number(one.found):>10}  {_between(one.found):<24}{_size(one, judgement)}")
    lines.append(f"{'logged':8}{_number(judgement.logged):>10}  {_between(judgement.logged):<24}{judgement.episodes}")
    for said in (_reasons(judgement), [*subject.notes, *judgement.notes]):
        if said:
            lines += ["", *said]
    return "\n".join(lines)


def document(judgement: Judgement, subject: Subject, *, picture: str | None) -> Document:
    """Return the report for people and programs.

    Args:
        picture: Name of a file beside it; None: there is none.
    """
    rows = [
        (
            f"{one.estimator}, {ESTIMATORS[one.estimator].TITLE}",
            _number(one.found),
            _between(one.found),
            _size(one, judgement),
            f"{NOT_JUDGED}: {one.reason}" if one.reason else "",
        )
        for one in judgement.estimates
    ]
    logged = judgement.logged
    rows.append(("the logged policy itself", _number(logged), _between(logged), str(judgement.episodes), ""))
    header = ("estimator", "return", f"{judgement.confidence:.0%} interval", "effective episodes", "")
    parts: list[Part] = [
        Paragraph(_sentence(judgement)),
        Paragraph(
            f"Policy {subject.policy} ({subject.digest}), trained for {subject.environment}, acting {subject.acts}. "
            f"Log {subject.dataset}: {judgement.episodes} episodes, {subject.timesteps} timesteps."
        ),
        Table(header, rows),
    ]
    if picture:
        parts.append(Picture(picture, "Returns by estimator, with their intervals."))
    if notes := [*subject.notes, *judgement.notes]:
        parts += [Heading("Notes"), *map(Paragraph, notes)]
    return Document("Off-policy evaluation", parts, facts=as_json(judgement, subject))


def _sentence(judgement: Judgement) -> str:
    if judgement.headline is None or judgement.headline.found is None:
        return f"The policy {NOT_JUDGED}: {judgement.reason}."
    found, logged = judgement.headline.found, judgement.logged
    return (
        f"The policy returns {found.value:.4g} by {judgement.headline.estimator} ({judgement.confidence:.0%} interval "
        f"{_between(found)}); the logged one returned {logged.value:.4g} ({_between(logged)}). Returns are discounted "
        f"by {judgement.discount:g}.{_held(judgement)}"
    )


def _held(judgement: Judgement) -> str:
    margin = judgement.margin
    if margin is None or judgement.verdict is None:
        return ""
    return f" {_HELD[judgement.verdict]}: the difference to the least is {margin.value:.4g} ({_between(margin)})."


def _reasons(judgement: Judgement) -> list[str]:
    """A line for each reason, with all estimators that have it."""
    by_reason: dict[str, list[str]] = {}
    for one in judgement.estimates:
        if one.reason:
            by_reason.setdefault(one.reason, []).append(one.estimator)
    return [f"{', '.join(names)}: {reason}." for reason, names in by_reason.items()]


def _number(found: Interval | None) -> str:
    return f"{found.value:.4g}" if found else "-"


def _between(found: Interval | None) -> str:
    return f"{found.low:.4g} to {found.high:.4g}" if found else "-"


def _size(one: Estimate, judgement: Judgement) -> str:
    return "-" if one.effective is None else f"{one.effective:.1f} of {judgement.episodes}"
