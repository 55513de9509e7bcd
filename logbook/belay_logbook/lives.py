"""Which training a heartbeat is of, and which life of the seed: the pod that tells it.

A seed whose pod is killed goes back to its checkpoint, or to the beginning, and another pod does those timesteps anew.
Heartbeats carry no order but their step, so what is newer is decided here: lives are numbered as the logbook first
hears of them, by no node's clock, and a heartbeat that arrives twice, or late, keeps the number of its life.
"""

import sqlite3
from dataclasses import dataclass

from belay_api.wire import RunProgress


@dataclass(frozen=True, slots=True)
class Life:
    """One pod's part in the training of one seed."""

    training: int
    """Of the table `training`."""
    index: int
    """Completion index."""
    id: int
    """Of the table `life`: of two lives of a seed the later one has the higher."""


def life_of(connection: sqlite3.Connection, namespace: str, beat: RunProgress) -> Life:
    """Return the life that tells this heartbeat, noted when it is new."""
    training = _training(connection, namespace, beat.uid)
    name = beat.life or f"attempt {beat.attempt} from {beat.resumed_from}"
    query = "SELECT id, resumed_from FROM life WHERE (training, idx, name) = (?, ?, ?)"
    row = connection.execute(query, (training, beat.index, name)).fetchone()
    if row is None:
        insert = "INSERT INTO life (training, idx, name, resumed_from) VALUES (?, ?, ?, ?) RETURNING id"
        (number,) = connection.execute(insert, (training, beat.index, name, beat.resumed_from)).fetchone()
        return Life(training, beat.index, number)
    number, resumed_from = row
    if beat.resumed_from not in (None, resumed_from):  # told only once the checkpoint was taken up
        connection.execute("UPDATE life SET resumed_from = ? WHERE id = ?", (beat.resumed_from, number))
    return Life(training, beat.index, number)


def last_steps(connection: sqlite3.Connection, training: int) -> dict[int, float]:
    """Return of every life of a training, by id, the last step that today's policy comes from.

    The newest life of a seed has no such end. An earlier one counts up to where a later one resumed; what it did beyond
    was lost with it, and all of it was where a later one began at 0.
    """
    lasts: dict[int, float] = {}
    reached: dict[int, float] = {}  # by index
    query = "SELECT id, idx, resumed_from FROM life WHERE training = ? ORDER BY id DESC"
    for number, index, resumed_from in connection.execute(query, [training]):
        lasts[number] = reached.get(index, float("inf"))
        reached[index] = min(lasts[number], -1 if resumed_from is None else resumed_from)
    return lasts


def _training(connection: sqlite3.Connection, namespace: str, uid: str) -> int:
    found = find_training(connection, namespace, uid)
    if found is None:
        insert = "INSERT INTO training (namespace, uid) VALUES (?, ?) RETURNING id"
        (found,) = connection.execute(insert, (namespace, uid)).fetchone()
    return found


def find_training(connection: sqlite3.Connection, namespace: str, uid: str) -> int | None:
    """Return the id of a training that has told something, else None."""
    query = "SELECT id FROM training WHERE (namespace, uid) = (?, ?)"
    row = connection.execute(query, (namespace, uid)).fetchone()
    return int(row[0]) if row else None
