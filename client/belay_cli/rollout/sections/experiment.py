"""An experiment: its arms, and the race for the winner on one scale."""

from belay_api.rollout.experiment import ArmStatus
from belay_api.rollout.verdicts import MetricVerdict
from belay_cli.plot import number
from belay_cli.rollout.bar import Interval, Scale, draw
from belay_cli.rollout.page import INDENT, Page, Rollout


def lines(rollout: Rollout, page: Page) -> list[str]:
    """How it stands, then each arm: its share, what its metrics say, how it ended."""
    found = rollout.status.experiment
    if found is None:
        return []
    if found.decided_at is not None:
        state = f"over {page.ago(found.decided_at)}: {found.message}"
    elif found.started_at is not None:
        state = f"under way {page.lasting(found.started_at)}, by {found.metric}"
    else:
        state = f"begun {page.ago(found.begun_at)}; the gateway has not accepted the shares of the arms yet"
    made = [f"{page.paint('Experiment', 'bold')}  arms against {found.stable}", *page.wrap(state)]
    looks = {arm.policy: _look(arm, found.metric) for arm in found.arms}
    ends = [end for look in looks.values() if look is not None for end in look.interval or ()]
    wide = max(len(arm.policy) for arm in found.arms)
    for arm in found.arms:
        made.append(f"  {page.paint(f'{arm.policy:<{wide}}', 'bold')}  {arm.weight:>2} %  {_state(arm, page)}")
        look = looks[arm.policy]
        if look is not None and look.interval is not None:
            low, high = look.interval
            left, right = f"{INDENT * 2}{number(low):>8} ", f" {number(high):<8}"
            scale = Scale.over([0.0, *ends], columns=page.columns - len(left) - len(right))
            made.append(f"{left}{draw(Interval(low, look.difference, high), scale, {'0': 0.0})}{right}".rstrip())
        told = [f"{one.metric} {one.verdict}" for one in arm.verdicts]
        if look is not None and look.difference is not None:
            told.insert(0, f"difference {number(look.difference)}")
        made += page.wrap(" · ".join(told), indent=2)
        if arm.message:
            made += page.wrap(arm.message, indent=2)
    return made


def _look(arm: ArmStatus, metric: str) -> MetricVerdict | None:
    return next((one for one in arm.verdicts if one.metric == metric), None)


def _state(arm: ArmStatus, page: Page) -> str:
    if arm.outcome is not None:
        out = f", off the route {page.ago(arm.withdrawn_at)}" if arm.withdrawn_at is not None else ""
        colour = "green" if arm.outcome in ("Winner", "Better") else "red" if arm.outcome == "Worse" else "yellow"
        return page.paint(arm.outcome.value, colour) + out
    return "shown to be better than stable so far" if arm.better else "takes part"
