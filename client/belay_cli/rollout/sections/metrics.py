"""Every metric: its verdict, both samples, the interval beside its bounds, how far a limit is from pass and fail."""

from belay_api.rollout.verdicts import LimitStatus, MetricVerdict, SampleStatus
from belay_cli.plot import number
from belay_cli.rollout.bar import Interval, Scale, draw, gauge
from belay_cli.rollout.page import INDENT, Page, Rollout

_GAUGE_CELLS = 20


def lines(rollout: Rollout, page: Page) -> list[str]:
    """A paragraph for each metric that was looked at."""
    found = rollout.status.verdicts
    if not found:
        return []
    made = [page.paint("Metrics", "bold") + ("" if rollout.status.candidate is not None else "  (of the last trial)")]
    for one in found:
        made += metric(one, page, counted="users" if rollout.by_user else "episodes")
    return made


def metric(one: MetricVerdict, page: Page, *, counted: str) -> list[str]:
    """Return all that is known of one metric."""
    lasting = f" {page.lasting(one.since)}" if one.since is not None else ""
    age = f"measured {page.ago(one.at)}" + (", nothing rests on it (dryRun)" if one.dry_run else "")
    made = [f"  {page.paint(one.metric, 'bold')}  {page.verdict(one.verdict)}{lasting}   {page.paint(age, 'faint')}"]
    if one.message:
        made += page.wrap(one.message, indent=2)
    if one.candidate is not None or one.stable is not None:
        made += page.wrap(
            f"{_sample('candidate', one.candidate, counted)} · {_sample('stable', one.stable, counted)}", indent=2
        )
    made += _interval(one.difference, one.interval, one.fail_below, one.pass_above, page)
    if one.limit is not None:
        made += _limit(one.limit, page)
    if one.anchor is not None:
        of = one.anchor
        made += page.wrap(f"against the anchor {of.policy}: {of.verdict}: {of.message}", indent=2)
        made += _interval(of.difference, of.interval, None, of.pass_above, page)
    if one.followed is not None:
        how = "goes on without it" if one.followed.action == "Continue" else f"got more time, {one.followed.times}x"
        made += page.wrap(f"{one.followed.verdict} in step {one.followed.step + 1}: the rollout {how}", indent=2)
    return made


def _sample(side: str, sample: SampleStatus | None, counted: str) -> str:
    if sample is None:
        return f"{side} nothing"
    mean = f", mean {number(sample.mean)}" if sample.mean is not None else ""
    missing = f", {sample.missing:,} missing" if sample.missing else ""
    late = f" ({sample.late:,} late)" if sample.late else ""
    return f"{side} {sample.episodes:,} {counted}{mean}{missing}{late}"


def _interval(
    at: float | None, ends: list[float] | None, fail: float | None, passes: float | None, page: Page
) -> list[str]:
    """The interval beside zero and the bounds: F where it fails, P where it passes."""
    if ends is None or len(ends) != 2:
        return []
    low, high = ends
    marks = (
        {"0": 0.0} | ({"F": fail} if fail not in (None, 0.0) else {}) | ({"P": passes} if passes is not None else {})
    )
    left, right = f"{INDENT * 2}{number(low)} ", f" {number(high)}"
    scale = Scale.over([low, high, *marks.values()], columns=page.columns - len(left) - len(right))
    made = [f"{left}{draw(Interval(low, at, high), scale, marks)}{right}"]
    said = [f"difference {number(at)}"] if at is not None else []
    if fail is not None and passes is not None:
        worse, better = ("left", "right") if passes < fail else ("right", "left")
        of = "0" if fail == 0 else f"F ({number(fail)})"
        said.append(f"[ ] {worse} of {of} fails, {better} of P ({number(passes)}) passes")
    elif passes is not None:
        said.append(f"P is {number(passes)}")
    return [*made, *page.wrap("; ".join(said), indent=2)]


def _limit(limit: LimitStatus, page: Page) -> list[str]:
    """How far the evidence is on its way to either decision."""
    made = [
        f"{INDENT * 2}{words} {gauge(share, _GAUGE_CELLS)} {number(100 * share)} %"
        for words, share in (("to a Fail", limit.against), ("to a Pass", limit.in_favour))
    ]
    if not limit.requests:
        return [*made, *page.wrap("nothing judged yet", indent=2)]
    share = f", {100 * limit.share:.3g} % of the last" if limit.share is not None else ""
    at = f" at {limit.weight:g} % weight" if limit.weight else ""
    return [
        *made,
        *page.wrap(f"{limit.beyond:,} of {limit.requests:,}{at} that were judged were beyond{share}", indent=2),
    ]
