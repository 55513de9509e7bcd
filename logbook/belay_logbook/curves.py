"""The curves of every training: what heartbeats and evaluations told, thinned so that days cost no more than hours.

A point is kept per *cell* of timesteps. Cells are 2^k timesteps wide, the same for a whole curve, and k is the smallest
with which it has at most `MOST` of them: when it outgrows that, cells are joined in pairs. Of a cell the newest point
stays, so the newest of all always does, and a long curve has between `MOST / 2` and `MOST` cells. What was told between
the points that stay is gone; of evaluations, far rarer, that hardly happens. Nothing has to be remembered for this: the
width follows from the longest step.

A seed may do timesteps twice (lives.py). The later life's points replace the earlier one's as it passes them, and a
curve shows what today's policy comes from: of each life the points up to where the next one resumed.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby

import orjson

from belay_api.wire import Curve, Curves, RunProgress
from belay_api.words import nearest
from belay_logbook.errors import BadRequest, NotFound
from belay_logbook.lives import Life, find_training, last_steps
from belay_logbook.respond import NUMBER

MOST = 1024  # points of a curve, a power of two; 300 bytes each with the fifteen metrics of PPO
MAX_METRICS = 256  # of one algorithm; names that come later are not kept, or one made of a number would fill the disk
DEFAULT_POINTS = 200
LEAST_POINTS = 3
DEFAULT_METRIC = "return"
EVALUATED = ("return", "return/std", "return/episodes")
OF_HEARTBEATS = ("bestReturn", "stepsPerSecond")
_OURS = frozenset({*EVALUATED, *OF_HEARTBEATS})  # an algorithm's metric of such a name is not kept
_KNOWN = frozenset({"metric", "points"})

Point = tuple[int, int, float]
"""Step, ms since the epoch, value."""

# Of the rows of a cell all but the newest go.
_JOIN_CELLS = """
DELETE FROM point WHERE (training, idx, evaluated) = (:training, :index, :evaluated) AND EXISTS (
    SELECT 1 FROM point AS other
    WHERE (other.training, other.idx, other.evaluated) = (:training, :index, :evaluated)
        AND other.step BETWEEN point.step - point.step % :width AND point.step - point.step % :width + (:width - 1)
        AND (other.life, other.step) > (point.life, point.step))"""
_OF_CELL = """
SELECT life, step, numbers FROM point
WHERE (training, idx, evaluated) = (:training, :index, :evaluated) AND step BETWEEN :first AND :last"""
_CLEAR_CELL = """
DELETE FROM point
WHERE (training, idx, evaluated) = (:training, :index, :evaluated) AND step BETWEEN :first AND :last"""
_INSERT = "INSERT INTO point VALUES (:training, :index, :evaluated, :step, :life, :at_ms, :numbers)"
_LONGEST = "SELECT MAX(step) FROM point WHERE (training, idx, evaluated) = (:training, :index, :evaluated)"


# --- writing ----------------------------------------------------------------------------------------------------------
def record_points(connection: sqlite3.Connection, life: Life, beat: RunProgress, arrived_ms: int) -> None:
    """Add a heartbeat and its evaluations to the curves of its seed. Those told before change nothing."""
    numbers = {name: value for name, value in beat.metrics.items() if name not in _OURS}
    ours = zip(OF_HEARTBEATS, (beat.best_return, beat.steps_per_second), strict=True)
    numbers |= {name: value for name, value in ours if value is not None}
    told = [(0, beat.step, numbers)]
    for one in beat.evaluations:
        told.append((1, one.step, dict(zip(EVALUATED, (one.mean, one.std, one.episodes), strict=True))))
    ids = _metrics(connection, life.training, {name for _, _, numbers in told for name in numbers})
    for evaluated, step, numbers in told:
        text = orjson.dumps({str(ids[name]): value for name, value in numbers.items() if name in ids}).decode()
        curve = {"training": life.training, "index": life.index, "evaluated": evaluated}
        _keep(connection, curve, life.id, step, numbers=text, at_ms=arrived_ms)


def _metrics(connection: sqlite3.Connection, training: int, wanted: Iterable[str]) -> dict[str, int]:
    """Return the ids of metrics by name; of an algorithm's beyond MAX_METRICS there are none."""
    query = "SELECT name, id FROM metric WHERE training = ?"
    ids: dict[str, int] = dict(connection.execute(query, [training]).fetchall())
    for name in sorted(set(wanted) - set(ids)):
        if name in _OURS or len(set(ids) - _OURS) < MAX_METRICS:
            insert = "INSERT INTO metric (training, name) VALUES (?, ?) RETURNING id"
            (ids[name],) = connection.execute(insert, (training, name)).fetchone()
    return ids


def _keep(
    connection: sqlite3.Connection, curve: Mapping[str, int], life: int, step: int, *, numbers: str, at_ms: int
) -> None:
    (longest,) = connection.execute(_LONGEST, curve).fetchone()
    width = _width(max(step, longest or 0))
    if longest is not None and width > _width(longest):
        connection.execute(_JOIN_CELLS, {**curve, "width": width})
    first = step - step % width
    cell = {**curve, "first": first, "last": first + width - 1}
    before = connection.execute(_OF_CELL, cell).fetchone()
    if before is not None:
        if before[:2] > (life, step) or before == (life, step, numbers):
            return
        connection.execute(_CLEAR_CELL, cell)
    connection.execute(_INSERT, {**curve, "step": step, "life": life, "at_ms": at_ms, "numbers": numbers})


def _width(longest: int) -> int:
    """Return the width of cells, in timesteps, of a curve that reaches the step `longest`.

    >>> _width(1023), _width(1024), _width(100_000)
    (1, 2, 128)
    """
    return 1 << max(0, longest.bit_length() - MOST.bit_length() + 1)


# --- reading ----------------------------------------------------------------------------------------------------------
def parse_question(query: Mapping[str, str]) -> tuple[str, int]:
    """Return the metric, and how many points of each curve, in a query string. Raises: BadRequest."""
    if unknown := sorted(set(query) - _KNOWN):
        raise BadRequest(f"{unknown[0]} is no parameter; known: {', '.join(sorted(_KNOWN))}", field=unknown[0])
    text = query.get("points", str(DEFAULT_POINTS))
    if not NUMBER.fullmatch(text) or not LEAST_POINTS <= int(text) <= MOST:
        raise BadRequest(f"points is {text[:80]!r}, wanted a number from {LEAST_POINTS} to {MOST}", field="points")
    return query.get("metric", DEFAULT_METRIC), int(text)


def read_curves(connection: sqlite3.Connection, namespace: str, uid: str, metric: str, most: int) -> Curves:
    """Return how a metric of a training went, of each seed at most `most` points (see `thinned`).

    Raises: NotFound for a training that has told nothing, or nothing of this metric; then the message names the others.
    """
    training = find_training(connection, namespace, uid)
    if training is None:
        raise NotFound(f"uid {uid}: no training of namespace {namespace} has told anything under it", field="uid")
    query = "SELECT name, id FROM metric WHERE training = ? ORDER BY name"
    ids: dict[str, int] = dict(connection.execute(query, [training]).fetchall())
    if metric not in ids:
        near = nearest(metric, ids)
        meant = f"the nearest is {near}, " if near else ""
        known = f"{meant}known: {', '.join(ids)}" if ids else "it has told of none yet"
        raise NotFound(f"metric is {metric[:80]!r}: this training has not told of it; {known}", field="metric")
    lasts = last_steps(connection, training)
    evaluated = int(metric in EVALUATED)
    path = f'$."{ids[metric]}"'
    items = []
    for (index,) in connection.execute("SELECT DISTINCT idx FROM life WHERE training = ? ORDER BY idx", [training]):
        query = """
            SELECT step, at_ms, json_extract(numbers, ?) AS value, life FROM point
            WHERE (training, idx, evaluated) = (?, ?, ?) AND value IS NOT NULL ORDER BY step"""
        rows = connection.execute(query, (path, training, index, evaluated))
        points = thinned([(step, at, float(value)) for step, at, value, life in rows if step <= lasts[life]], most)
        if points:
            steps, at_ms, values = zip(*points, strict=True)
            at = [datetime.fromtimestamp(one / 1000, UTC) for one in at_ms]
            items.append(Curve(index=index, steps=list(steps), at=at, values=list(values)))
    return Curves(metric=metric, metrics=list(ids), items=items)


def thinned(points: Sequence[Point], most: int) -> Sequence[Point]:
    """Return at most `most` of the points: the lowest and the highest of equally wide parts, and the newest.

    A collapse that lasted for one point is still seen.

    >>> thinned([(step, 0, 0.0 if step == 57 else 1.0) for step in range(100)], 5)
    [(0, 0, 1.0), (50, 0, 1.0), (57, 0, 0.0), (99, 0, 1.0)]
    """
    if len(points) <= most:
        return points
    parts = (most - 1) // 2
    first, span = points[0][0], points[-1][0] - points[0][0] + 1
    kept: list[Point] = []
    for _, part in groupby(points, lambda point: (point[0] - first) * parts // span):
        of_part = list(part)
        kept += sorted({min(of_part, key=_value), max(of_part, key=_value)})
    return kept if kept[-1] == points[-1] else [*kept, points[-1]]


def _value(point: Point) -> float:
    return point[2]
