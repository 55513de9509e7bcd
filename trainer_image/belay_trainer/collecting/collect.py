"""A whole collection: played in parts, taken up where it was cut, joined into one file.

    log.parquet.parts/collection.json    what is collected, artifacts and controllers by digest
    log.parquet.parts/00000000.parquet   the first hundred episodes, and so on; each whole or absent
    log.parquet                          all of them, once there are all; the parts are gone then

A part plays in an environment of its own, so a part is the same whoever plays it.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from belay_trainer import environments
from belay_trainer.collecting.collection import CollectionSpec
from belay_trainer.collecting.parquet import as_parquet, join, read_metadata
from belay_trainer.collecting.play import play
from belay_trainer.collecting.policies import Player, player_of
from belay_trainer.errors import BadConfiguration
from belay_trainer.files import write_atomically
from belay_trainer.wrapping.info import check_keys

PART = 100  # episodes
METADATA = "belay.collection"
"""Key in the file under which stands what was collected, as JSON."""
_COLLECTION = "collection.json"


@dataclass(frozen=True, slots=True)
class Collected:
    """What a call of `collect` did."""

    played: int  # episodes, in this call
    found: int  # episodes that were there


def collect(spec: CollectionSpec, out: Path, *, told: Callable[[int], None] = lambda _: None) -> Collected:
    """Write the collection to `out`, or what is left of it to play.

    Args:
        told: Called with how many episodes are there, after each part.
    Raises: BadConfiguration, also when another collection lies there.
    """
    players = _players(spec)
    said = json.dumps(_said(spec, players), sort_keys=True)
    parts = out.with_name(f"{out.name}.parts")
    if out.exists():
        _check_same(read_metadata(out).get(METADATA), said, out)
        shutil.rmtree(parts, ignore_errors=True)  # of a process that was killed before it could
        return Collected(0, spec.episodes)
    _begin(parts, said)
    found, paths = 0, []
    for first in range(0, spec.episodes, PART):
        numbers, path = range(first, min(first + PART, spec.episodes)), parts / f"{first:08d}.parquet"
        paths.append(path)
        if path.exists():
            found += len(numbers)
        else:
            write_atomically(path, _part(numbers, spec, players, said))
        told(numbers.stop)
    join(paths, out)
    shutil.rmtree(parts)
    return Collected(spec.episodes - found, found)


def _players(spec: CollectionSpec) -> list[Player]:
    """Return who plays, by policy, after a look at the environment."""
    probe = environments.maker(spec.environment)()
    environments.check_spaces(probe)
    environments.check_wrappers(probe)
    environments.try_out(probe)
    check_keys(probe, spec.environment)
    players = [player_of(one, probe, field=f"policies[{place}]") for place, one in enumerate(spec.policies)]
    probe.close()
    return players


def _part(numbers: range, spec: CollectionSpec, players: list[Player], said: str) -> bytes:
    environment = environments.maker(spec.environment)()
    episodes = [play(number, spec, players, environment) for number in numbers]
    environment.close()
    return as_parquet(episodes, [one.name for one in spec.environment.constraints], metadata={METADATA: said})


def _said(spec: CollectionSpec, players: list[Player]) -> dict[str, Any]:
    """Return what decides every bit of the collection."""
    return {
        "collection": spec.said(),
        "sources": {one.label: player.source for one, player in zip(spec.policies, players, strict=True)},
        "packages": {name: version(name) for name in ("gymnasium", "numpy")},
    }


def _begin(parts: Path, said: str) -> None:
    kept = parts / _COLLECTION
    if kept.exists():
        _check_same(kept.read_text(), said, parts)
    else:
        write_atomically(kept, said.encode())


def _check_same(there: str | None, said: str, path: Path) -> None:
    if there != said:
        raise BadConfiguration(
            f"--out: {path} holds another collection, or the same with other policies or versions: name another file, "
            "or delete it."
        )
