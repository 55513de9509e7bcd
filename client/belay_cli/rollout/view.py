"""The whole view: what the person on call reads from the top, and stops where the answer is.

Nothing is decided here, and nothing judged: every word and number is what the operator has written into status.
"""

from collections.abc import Callable

from belay_cli.rollout.page import Page, Rollout
from belay_cli.rollout.sections import (
    experiment,
    group,
    metrics,
    past,
    regret,
    rollback,
    shadow,
    situation,
    steps,
    traffic,
)

SECTIONS: tuple[Callable[[Rollout, Page], list[str]], ...] = (
    situation.lines,
    traffic.lines,
    rollback.lines,
    steps.lines,
    group.lines,
    metrics.lines,
    regret.lines,
    shadow.lines,
    experiment.lines,
    past.lines,
)


def render(rollout: Rollout, page: Page) -> str:
    """Return the view as text. Pure."""
    parts = [section(rollout, page) for section in SECTIONS]
    return "\n\n".join("\n".join(line.rstrip() for line in part) for part in parts if part)
