"""Episodes: started by a serving pod, ended by a client, both proven by the receipt of the first decision.

An episode is (namespace, version, rollout, id). Whoever speaks of it first makes the row; of each outcome the first
report is the one that counts, and repeating it changes nothing, so senders may send again whenever they are unsure. An
outcome that shows later than the episode ends is told by a further report, and has the time of that.
"""

import hashlib
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import orjson

from belay_api.receipts import FORESEEN_LEVELS, BadReceipt, Receipt, check
from belay_api.wire import EpisodeOutcome, EpisodeStart
from belay_logbook.batch import parse_batch
from belay_logbook.errors import BadRequest, Forbidden, LogbookError
from belay_logbook.schema import STANDARD_OUTCOMES

CLOCK_SKEW = timedelta(minutes=5)  # between a serving pod and us; more than that would put episodes into wrong windows
OUTCOME_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")

M = TypeVar("M", EpisodeStart, EpisodeOutcome)
Refused = list[tuple[int, LogbookError]]

_VERSION = "INSERT INTO version (namespace, name, rollout) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
_VERSION_ID = "SELECT id FROM version WHERE namespace = ? AND name = ? AND rollout = ?"
_BASELINE = "INSERT INTO baseline (digest) VALUES (?) ON CONFLICT DO NOTHING"
_BASELINE_ID = "SELECT id FROM baseline WHERE digest = ?"
_START = "INSERT INTO episode (version, started_ms, name, foreseen, user) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
# No conflict target: the clustered key and `episode_once` may both be hit, and either way it is the same episode.
_OUTCOME = """
INSERT INTO episode (
    version, started_ms, name, reported_ms, moved, "return", length, violations, success, custom, foreseen, user)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET
    reported_ms = excluded.reported_ms, moved = excluded.moved, "return" = excluded."return", length = excluded.length,
    violations = excluded.violations, success = excluded.success, custom = excluded.custom
WHERE episode.reported_ms IS NULL"""

_KEPT = 'SELECT "return", length, violations, success, custom FROM episode WHERE version = ? AND name = ?'
_TOLD = slice(5, 10)  # the same of a row of _OUTCOME
_LATER = """
UPDATE episode SET later = json_set(COALESCE(later, '{{}}'), :path, json(:told))
WHERE version = :version AND name = :name AND {column} IS NULL AND json_extract(later, :path) IS NULL"""


class Forged(Forbidden):
    """A receipt that no serving pod of this namespace issued."""

    count_as = "forged"


class FromTheFuture(BadRequest):
    """A receipt that claims a time that has not come: a serving pod's clock is wrong."""

    count_as = "future"


@dataclass(frozen=True, slots=True)
class Report:
    """What became of an episode, checked."""

    receipt: Receipt
    outcomes: dict[str, float]
    moved: bool


def parse_starts(body: bytes, namespace: str, key: bytes, now: datetime) -> tuple[list[Receipt], Refused]:
    """Return the receipts in a Batch[EpisodeStart] and the refused items.

    Args:
        key: The namespace's receipt key.
    Raises: BadRequest when the body is no batch.
    """
    refused: Refused = []
    taken = [receipt for _, _, receipt in _proven(body, EpisodeStart, namespace, key, now, refused=refused)]
    return taken, refused


def parse_outcomes(body: bytes, namespace: str, key: bytes, now: datetime) -> tuple[list[Report], Refused]:
    """Return the reports in a Batch[EpisodeOutcome] and the refused items; arguments as in `parse_starts`."""
    taken: list[Report] = []
    refused: Refused = []
    for index, item, receipt in _proven(body, EpisodeOutcome, namespace, key, now, refused=refused):
        if wrong := next((name for name in item.outcomes if not OUTCOME_NAME.fullmatch(name)), None):
            refused.append((index, _bad_name(wrong, f"items[{index}].outcomes")))
        else:
            taken.append(Report(receipt, item.outcomes, item.moved))
    return taken, refused


def record_starts(connection: sqlite3.Connection, receipts: Iterable[Receipt]) -> None:
    """Write the starts that are not known yet."""
    versions: dict[tuple[str, str, str], int] = {}
    baselines: dict[str, int] = {}
    rows = [
        (_version(connection, versions, it), _ms(it.at), it.episode, _foreseen(connection, baselines, it), _user(it))
        for it in receipts
    ]
    connection.executemany(_START, rows)


def record_outcomes(connection: sqlite3.Connection, reports: Sequence[Report], arrived_ms: int) -> None:
    """Write the first report of every outcome.

    Args:
        arrived_ms: When the request came in; what `grace` is measured against.
    """
    versions: dict[tuple[str, str, str], int] = {}
    baselines: dict[str, int] = {}
    rows = []
    for report in reports:
        receipt, outcomes = report.receipt, report.outcomes
        custom = {name: value for name, value in outcomes.items() if name not in STANDARD_OUTCOMES}
        rows.append(
            (
                _version(connection, versions, receipt),
                _ms(receipt.at),
                receipt.episode,
                arrived_ms,
                report.moved,
                *(outcomes.get(name) for name in STANDARD_OUTCOMES),
                orjson.dumps(custom).decode() if custom else None,
                _foreseen(connection, baselines, receipt),
                _user(receipt),
            )
        )
    if connection.executemany(_OUTCOME, rows).rowcount < len(rows):  # else each is its episode's first report
        _record_later(connection, rows, reports, arrived_ms)


def _record_later(
    connection: sqlite3.Connection, rows: Sequence[tuple[Any, ...]], reports: Sequence[Report], arrived_ms: int
) -> None:
    """Write what a further report tells and no earlier one did; one that was taken over is told of no more."""
    for row, report in zip(rows, reports, strict=True):
        version, name, told = row[0], row[2], row[_TOLD]
        if report.moved or connection.execute(_KEPT, (version, name)).fetchone() == told:
            continue  # as good as all: the first report, or the same again
        for outcome, value in report.outcomes.items():
            column = f'"{outcome}"' if outcome in STANDARD_OUTCOMES else "json_extract(custom, :path)"
            said = orjson.dumps([arrived_ms, value]).decode()
            where = {"path": f'$."{outcome}"', "told": said, "version": version, "name": name}
            connection.execute(_LATER.format(column=column), where)


def _proven(
    body: bytes, model: type[M], namespace: str, key: bytes, now: datetime, *, refused: Refused
) -> Iterator[tuple[int, M, Receipt]]:
    """Yield index, item and receipt of every item that a serving pod vouches for; the others go to `refused`."""
    for index, item in parse_batch(body, model):
        if isinstance(item, BadRequest):
            refused.append((index, item))
            continue
        receipt = _receipt(item.receipt, namespace, key, now, f"items[{index}].receipt")
        if isinstance(receipt, LogbookError):
            refused.append((index, receipt))
        else:
            yield index, item, receipt


def _receipt(token: str, namespace: str, key: bytes, now: datetime, field: str) -> Receipt | LogbookError:
    try:
        receipt = check(token, key)
        receipt.episode.encode()
    except BadReceipt as error:
        return Forged(f"{field}: {error}", field=field)
    except UnicodeEncodeError:  # half a surrogate pair: neither kept nor told by anything
        return BadRequest(f"{field}: the receipt, or the name of its episode, is no text", field=field)
    if receipt.namespace != namespace:
        return Forged(f"{field}: the receipt is of namespace {receipt.namespace}, wanted {namespace}", field=field)
    if receipt.step != 0:
        return BadRequest(
            f"{field} is of timestep {receipt.step}, wanted 0: send the receipt of the episode's first decision",
            field=field,
        )
    if receipt.at > now + CLOCK_SKEW:
        ahead = (receipt.at - now).total_seconds()
        return FromTheFuture(
            f"{field} was issued {ahead:.0f} s in the future, at most {CLOCK_SKEW.total_seconds():.0f} s are taken: "
            "set the clock of the serving pod's node",
            field=field,
        )
    return receipt


def _bad_name(name: str, field: str) -> BadRequest:
    return BadRequest(
        f"{field} has the name {name[:80]!r}: names start with a letter, go on with letters, digits, _ . - "
        "and have at most 64 characters",
        field=field,
    )


def _version(connection: sqlite3.Connection, known: dict[tuple[str, str, str], int], receipt: Receipt) -> int:
    name = (receipt.namespace, receipt.version, receipt.rollout or "")
    if name not in known:
        connection.execute(_VERSION, name)
        (known[name],) = connection.execute(_VERSION_ID, name).fetchone()
    return known[name]


def _foreseen(connection: sqlite3.Connection, known: dict[str, int], receipt: Receipt) -> int | None:
    """Return what a critic said of the episode, as one number."""
    said = receipt.foreseen
    if said is None:
        return None
    if said.baseline not in known:
        connection.execute(_BASELINE, (said.baseline,))
        (known[said.baseline],) = connection.execute(_BASELINE_ID, (said.baseline,)).fetchone()
    return known[said.baseline] * FORESEEN_LEVELS + said.level


def _user(receipt: Receipt) -> int | None:
    """Return a user as the receipt's rollout knows her: in another rollout, or in none, she is somebody else."""
    if receipt.user is None:
        return None
    said = f"{receipt.namespace}/{receipt.rollout or ''}/{receipt.user}".encode()
    return int.from_bytes(hashlib.blake2b(said, digest_size=8).digest(), "big", signed=True)


def _ms(at: datetime) -> int:
    return round(at.astimezone(UTC).timestamp() * 1000)
