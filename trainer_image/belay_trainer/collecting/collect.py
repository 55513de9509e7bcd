"""A whole collection: played in parts, taken up where it was cut, joined into one file.

    log.parquet.parts/collection.json    what is collected, artifacts and controllers by digest
    log.parquet.parts/00000000.parquet   the first hundred episodes, and so on; each whole or absent
    log.parquet                          all of them, once there are all; the parts are gone then

The last may be a folder of Minari's instead. A part plays in an environment of its own, so a part is the same whoever
plays it.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from belay_trainer import environments, masks
from belay_trainer.collecting import minari, parquet
from belay_trainer.collecting.collection import CollectionSpec
from belay_trainer.collecting.play import Episode, Log, play
from belay_trainer.collecting.policies import BehaviourPolicy, behaviour_of
from belay_trainer.collecting.summary import summary
from belay_trainer.errors import BadConfiguration, EnvironmentFailed
from belay_trainer.files import write_atomically
from belay_trainer.wrapping.info import check_keys

PART = 100  # episodes
_COLLECTION = "collection.json"


@dataclass(frozen=True, slots=True)
class Collected:
    """What a call of `collect` did."""

    played: int  # episodes, in this call
    found: int  # episodes that were there
    summary: tuple[str, ...] = ()  # what the policies came to, a line each; empty: all was there before


def collect(spec: CollectionSpec, out: Path, *, told: Callable[[int], None] = lambda _: None) -> Collected:
    """Write the collection to `out`, or what is left of it to play.

    Args:
        out: A Parquet file, by its suffix, or else the folder of a Minari dataset.
        told: Called with how many episodes are there, after each part.
    Raises: BadConfiguration, also when another collection lies there.
    """
    behaviours, log = _prepare(spec)
    layout = parquet if out.suffix == parquet.SUFFIX else minari
    parts = out.with_name(f"{out.name}.parts")
    if out.exists():
        _check_same(layout.said(out), log, out)
        shutil.rmtree(parts, ignore_errors=True)  # of a process that was killed before it could
        return Collected(0, spec.episodes)
    _begin(parts, log)
    found, paths = 0, []
    for first in range(0, spec.episodes, PART):
        numbers, path = range(first, min(first + PART, spec.episodes)), parts / f"{first:08d}{parquet.SUFFIX}"
        paths.append(path)
        if path.exists():
            found += len(numbers)
        else:
            write_atomically(path, parquet.as_parquet(_play(numbers, spec, behaviours), log))
        told(numbers.stop)
    layout.join(paths, out, log)
    lines = summary(paths)
    shutil.rmtree(parts)
    return Collected(spec.episodes - found, found, lines)


def _prepare(spec: CollectionSpec) -> tuple[list[BehaviourPolicy], Log]:
    """Return who plays, by policy, and what the file says of itself, after a look at the environment."""
    probe = environments.maker(spec.environment)()
    environments.check_spaces(probe)
    environments.check_wrappers(probe)
    environments.check_arrays(probe, "environment: a dataset holds")
    environments.try_out(probe)
    _check_unmasked(probe)
    check_keys(probe, spec.environment)
    behaviours = [behaviour_of(one, probe, field=f"policies[{place}]") for place, one in enumerate(spec.policies)]
    probe.close()
    said = {
        "collection": spec.said(),
        "sources": {one.label: behaviour.source for one, behaviour in zip(spec.policies, behaviours, strict=True)},
        "packages": {name: version(name) for name in ("gymnasium", "numpy")},
    }
    names = tuple(one.name for one in spec.environment.constraints)
    return behaviours, Log(probe.observation_space, probe.action_space, names, json.dumps(said, sort_keys=True))


def _check_unmasked(environment: environments.Environment) -> None:
    """Check that every action may be tried. Raises: BadConfiguration."""
    if environment.has_wrapper_attr(masks.METHOD):
        raise BadConfiguration(
            f"environment.id: the task forbids actions ({masks.METHOD}()), and a dataset has no column that tells "
            "which: what was forbidden would look like what was never tried. Collect where a forbidden action is "
            "allowed and does nothing."
        )


def _play(numbers: range, spec: CollectionSpec, behaviours: list[BehaviourPolicy]) -> list[Episode]:
    environment, episodes = environments.maker(spec.environment)(), []
    for number in numbers:
        try:
            episodes.append(play(number, spec, behaviours, environment))
        except EnvironmentFailed as failed:
            raise EnvironmentFailed(f"episode {number}: {failed.what}", failed.error) from failed.error
    environment.close()
    return episodes


def _begin(parts: Path, log: Log) -> None:
    kept = parts / _COLLECTION
    if kept.exists():
        _check_same(kept.read_text(), log, parts)
    else:
        write_atomically(kept, log.said.encode())


def _check_same(there: str | None, log: Log, path: Path) -> None:
    if there != log.said:
        raise BadConfiguration(
            f"--out: {path} holds another collection, or the same with other policies or versions: name another file, "
            "or delete it."
        )
