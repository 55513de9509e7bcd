"""Its place among rollouts of which only some have a candidate."""

from belay_cli.rollout.page import Page, Rollout


def lines(rollout: Rollout, page: Page) -> list[str]:
    """Whether it has a place, and since when."""
    place = rollout.status.group
    if place is None:
        return []
    if place.granted_at is not None:
        words = f"has had a place {page.lasting(place.granted_at)}"
    else:
        words = f"has asked for a place {page.ago(place.asked_at)}, and waits; who asked first goes first"
    return [f"{page.paint('Group', 'bold')}  {place.name}", *page.wrap(words)]
