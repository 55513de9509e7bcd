"""The steps, with a mark at the one under way and what was found at those that found something."""

from collections.abc import Mapping
from typing import Any

from belay_api.rollout.spec import BakeSpec
from belay_api.units import format_duration
from belay_cli.rollout.page import Page, Rollout, length

DONE, NOW, SKIPPED, TO_COME = "✓", "▶", "-", "·"
_NAMES = {"duration": "for"}  # of a step's fields, as a sentence has them
_BY_ITSELF = {"first": "the first version: all traffic, once it is loaded", "promote": "all traffic at once"}


def lines(rollout: Rollout, page: Page) -> list[str]:
    """A line for each step, and what its Job or its shadow found."""
    status, steps = rollout.status, rollout.steps
    progression, step = status.progression, status.step
    said = [progression.source] if progression is not None else []
    said += ["of the next trial"] if status.candidate is None else []
    made = [page.paint("Steps", "bold") + (f"  ({', '.join(said)})" if said else "")]
    if step is not None and step.kind in _BY_ITSELF:
        return [
            *made,
            page.paint(f"  {NOW} {_BY_ITSELF[step.kind]}", "bold") + f"   {length(page.now - step.started_at)} so far",
        ]
    bake = (rollout.spec.get("bake") or {}).get("duration") or format_duration(BakeSpec().duration)
    skipped = {one.index: one.command for one in status.skipped}
    for index, words in enumerate([*map(describe, steps), f"bake {bake}, with all traffic"]):
        mark = TO_COME if step is None else DONE if index < step.index else NOW if index == step.index else TO_COME
        if index in skipped and mark == DONE:
            mark = SKIPPED
        number = f"{index + 1:>2}" if index < len(steps) else "  "
        line = f"  {mark} {number}  {words}"
        if mark == NOW and step is not None:
            line = f"{page.paint(line, 'bold')}   {length(page.now - step.started_at)} so far"
        elif mark == SKIPPED:
            line += f"   skipped by skip@{skipped[index]}"
        made.append(line)
        made += _found(rollout, page, index)
    return made


def describe(step: Mapping[str, Any]) -> str:
    """Return a step in a line, whatever its kind.

    >>> describe({"setWeight": 5}), describe({"analyze": {"timeout": "2h"}})
    ('setWeight 5', 'analyze timeout 2h')
    """
    ((kind, said),) = step.items()
    words = (
        ", ".join(f"{_NAMES.get(key, key)} {_value(value)}" for key, value in said.items())
        if isinstance(said, Mapping)
        else said
    )
    return f"{kind} {words}".rstrip()


def _value(said: Any) -> str:
    if isinstance(said, list):
        return " and ".join(map(_value, said))
    if isinstance(said, Mapping):
        return f"{said['name']}: {said['value']}" if set(said) == {"name", "value"} else f"({', '.join(said)})"
    return str(said)


def _found(rollout: Rollout, page: Page, index: int) -> list[str]:
    """What the Job of the step found, in its own words."""
    made: list[str] = []
    for one in rollout.status.judgements:
        if one.step == index:
            verdict = f"{one.verdict}: " if one.verdict is not None else ""
            made += page.wrap(f"{verdict}{one.message}", indent=4)
    approval = rollout.status.step.approval if rollout.status.step is not None else None
    if approval is not None and approval.step == index:
        made += page.wrap(f"approved by approve@{approval.command}, {page.ago(approval.at)}", indent=4)
    return made
