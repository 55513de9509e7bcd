"""What the candidate has cost so far, and what the next step risks."""

from belay_api.units import format_duration
from belay_cli.plot import number
from belay_cli.rollout.page import Page, Rollout


def lines(rollout: Rollout, page: Page) -> list[str]:
    """Both as a sentence each."""
    lost = rollout.status.regret
    if lost is None:
        return []
    whose = "the candidate" if rollout.status.candidate is not None else "the last candidate"
    said = (
        f"{lost.metric}: {whose} has lost {number(lost.estimate)} ({number(lost.low)} to {number(lost.high)}) over "
        f"{lost.episodes:,} episodes; below 0 it has gained."
    )
    made = [page.paint("Cost so far", "bold"), *page.wrap(said)]
    if (risk := lost.next) is not None:
        made += page.wrap(
            f"Next, {risk.weight:g} % for up to {format_duration(risk.time)}: about {risk.episodes:,} episodes, which "
            f"lose {number(risk.at_most)} at most."
        )
    return made
