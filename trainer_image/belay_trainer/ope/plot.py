"""A judgement as a picture: the return and its interval by each estimator that counts, beside the logged return."""

from pathlib import Path

from belay_trainer.ope.judge import Judgement

LOGGED, TARGET = "#888888", "#1f6feb"


def draw(judgement: Judgement, path: Path) -> bool:
    """Write a PNG; False: matplotlib is not installed here, and nothing is written."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415  slow, and in the image only
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError:
        return False
    figure = Figure(figsize=(7, 1.2 + 0.4 * (len(judgement.estimates) + 1)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    names = []
    for place, one in enumerate(judgement.estimates):
        names.append(one.estimator)
        if one.found is None:
            axes.text(0.5, place, "cannot be judged", transform=axes.get_yaxis_transform(), color=LOGGED,
                      ha="center", va="center", style="italic")  # fmt: skip
        else:
            axes.plot([one.found.low, one.found.high], [place, place], color=TARGET, linewidth=2)
            axes.plot([one.found.value], [place], "o", color=TARGET)
    logged = judgement.logged
    axes.axvspan(logged.low, logged.high, color=LOGGED, alpha=0.25)
    axes.axvline(logged.value, color=LOGGED, label="logged policy")
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlabel(f"return, discounted by {judgement.discount:g} ({judgement.confidence:.0%} intervals)")
    axes.legend(loc="best", frameon=False)
    figure.savefig(path, dpi=150)
    return True
