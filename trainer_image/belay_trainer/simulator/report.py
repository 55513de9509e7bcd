"""A fit in words, as JSON, and as the block that a job has in the place of the one that was searched."""

import json
from collections.abc import Iterator
from typing import Any

from belay_trainer.simulator.fit import Fit, FitRequest, FittedParameter

DIGITS = 6  # of numbers that are pasted


def as_text(request: FitRequest, fit: Fit) -> str:
    """Return what people read."""
    return "\n".join(_lines(request, fit))


def as_json(request: FitRequest, fit: Fit, *, sha256: str) -> bytes:
    """Return what programs read. Args: sha256: Hex, of the dataset."""
    held_out = fit.held_out
    facts = {
        "environment": {"id": request.task.id, "kwargs": request.task.kwargs},
        "dataset": {"path": str(request.dataset), "sha256": sha256},
        "transitions": fit.transitions,
        "episodes": fit.episodes,
        "confidence": request.confidence,
        "seed": request.seed,
        "parameters": {one.parameter.name: _facts(one) for one in fit.parameters},
        "heldOut": {
            "transitions": held_out.transitions,
            "episodes": held_out.episodes,
            "madeWith": held_out.made_with,
            "fitted": held_out.fitted,
            "meanSquareGain": [held_out.gain_low, held_out.gain_high],
        },
        "leftOut": list(fit.left_out),
    }
    return (json.dumps(facts, indent=1) + "\n").encode()


def as_yaml(fit: Fit) -> str:
    """Return the block to paste: intervals, and the range that was searched where the log does not tell."""
    lines = ["environment:", "  randomize:"]
    for one in fit.parameters:
        searched = one.parameter
        ends = (searched.low, searched.high) if one.unknown is not None else (one.low, one.high)
        low, high = (_number(end) for end in ends)
        why = "the log does not tell it" if one.unknown is not None else f"best {_number(one.value)}"
        lines.append(f"    {searched.name}: {{{searched.scale}: [{low}, {high}]}}  # {why}")
    return "\n".join(lines) + "\n"


def _lines(request: FitRequest, fit: Fit) -> Iterator[str]:
    percent = f"{100 * request.confidence:g} %"
    yield (
        f"{request.task.id}, fitted to {fit.transitions:,} timesteps of {fit.episodes:,} episodes; intervals of "
        f"{percent} by episodes drawn again."
    )
    width = max(len(one.parameter.name) for one in fit.parameters)
    for one in fit.parameters:
        name = f"{one.parameter.name:<{width}}"
        by_itself = "" if one.made_with is None else f", the simulator's own is {one.made_with:.5g}"
        if one.unknown is not None:
            yield f"  {name}  cannot be told: {one.unknown}{by_itself}"
            continue
        yield f"  {name}  {one.value:.5g} ({one.low:.5g} to {one.high:.5g}){by_itself}{_end(one)}"
    held_out = fit.held_out
    yield (
        f"One timestep ahead in {held_out.episodes:,} episodes that were held back, the simulator by itself misses by "
        f"{held_out.made_with:.4g} standard deviations, fitted by {held_out.fitted:.4g}: {_verdict(fit)}."
    )
    if fit.left_out:
        yield f"Numbers of an observation that never change were left out: {', '.join(map(str, fit.left_out))}."
    yield from fit.notes


def _verdict(fit: Fit) -> str:
    if fit.held_out.gain_low > 0:
        return "the fit is better"
    return "the fit is worse" if fit.held_out.gain_high < 0 else "no difference can be told"


def _end(one: FittedParameter) -> str:
    return "; it is at the end of its range: widen that" if one.at_end else ""


def _facts(one: FittedParameter) -> dict[str, Any]:
    told = one.unknown is None
    return {
        "value": one.value if told else None,
        "low": one.low if told else None,
        "high": one.high if told else None,
        "unknown": one.unknown,
        "atEndOfRange": one.at_end,
        "madeWith": one.made_with,
        "searched": {one.parameter.scale: [one.parameter.low, one.parameter.high]},
    }


def _number(value: float) -> str:
    return f"{value:.{DIGITS}g}"
