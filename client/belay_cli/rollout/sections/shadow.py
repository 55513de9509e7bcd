"""What a step `shadow` found: how far the two decide alike, with the confusion table of choices."""

from belay_api.rollout.status import ShadowChoice, ShadowResult, ShadowSideStatus
from belay_api.units import parse_percent
from belay_cli.plot import number
from belay_cli.rollout.bar import Interval, Scale, draw
from belay_cli.rollout.page import INDENT, Page, Rollout

_LIMITS = ("maxDisagreement", "maxDistance")


def lines(rollout: Rollout, page: Page) -> list[str]:
    """Verdict, difference, both sides, and the table."""
    found = rollout.status.shadow
    if found is None:
        return []
    verdict = page.verdict(found.verdict) if found.verdict is not None else "no verdict"
    made = [f"{page.paint('Shadow', 'bold')}  beside {found.stable}   {verdict}", *page.wrap(found.message)]
    answered = f", {100 * found.answered:.3g} % of the mirrors answered" if found.answered is not None else ""
    made += page.wrap(f"{found.pairs:,} pairs of decisions in {found.episodes:,} episodes{answered}")
    made += _difference(found, _limit(rollout, found.step), page)
    if found.sides is not None:
        for side, of in (("stable", found.sides.stable), ("candidate", found.sides.candidate)):
            made.append(f"  {side:<9}  {_side(of)}")
    return [*made, *_table(found.choices, found.pairs, page)]


def _limit(rollout: Rollout, index: int) -> float | None:
    steps = rollout.steps
    said = (steps[index].get("shadow") or {}) if index < len(steps) else {}
    return next((parse_percent(said[name]) for name in _LIMITS if name in said), None)


def _difference(found: ShadowResult, limit: float | None, page: Page) -> list[str]:
    if found.interval is None or found.unit is None:
        return []
    low, high = found.interval
    marks = {"L": limit} if limit is not None else {}
    left, right = f"{INDENT}{number(low)} ", f" {number(high)}"
    scale = Scale.over([0.0, low, high, *marks.values()], columns=page.columns - len(left) - len(right))
    at = f"{number(found.difference)} " if found.difference is not None else ""
    held = f"; kept all left of L ({number(limit)}), broken all right of it" if limit is not None else ""
    return [
        f"{left}{draw(Interval(low, found.difference, high), scale, marks)}{right}",
        *page.wrap(f"difference {at}({found.unit}){held}"),
    ]


def _side(side: ShadowSideStatus) -> str:
    taken = side.latency
    latency = f", deciding took {1000 * taken.p50:.3g} ms (p50), {1000 * taken.p99:.3g} ms (p99)" if taken else ""
    return f"{side.failed:,} failed{latency}"


def _table(choices: list[ShadowChoice], pairs: int, page: Page) -> list[str]:
    """Stable's choices down, the candidate's across; as a list where that is too wide."""
    if not choices:
        return []
    counts = {(one.stable, one.candidate): one.pairs for one in choices}
    down, across = sorted({one.stable for one in choices}), sorted({one.candidate for one in choices})
    if "error" in across:
        across = [*(one for one in across if one != "error"), "error"]
    head = max(len("stable"), *map(len, down))
    wide = [max(len(name), *(len(f"{counts.get((row, name), 0):,}") for row in down)) for name in across]
    made = [f"{INDENT}{'':<{head}}   {'candidate':<{sum(wide) + 2 * len(wide)}}".rstrip()]
    made.append(
        f"{INDENT}{'stable':<{head}}   " + "  ".join(f"{name:>{w}}" for name, w in zip(across, wide, strict=True))
    )
    for row in down:
        cells = [
            page.paint(f"{counts.get((row, name), 0):>{w},}", "bold" if row == name else "faint")
            for name, w in zip(across, wide, strict=True)
        ]
        made.append(f"{INDENT}{row:<{head}}   {'  '.join(cells)}")
    if len(INDENT) + head + 3 + sum(wide) + 2 * (len(wide) - 1) > page.columns:
        made = [line for one in choices for line in page.wrap(f"{one.stable} → {one.candidate}: {one.pairs:,}")]
    if (others := pairs - sum(counts.values())) > 0:
        made += page.wrap(f"and {others:,} in other cells")
    return made
