"""The columns of a dataset by name: the contract of `docs/reference/dataset.md`, for files with one row per timestep.

The names are the vocabulary's; HDF5 has Minari's plural ones, because it is Minari's layout.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from belay_api.words import nearest
from belay_trainer.errors import BadConfiguration


@dataclass(frozen=True, slots=True)
class Column:
    """What a column holds, of each timestep."""

    required: bool
    holds: str


COLUMNS = {
    "episode": Column(True, "text or whole number: which episode"),
    "step": Column(True, "whole number: the place in the episode, from 0, without gaps; rows may stand in any order"),
    "observation": Column(True, "number, or list of numbers of one length: what the policy saw; flattened, row-major"),
    "action": Column(True, "whole number for a discrete space; number, or list of numbers of one length, for a box"),
    "reward": Column(True, "number: what followed the action"),
    "terminated": Column(True, "boolean: the task ended the episode after this step"),
    "truncated": Column(True, "boolean: the episode was cut from outside after this step"),
    "propensity": Column(
        False,
        "number: how likely the policy that acted was to take this action; a probability, or a density for a box",
    ),
    "next_observation": Column(
        False,
        "as `observation`: what followed; needed only in the last row of a truncated episode, else it may be null",
    ),
    "time": Column(False, "timestamp, or number of seconds since 1970: when the action was taken"),
    "policy": Column(False, "text: which policy acted, for people; not read"),
    "seed": Column(False, "whole number: reset seed of the episode, for people; not read"),
}
"""In the order of the reference page."""
FOR_PEOPLE = ("policy", "seed")
"""Columns that nothing is computed from."""
COST = "cost."
"""Before the name of a constraint: a column of what each timestep cost by it. Kept, and not read."""


def other_columns(present: Iterable[str], *, source: str) -> list[str]:
    """Return those of `present` that are no column of ours.

    Raises: BadConfiguration when a required column is missing, or an optional one is and another has nearly its name.
    """
    found = list(present)
    unknown = [name for name in found if name not in COLUMNS and not name.startswith(COST)]
    for name, column in COLUMNS.items():
        if name in found:
            continue
        close = nearest(name, unknown)
        if column.required:
            hint = f"there is `{close}`: rename it." if close else f"there are {', '.join(found) or 'none'}."
            raise BadConfiguration(f"{source}: column `{name}` ({column.holds}) is missing; {hint}")
        if close and name not in FOR_PEOPLE:
            raise BadConfiguration(
                f"{source}: column `{close}` is not known; did you mean `{name}` ({column.holds})? "
                "Rename it, or give it a name that is less like it."
            )
    return unknown
