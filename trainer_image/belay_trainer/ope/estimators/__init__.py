"""How to estimate: one file each, and a line here."""

from belay_trainer.ope.estimators import dr, episode_is, fqe, pdis, wdr, wis, wpdis
from belay_trainer.ope.estimators.estimator import Estimator

ESTIMATORS: dict[str, Estimator] = {
    "wdr": wdr,
    "dr": dr,
    "wpdis": wpdis,
    "wis": wis,
    "pdis": pdis,
    "is": episode_is,
    "fqe": fqe,
}
"""By name, and in the order in which one is preferred to the next: of those that can be judged, the first speaks."""
