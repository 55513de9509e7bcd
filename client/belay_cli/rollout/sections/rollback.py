"""Why the last candidate was taken back, or is being, and how far that is proven."""

from datetime import datetime

from belay_api.conditions import get_condition
from belay_cli.rollout.page import Page, Rollout, length


def lines(rollout: Rollout, page: Page) -> list[str]:
    """Who, why, and when each proof came."""
    back = rollout.status.rollback
    if back is None:
        return []
    title = "Rollback under way" if rollout.rolling_back else "Last rollback"
    made = [page.paint(title, "bold") + f"  {back.policy}, decided {page.ago(back.decided_at)}"]
    ready = get_condition(rollout.status.conditions, "Ready")
    told = ready is not None and back.message in ready.message  # above, in the situation
    made += page.wrap(f"{back.reason}, as told above" if told else f"{back.reason}: {back.message}")

    def after(at: datetime | None) -> str:
        return "not yet" if at is None else f"after {length(at - back.decided_at)}"

    proofs = f"Off the route: {after(back.weight_zero_at)}. Seen without requests: {after(back.drained_at)}."
    closed = back.endpoints_closed_at
    return [*made, *page.wrap(proofs + (f" Endpoints closed: {after(closed)}." if closed else ""))]
