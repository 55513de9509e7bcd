"""Steps `shadow`: what two versions decided about the same requests, joined by the gateway's id of each.

A step keeps at most `MOST` decisions. Beyond that the shallow half of the ids is forgotten, on both sides alike, and
not taken again: what is left is as good a sample, for an id is deep by chance alone. All goes a day after the last.
"""

import math
import re
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from belay_api.shadowing import MAX_DEPTH, depth_of
from belay_api.wire import (
    STD_CAP,
    NotCompared,
    ShadowCell,
    ShadowDecision,
    ShadowEpisodes,
    ShadowReport,
    ShadowSide,
)
from belay_logbook.batch import parse_batch
from belay_logbook.errors import BadRequest, LogbookError

MOST = 40_000  # decisions of one step, both sides together; a report reads them all, in some 0.2 s
KEPT_MS = 24 * 3600 * 1000  # since the last of a step
SETTLED_MS = 10_000  # an answer that is not told of by then is counted as missing: pods tell twice a second
MINUTE_MS = 60_000
MOST_CELLS = 64
ERROR = "error"  # what stands in a cell where the candidate fails
_NAME = re.compile(r"[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?")
_PARAMETERS = ("rollout", "step", "candidate", "stable")
_BODY = ("depth", "seconds", "status", "episode", "space", "choice", "numbers", "ranged", "not_compared")

_SHADOW = """
INSERT INTO shadow (namespace, rollout, step, candidate, told_ms) VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET told_ms = excluded.told_ms RETURNING id, depth, kept"""
_INSERT = "INSERT INTO shadow_decision VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
_COUNTS = "UPDATE shadow SET depth = ?, kept = ?, unnamed = unnamed + ? WHERE id = ?"

Step = tuple[str, str, str]
"""Rollout, step, candidate."""


@dataclass(frozen=True, slots=True)
class ShadowQuestion:
    """Which step is asked about, and whose decisions are the shadow's and the answered ones."""

    rollout: str
    step: str
    candidate: str
    stable: str


def parse_decisions(body: bytes) -> tuple[list[ShadowDecision], list[tuple[int, LogbookError]]]:
    """Return the decisions in a Batch[ShadowDecision], and the refused items. Raises: BadRequest."""
    taken: list[ShadowDecision] = []
    refused: list[tuple[int, LogbookError]] = []
    for index, item in parse_batch(body, ShadowDecision, strict=False):
        if isinstance(item, BadRequest):
            refused.append((index, item))
        else:
            taken.append(item)
    return taken, refused


def parse_shadow_question(query: Mapping[str, str]) -> ShadowQuestion:
    """Return the question in a query string. Raises: BadRequest, naming the parameter."""
    if unknown := sorted(set(query) - set(_PARAMETERS)):
        raise BadRequest(f"{unknown[0]} is no parameter; known: {', '.join(_PARAMETERS)}", field=unknown[0])
    for name in _PARAMETERS:
        if not _NAME.fullmatch(query.get(name, "")):
            raise BadRequest(f"{name} is {query.get(name, '')[:80]!r}, wanted {_NAME.pattern}", field=name)
    return ShadowQuestion(**{name: query[name] for name in _PARAMETERS})


def record_decisions(
    connection: sqlite3.Connection, namespace: str, decisions: Iterable[ShadowDecision], arrived_ms: int
) -> None:
    """Write decisions that are not known yet, as far as their step keeps them."""
    by_step: dict[Step, list[ShadowDecision]] = defaultdict(list)
    for one in decisions:
        by_step[one.rollout, one.step, one.candidate].append(one)
    for step, told in by_step.items():
        _record(connection, (namespace, *step), told, arrived_ms)
    connection.execute("DELETE FROM shadow WHERE told_ms < ?", [arrived_ms - KEPT_MS])


def read_report(connection: sqlite3.Connection, namespace: str, asked: ShadowQuestion, now_ms: int) -> ShadowReport:
    """Return what is known of a step; one that nobody has told of has nothing."""
    query = "SELECT id, depth, unnamed FROM shadow WHERE (namespace, rollout, step, candidate) = (?, ?, ?, ?)"
    found = connection.execute(query, (namespace, asked.rollout, asked.step, asked.candidate)).fetchone()
    if found is None:
        return ShadowReport(stable=ShadowSide(told=0), candidate=ShadowSide(told=0))
    shadow, depth, unnamed = found
    stable, candidate = (_decisions(connection, shadow, version) for version in (asked.stable, asked.candidate))
    # The candidate's pods tell of this depth and more, or did for a while.
    told_from = max([depth, *(body["depth"] for body, *_ in candidate.values())])
    due = [key for key, (_, at, deep) in stable.items() if deep >= told_from and at <= now_ms - SETTLED_MS]
    joined = [
        _Pair(body, candidate[key][0], at // MINUTE_MS) for key, (body, at, _) in stable.items() if key in candidate
    ]
    compared = _Compared.of(joined)
    return ShadowReport(
        stable=_side([pair.stable for pair in joined], told=len(stable)),
        candidate=_side([pair.candidate for pair in joined], told=len(candidate)),
        unnamed=unnamed,
        asked=len(due),
        answered=sum(key in candidate for key in due),
        pairs=len(compared.pairs),
        not_compared=dict(compared.others),
        scale=compared.scale,
        difference=compared.difference,
        episodes=compared.episodes,
        cells=compared.cells,
    )


# --- writing ----------------------------------------------------------------------------------------------------------
def _record(
    connection: sqlite3.Connection, step: tuple[str, ...], told: Sequence[ShadowDecision], arrived_ms: int
) -> None:
    shadow, depth, kept = connection.execute(_SHADOW, (*step, arrived_ms)).fetchone()
    rows = []
    for one in told:
        if one.request is None:
            continue
        deep = depth_of(one.request.encode())
        if deep >= depth:
            said = one.model_dump(mode="json", include=set(_BODY), exclude_none=True)
            body = orjson.dumps(said).decode()
            rows.append((shadow, one.request, one.item, one.version, arrived_ms, deep, body))
    kept += max(connection.executemany(_INSERT, rows).rowcount, 0) if rows else 0
    while kept > MOST and depth < MAX_DEPTH:
        depth += 1
        gone = connection.execute("DELETE FROM shadow_decision WHERE shadow = ? AND depth < ?", (shadow, depth))
        kept -= gone.rowcount
    unnamed = sum(one.request is None for one in told)
    connection.execute(_COUNTS, (depth, kept, unnamed, shadow))


# --- reading ----------------------------------------------------------------------------------------------------------
_Key = tuple[str, int]
_Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Pair:
    """Both decisions about one request."""

    stable: _Body
    candidate: _Body
    minute: int

    @property
    def fails(self) -> bool:
        """Whether the candidate fails where stable acts."""
        return self.stable["status"] == 200 and self.candidate["status"] != 200

    @property
    def both_act(self) -> bool:
        """Whether there are two actions."""
        return self.stable["status"] == 200 and self.candidate["status"] == 200

    @property
    def not_compared(self) -> NotCompared | None:
        """Why two actions cannot be compared; None: they can."""
        for body in (self.candidate, self.stable):
            if reason := body.get("not_compared"):
                return NotCompared(reason)
        return NotCompared.SPACE if self.stable["space"] != self.candidate["space"] else None


def _decisions(connection: sqlite3.Connection, shadow: int, version: str) -> dict[_Key, tuple[_Body, int, int]]:
    """One version's, with when they arrived and how deep they are."""
    query = "SELECT request, item, body, arrived_ms, depth FROM shadow_decision WHERE shadow = ? AND version = ?"
    rows = connection.execute(query, (shadow, version))
    return {(request, item): (orjson.loads(body), at, depth) for request, item, body, at, depth in rows}


@dataclass(frozen=True, slots=True)
class _Compared:
    """The pairs that can be compared, and how they differ."""

    pairs: list[_Pair]
    others: Counter[NotCompared]
    scale: str | None
    differences: list[float]

    @classmethod
    def of(cls, joined: Sequence[_Pair]) -> "_Compared":
        pairs: list[_Pair] = []
        others: Counter[NotCompared] = Counter()
        for pair in joined:
            reason = pair.not_compared
            if pair.fails or (pair.both_act and reason is None):
                pairs.append(pair)
            elif pair.both_act and reason is not None:
                others[reason] += 1
        acted = [pair for pair in pairs if not pair.fails] or pairs
        scale = _scale(acted[0].stable) if acted else None
        differ = _Differ(scale, [pair.stable["numbers"] for pair in pairs if "numbers" in pair.stable])
        return cls(pairs, others, scale, [1.0 if pair.fails else differ(pair) for pair in pairs])

    @property
    def _by_episode(self) -> list[float]:
        of: dict[object, list[float]] = defaultdict(list)
        for pair, difference in zip(self.pairs, self.differences, strict=True):
            episode = pair.stable.get("episode")
            of[pair.minute if episode is None else episode].append(difference)
        return [math.fsum(one) / len(one) for one in of.values()]

    @property
    def difference(self) -> float | None:
        means = self._by_episode
        return math.fsum(means) / len(means) if means else None

    @property
    def episodes(self) -> list[ShadowEpisodes]:
        counts = Counter(round(mean, 3) for mean in self._by_episode)
        return [ShadowEpisodes(difference=value, count=count) for value, count in sorted(counts.items())]

    @property
    def cells(self) -> list[ShadowCell]:
        if self.scale != "choice":
            return []
        counts = Counter(
            (pair.stable.get("choice", ERROR), ERROR if pair.fails else pair.candidate["choice"]) for pair in self.pairs
        )
        ordered = sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:MOST_CELLS]
        return [ShadowCell(stable=ours, candidate=theirs, pairs=count) for (ours, theirs), count in ordered]


def _scale(stable: _Body) -> str:
    if "numbers" not in stable:
        return "choice"
    return "range" if stable.get("ranged") else "std"


class _Differ:
    """How much two actions differ, 0 to 1."""

    def __init__(self, scale: str | None, stable: Sequence[Sequence[float]]) -> None:
        self._scale = scale
        self._widths = [STD_CAP * _std(column) for column in zip(*stable, strict=False)] if scale == "std" else []

    def __call__(self, pair: _Pair) -> float:
        if self._scale == "choice":
            return float(pair.stable.get("choice") != pair.candidate.get("choice"))
        ours, theirs = pair.stable["numbers"], pair.candidate["numbers"]
        if not ours:
            return 0.0
        widths = self._widths or [1.0] * len(ours)
        shares = (_share(abs(a - b), width) for a, b, width in zip(ours, theirs, widths, strict=True))
        return math.fsum(shares) / len(ours)


def _share(distance: float, width: float) -> float:
    """A distance as a share of a width, at most 1; of none where stable always does the same, every other is as far."""
    if width == 0:
        return float(distance > 0)
    return min(distance / width, 1.0)


def _std(values: Sequence[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))


def _side(bodies: Sequence[_Body], *, told: int) -> ShadowSide:
    seconds = sorted(body["seconds"] for body in bodies)
    return ShadowSide(
        told=told,
        failed=sum(body["status"] != 200 for body in bodies),
        p50=_quantile(seconds, 0.5),
        p99=_quantile(seconds, 0.99),
    )


def _quantile(ordered: Sequence[float], share: float) -> float | None:
    """The smallest value that this share of all does not exceed."""
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)] if ordered else None
