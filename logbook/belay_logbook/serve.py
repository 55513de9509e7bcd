"""The process: settings, one uvicorn server, and an end that loses nothing.

SIGTERM first releases the long-polls (or they would hold the end up for their whole wait), then lets requests under way
finish, then commits and closes the database.
"""

import signal
import sqlite3
import sys
from collections.abc import Sequence
from types import FrameType

import uvicorn

from belay_logbook.app import Logbook, make_app
from belay_logbook.db import Database
from belay_logbook.schema import NewerDatabase
from belay_logbook.settings import BadSettings, read_settings

SHUTDOWN_S = 10  # for requests under way; the pod's grace period must be longer
EXIT_BAD_SETTINGS = 2


class Server(uvicorn.Server):
    """uvicorn, releasing the long-polls when asked to end."""

    def __init__(self, config: uvicorn.Config, logbook: Logbook) -> None:
        super().__init__(config)
        self._logbook = logbook

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin the end."""
        self._logbook.feed.close_soon()
        super().handle_exit(sig, frame)


def main(arguments: Sequence[str]) -> int:
    """Serve until SIGTERM; return the exit code."""
    try:
        settings = read_settings(arguments)
        settings.data.mkdir(parents=True, exist_ok=True)
        database = Database(settings.data / "logbook.db")
    except (BadSettings, NewerDatabase, OSError, sqlite3.Error) as error:
        print(f"belay_logbook: {error}", file=sys.stderr)
        return EXIT_BAD_SETTINGS
    logbook = Logbook(settings, database)
    config = uvicorn.Config(
        make_app(logbook),
        host=settings.host,
        port=settings.port,
        access_log=False,  # /metrics counts requests; one line each would be most of the log
        timeout_graceful_shutdown=SHUTDOWN_S,
        timeout_keep_alive=75,
        server_header=False,
    )
    server = Server(config, logbook)
    # uvicorn raises the signal again when it is done; the default handler would end us before the database is closed.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    try:
        server.run()
    finally:
        database.close()
    return 0 if server.started else 1
