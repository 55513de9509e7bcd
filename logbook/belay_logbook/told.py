"""How a query reads one outcome of an episode: its first report told it, or a further one did (`later`)."""

import sqlite3
from typing import Any

from belay_logbook.schema import STANDARD_OUTCOMES

_TOLD = "COALESCE({x}, later -> :later)"
# An outcome that a further report told has the time of that one; the same path finds both.
_TOLD_AT = "CASE WHEN later IS NULL OR {x} IS NOT NULL THEN reported_ms ELSE COALESCE(later ->> :at, reported_ms) END"


def execute(connection: sqlite3.Connection, query: str, outcome: str, values: dict[str, Any]) -> sqlite3.Cursor:
    """Run a query that says `{told}` for an episode's outcome and `{told_at}` for the time of the report that told it.

    The time of an outcome that no report told is that of the first report.
    """
    x = f'"{outcome}"'
    paths = {"at": f"$.{x}[0]", "later": f"$.{x}[1]", "path": f"$.{x}"}
    if outcome not in STANDARD_OUTCOMES:
        x = "custom -> :path"  # as text: SQLite 3.46 reads one number of ten thousand with another last bit
    query = query.format(told=_TOLD.format(x=x), told_at=_TOLD_AT.format(x=x))
    return connection.execute(query, values | paths)
