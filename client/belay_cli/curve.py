"""`kubectl belay curve JOB`: how a training went, as a plot with a band over its seeds.

In three layers, as everything that Belay shows: a sentence, a picture, numbers.
"""

import textwrap
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import Any

import httpx

from belay_api.units import format_duration
from belay_api.wire import Curve, Curves
from belay_cli import plot
from belay_cli.errors import Failed
from belay_cli.kubectl import Kubectl
from belay_cli.logbook import NothingTold, read_curves

DEFAULT_METRIC = "return"
NAMED_SEEDS = 8  # a line each in the numbers; of more seeds the lowest and the highest are told
_POINTS_PER_COLUMN = 4  # the lowest and the highest of half a column


def run(
    kubectl: Kubectl,
    *,
    job: str,
    namespace: str | None,
    metric: str | None,
    logbook_url: str | None,
    system_namespace: str,
    columns: int,
    now: datetime,
) -> str:
    """Return what to print. Raises: Failed."""
    namespace = namespace or kubectl.namespace()
    training = kubectl.training(namespace, job)
    if _looks_for_settings(training):
        raise Failed(_no_seed_yet(training))
    token = kubectl.token(namespace)
    with ExitStack() as stack:
        url = logbook_url or stack.enter_context(kubectl.logbook(system_namespace))
        headers = {"authorization": f"Bearer {token}"}
        # A proxy of the environment is for addresses of others, not for our own port-forward.
        client = stack.enter_context(httpx.Client(base_url=url, headers=headers, trust_env=logbook_url is not None))
        points = _POINTS_PER_COLUMN * columns
        try:
            found = read_curves(
                client, namespace, training["metadata"]["uid"], metric=metric or DEFAULT_METRIC, points=points
            )
        except NothingTold as error:
            raise Failed(_nothing_told(training)) from error
    if not found.items:
        raise Failed(f"{job}: no seed has told of {found.metric} since it began anew; look again in a moment")
    return render(found, job=job, first_seed=_first_seed(training), columns=columns, now=now)


def render(found: Curves, *, job: str, first_seed: int, columns: int, now: datetime) -> str:
    """Return the curve as text. Pure.

    Args:
        found: With at least one seed.
        first_seed: Seed of index 0.
        columns: Width of the terminal.
    """
    series = [list(zip(one.steps, one.values, strict=True)) for one in found.items]
    count = len(series)
    key = f"{plot.LINE} mean of {count} seeds   {plot.BAND} lowest to highest" if count > 1 else f"{plot.LINE} one seed"
    title = f"{job}: {found.metric} by timestep"
    lines = [f"{title}{key:>{max(len(key) + 3, columns - len(title))}}", ""]
    lines += plot.draw(series, width=columns)
    lines += ["", *_numbers(found.items, first_seed), _age(found.items, now)]
    others = [name for name in found.metrics if name != found.metric]
    if others:
        lines += textwrap.wrap(f"Other metrics: {', '.join(others)}", columns, break_on_hyphens=False)
    return "\n".join(lines)


def _numbers(curves: Sequence[Curve], first_seed: int) -> list[str]:
    ends = [(one.values[-1], one.steps[-1], first_seed + one.index) for one in curves]
    if len(ends) <= NAMED_SEEDS:
        told = [f"seed {seed}: {plot.number(value)} at timestep {step:,}" for value, step, seed in ends]
    else:
        mean = sum(value for value, _, _ in ends) / len(ends)
        told = [f"{len(ends)} seeds, each at its newest point: mean {plot.number(mean)}"]
        for word, (value, step, seed) in (("lowest", min(ends)), ("highest", max(ends))):
            told.append(f"{word}: {plot.number(value)} at timestep {step:,}, seed {seed}")
    last = max(step for _, step, _ in ends)
    if behind := sum(step < last for _, step, _ in ends):
        told.append(
            f"The mean at a timestep is of the seeds that reach it; {behind} of {len(ends)} have not reached {last:,}."
        )
    return told


def _age(curves: Sequence[Curve], now: datetime) -> str:
    age = max(now - max(one.at[-1] for one in curves), timedelta(0))
    return f"The newest point came {format_duration(timedelta(seconds=round(age.total_seconds())))} ago."


def _first_seed(training: dict[str, Any]) -> int:
    first: int = training["spec"].get("seeds", {}).get("first", 0)
    return first


def _looks_for_settings(training: dict[str, Any]) -> bool:
    return "search" in training["spec"] and "searchedAt" not in training.get("status", {})


def _no_seed_yet(training: dict[str, Any]) -> str:
    search = training.get("status", {}).get("search", {})
    ended = sum(search.get(how, 0) for how in ("finished", "pruned", "failed"))
    return (
        f"{training['metadata']['name']} looks for settings first, so no seed has a curve yet: {ended} of "
        f"{training['spec']['search']['trials']} trials are over. It is {_state(training)}"
    )


def _state(training: dict[str, Any]) -> str:
    status = training.get("status", {})
    ready = next((one for one in status.get("conditions", []) if one["type"] == "Ready"), {})
    return f"{status.get('phase', 'not begun')}{': ' + ready['message'] if ready.get('message') else ''}"


def _nothing_told(training: dict[str, Any]) -> str:
    return (
        f"{training['metadata']['name']} has told the logbook nothing yet, so there is no curve. It is "
        f"{_state(training)}. Its pods tell how far they are "
        "a few seconds after they begin; a job that trained before Belay kept curves has none."
    )
