"""How people lay episodes out in a pickle: all timesteps behind one another, or a list with a mapping for each episode.

    {"observations": (n, …), "actions": (n, …), "rewards": (n,), "terminals": (n,), "timeouts": (n,), …}     as D4RL
    [{"observations": (T, …), "actions": (T, …), "rewards": (T,), "terminals": (T,), …}, …]     as Decision Transformer

Where one file says `dones` for an end of either kind, nobody can tell a task that ended from a clock that ran out; but
what is learned differs by it. So that is asked, and not guessed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from belay_api.words import nearest
from belay_trainer.converting.pickles import Unread
from belay_trainer.datasets.dataset import Dataset
from belay_trainer.errors import BadConfiguration

NAMES: dict[str, tuple[str, ...]] = {
    "observations": ("observations", "observation", "obs", "states", "state"),
    "actions": ("actions", "action", "acts"),
    "rewards": ("rewards", "reward", "rews"),
    "terminated": ("terminals", "terminal", "terminations", "terminated"),
    "truncated": ("timeouts", "timeout", "truncations", "truncated"),
    "dones": ("dones", "done"),
    "next_observations": ("next_observations", "next_observation", "next_obs", "next_states", "next_state"),
    "propensities": ("propensities", "propensity"),
}
"""What fields are called, by what they are here. Of several the first is meant: a simulator has a `state` as well."""
REQUIRED = ("observations", "actions", "rewards")


@dataclass(frozen=True, slots=True)
class _Rows:
    """Timesteps behind one another, of one episode or of many."""

    observations: np.ndarray  # (rows, *observation)
    actions: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray  # (rows,) bool
    truncated: np.ndarray  # (rows,) bool: cut, or where it goes on is not what came next
    following: np.ndarray | None  # (rows, *observation); None: nobody logged it
    propensities: np.ndarray | None


def episodes_of(content: Any, *, dones: str | None, source: str) -> Dataset:
    """Return the episodes in what a pickle held.

    Args:
        dones: What a field `dones` says: `terminated`, that each end is the task's, or `truncated`, that none is; None:
            nobody says, and there must be no such field, unless another says which ends were cut.
    Raises: BadConfiguration naming the field.
    """
    if isinstance(content, Mapping):
        rows, left_out = _rows(content, dones=dones, source=source)
        whole = [rows]
    elif isinstance(content, Sequence) and content and all(isinstance(one, Mapping) for one in content):
        read = [_rows(one, dones=dones, source=f"{source}: episode {place}") for place, one in enumerate(content)]
        whole, left_out = [_ended(rows) for rows, _ in read], {name for _, names in read for name in names}
    else:
        raise BadConfiguration(
            f"{source} holds {_kind(content)}, wanted a mapping of arrays, or a list with such a mapping for each "
            f"episode: {', '.join(REQUIRED)}, and terminals."
        )
    rows, cuts = _joined(whole, source), 0
    gaps = np.zeros(len(rows.rewards), dtype=bool)
    if rows.following is not None and isinstance(content, Mapping):
        ended = rows.terminated | rows.truncated
        gaps[:-1] = _differ(rows.following[:-1], rows.observations[1:]) & ~ended[:-1]
        cuts = int(gaps.sum())
    last = np.flatnonzero(rows.terminated | rows.truncated | gaps | (np.arange(len(gaps)) == len(gaps) - 1))
    notes = [f"Fields that were left out: {', '.join(sorted(left_out))}."] if left_out else []
    if cuts:
        notes.append(
            f"{cuts} episodes end where no field says so, for another observation than the next one follows: they "
            "count as truncated."
        )
    return Dataset(
        observations=rows.observations,
        actions=rows.actions,
        rewards=rows.rewards,
        starts=np.concatenate([[0], last + 1]).astype(np.intp),
        terminated=rows.terminated[last],
        ids=tuple(f"{number:08d}" for number in range(len(last))),
        propensities=rows.propensities,
        last_observations=None if rows.following is None else rows.following[last],
        notes=tuple(notes),
    )


def _rows(fields: Mapping[Any, Any], *, dones: str | None, source: str) -> tuple[_Rows, set[str]]:
    """Return the timesteps in a mapping, and the names in it that are not used."""
    found = {ours: there[0] for ours, names in NAMES.items() if (there := [name for name in names if name in fields])}
    left_out = {str(name) for name in fields} - set(found.values())
    for ours in REQUIRED:
        if ours not in found:
            close = nearest(ours, left_out)
            raise BadConfiguration(
                f"{source}: there is no field {ours}"
                + (f"; there is {close!r}: rename it." if close else f", but {_listed(fields)}.")
            )
    arrays = {ours: _array(fields[name], f"{source}: {name}") for ours, name in found.items()}
    length = len(arrays["rewards"])
    if not length:
        raise BadConfiguration(f"{source}: {found['rewards']} is empty: leave this episode out.")
    for ours in ("rewards", "propensities"):
        if ours in arrays and arrays[ours].size != len(arrays[ours]):
            shape = arrays[ours].shape
            raise BadConfiguration(f"{source}: {found[ours]} have the shape {shape}, wanted one number a timestep.")
    rewards = arrays["rewards"].astype(np.float64)
    observations, following = arrays["observations"], arrays.get("next_observations")
    if len(observations) == length + 1:  # the last one followed the last action
        following, observations = (observations[1:] if following is None else following), observations[:-1]
    terminated, truncated = _ends(arrays, length, dones=dones, source=source)
    rows = _Rows(
        observations,
        _choices(arrays["actions"]),
        rewards.reshape(length),
        terminated,
        truncated,
        following,
        arrays.get("propensities"),
    )
    for name in ("observations", "actions", "rewards", "terminated", "truncated", "following", "propensities"):
        values = getattr(rows, name)
        if values is not None and len(values) != length:
            raise BadConfiguration(f"{source}: {name} has {len(values)} rows, wanted {length}: one for each reward.")
    if rows.following is not None and rows.following.shape != rows.observations.shape:
        raise BadConfiguration(
            f"{source}: {found.get('next_observations', 'next_observations')} have the shape {rows.following.shape}, "
            f"wanted that of the observations, {rows.observations.shape}."
        )
    return rows, left_out


def _ends(
    arrays: Mapping[str, np.ndarray], length: int, *, dones: str | None, source: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return where the task ended, and where an episode was cut; each (rows,)."""
    flags = {name: _flags(arrays[name], length) for name in ("terminated", "truncated", "dones") if name in arrays}
    nowhere = np.zeros(length, dtype=bool)
    cut, either = flags.get("truncated", nowhere), flags.get("dones")
    if "terminated" in flags:
        return flags["terminated"], cut if either is None else cut | (either & ~flags["terminated"])
    if either is None:
        if "truncated" not in flags:
            raise BadConfiguration(f"{source}: no field says where episodes end, such as terminals and timeouts.")
        return nowhere, cut
    if "truncated" in flags:
        return either & ~cut, cut
    if dones is None:
        raise BadConfiguration(
            f"{source}: dones may be ends of the task, after which nothing is worth anything, or cuts, after which it "
            "would have gone on, and what is learned differs. Say --dones terminated or --dones truncated, or log "
            "terminals and timeouts."
        )
    return (either, nowhere) if dones == "terminated" else (nowhere, either)


def _ended(rows: _Rows) -> _Rows:
    """Return the timesteps of one episode, the last of which ends it."""
    truncated = rows.truncated.copy()
    truncated[-1] |= not rows.terminated[-1]
    return replace(rows, truncated=truncated)


def _joined(whole: Sequence[_Rows], source: str) -> _Rows:
    def of(name: str) -> Any:
        values = [getattr(rows, name) for rows in whole]
        if any(one is None for one in values):
            if not all(one is None for one in values):
                raise BadConfiguration(f"{source}: some episodes have {name}, and others have not: log them all.")
            return None
        shapes = sorted({one.shape[1:] for one in values})
        if len(shapes) > 1:
            raise BadConfiguration(f"{source}: {name} have different shapes, {shapes[0]} and {shapes[1]}.")
        return np.concatenate(values)

    return _Rows(**{name: of(name) for name in _Rows.__slots__})


def _array(value: Any, source: str) -> np.ndarray:
    if isinstance(value, Unread):
        raise BadConfiguration(f"{source} is {value.what}, wanted numbers.")
    if isinstance(value, Mapping):
        raise BadConfiguration(f"{source} is made of {_listed(value)}: flatten it into one array.")
    try:
        found = np.asarray(value)
    except ValueError as error:
        raise BadConfiguration(f"{source}: its rows have different lengths: {error}.") from error
    if found.dtype.kind not in "biuf":
        raise BadConfiguration(f"{source} holds {_kind(value)}, wanted numbers.")
    if not found.ndim:
        found = found.reshape(1)  # a flag of a whole episode
    return found.astype(np.float32) if found.dtype == np.float16 else found  # which the reader of Parquet has not


def _flags(values: np.ndarray, length: int) -> np.ndarray:
    flags = values.reshape(-1).astype(bool)
    if len(flags) == 1 and length > 1:  # of the whole episode
        flags = np.concatenate([np.zeros(length - 1, dtype=bool), flags])
    return flags


def _choices(actions: np.ndarray) -> np.ndarray:
    whole = actions.astype(np.int64) if actions.dtype.kind == "b" else actions
    return whole[:, 0] if whole.ndim == 2 and whole.shape[1] == 1 and whole.dtype.kind in "iu" else whole


def _differ(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    same = (a == b) | (np.isnan(a) & np.isnan(b)) if a.dtype.kind == "f" else a == b
    return ~same.reshape(len(same), -1).all(axis=1)


def _kind(value: Any) -> str:
    return value.what if isinstance(value, Unread) else f"a {type(value).__name__}"


def _listed(names: Mapping[Any, Any]) -> str:
    return ", ".join(str(name) for name in list(names)[:12]) or "nothing"
