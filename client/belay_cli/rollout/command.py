"""The command: read one RLRollout and print it; with --watch again and again."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from belay_api.rollout.status import RLRolloutStatus
from belay_cli import terminal
from belay_cli.errors import Failed, Missing
from belay_cli.kubectl import Kubectl
from belay_cli.rollout.page import Page, Rollout
from belay_cli.rollout.view import render

PERIOD_S = 2.0  # a status is written every few seconds at most while numbers run
_HOME_AND_CLEAR = "\x1b[H\x1b[2J"

Read = Callable[[], Rollout]
Draw = Callable[[Rollout], str]


def run(kubectl: Kubectl, name: str, *, namespace: str | None, width: int | None, watch: bool) -> None:
    """Print the view. Raises: Failed."""
    namespace = namespace or kubectl.namespace()

    def draw(rollout: Rollout) -> str:
        return render(rollout, Page(terminal.columns(width), datetime.now(UTC), terminal.paint()))

    def read_it() -> Rollout:
        return read(kubectl.rollout(namespace, name))

    if watch:
        follow(read_it, draw)
    else:
        terminal.show(draw(read_it()))


def read(found: dict[str, Any]) -> Rollout:
    """Return an RLRollout as the API server has it. Raises: Failed where its status cannot be read."""
    try:
        status = RLRolloutStatus.model_validate(found.get("status") or {})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise Failed(
            f"status.{where} of {found['metadata']['name']} cannot be read ({first['msg']}): the operator is of "
            "another version than this plugin. Install the plugin of the operator's version."
        ) from error
    return Rollout(found["metadata"], found["spec"], status)


def follow(read_it: Read, draw: Draw) -> None:
    """Print again and again, until the rollout is gone or somebody ends it.

    On a terminal the view takes the place of the one before, so that ages run; elsewhere one is added for each change.
    An API server that does not answer for a while ends nothing: what was seen last stays, and says so.

    Raises: Failed where the first read fails, or the rollout is gone.
    """
    shown = read_it()
    version: str | None = None
    trouble = ""
    while True:
        if terminal.is_one():
            terminal.show(f"{_HOME_AND_CLEAR}{draw(shown)}{trouble}")
        elif shown.metadata.get("resourceVersion") != version:
            terminal.show(f"{draw(shown)}\n")
        version = shown.metadata.get("resourceVersion")
        time.sleep(PERIOD_S)
        try:
            shown, trouble = read_it(), ""
        except Missing:
            raise
        except Failed as error:
            trouble = trouble or f"\n\nNot read any more since {datetime.now(UTC):%H:%M:%S} UTC: {error}"
