"""Returns as a picture: a row for each kind of episodes, a dot for each episode, and their mean."""

import io
from collections.abc import Mapping

import numpy as np

from belay_trainer.validation.bounds import Floats

DOT, MEAN = "#1f6feb", "#d1242f"
HEIGHT = 0.25  # of a row's cloud of dots, in rows


def picture(returns: Mapping[str, Floats], *, title: str) -> bytes:
    """Return a PNG. Args: returns: By what was disturbed, the undisturbed ones first."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - takes a second, and only who draws needs it

    figure = Figure(figsize=(8, 1.2 + 0.45 * len(returns)), layout="constrained")
    axes = figure.add_subplot()
    for place, values in enumerate(returns.values()):
        height = place + HEIGHT * np.linspace(-1, 1, len(values))  # apart, where many are equal
        axes.plot(values, height, ".", color=DOT, alpha=0.4, markersize=4)
        axes.plot([values.mean()], [place], "d", color=MEAN, label="mean" if place == 0 else None)
    axes.set_yticks(range(len(returns)), list(returns))
    axes.set_ylim(len(returns) - 0.5, -0.5)
    axes.set_xlabel("return of an episode")
    axes.set_title(title, loc="left", fontsize=10)
    axes.legend(loc="best", frameon=False, fontsize=8)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=120)
    return drawn.getvalue()
