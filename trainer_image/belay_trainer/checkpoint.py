"""What a training resumes from: named parts, each with its own digest, in one blob.

    belay-checkpoint 2 · length of the head, 8 bytes · head: JSON, name, size and sha256 of each part · the parts

Weights, optimisers, counters, replay and random state are parts that cannot be done without. The environments are one
as well, in the middle of their episodes: where they cannot be pickled or read, a resumed run begins new episodes, and
loses nothing else. Each part is a pickle of its own, so no two may share an object.

Bit-exact for the same image, one thread, a CPU and environments that pickle. Everywhere else, and where a collection
had to be cut, the run is merely continued.
"""

import hashlib
import json
import logging
from dataclasses import dataclass
from typing import Any

import cloudpickle

MAGIC = b"belay-checkpoint 2\n"
COLLECTION = "collection"
_LENGTH = 8  # bytes
log = logging.getLogger(__name__)


class Unusable(Exception):
    """A blob, or a part of one, that this version cannot resume from."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The parts of a blob whose digest was checked; none is unpickled yet."""

    parts: dict[str, bytes]

    def read(self) -> dict[str, Any]:
        """Return every part but the environments. Raises: Unusable."""
        return {name: self._unpickled(name) for name in self.parts if name != COLLECTION}

    def collection(self) -> Any | None:
        """Return the environments; None: they are not there, or cannot be read, which is said."""
        if COLLECTION not in self.parts:
            return None
        try:
            return self._unpickled(COLLECTION)
        except Unusable as error:
            log.warning("the environment of the checkpoint %s: new episodes begin", error)
            return None

    def _unpickled(self, name: str) -> Any:
        try:
            return cloudpickle.loads(self.parts[name])
        except Exception as error:  # a pickle of other package versions fails in any way it likes
            raise Unusable(f"cannot be unpickled ({name}): {type(error).__name__}: {error}") from error


def pack(state: dict[str, Any], collection: Any | None) -> bytes:
    """Return the blob of a training that stands before its next collection.

    Args:
        state: By part.
        collection: The environments; None: they are left out.
    """
    parts = {name: cloudpickle.dumps(value) for name, value in state.items()}
    if collection is not None:
        try:
            parts[COLLECTION] = cloudpickle.dumps(collection)
        except Exception as error:  # whatever an environment's own pickling raises
            log.warning("the environment cannot be pickled (%s): a resumed run starts new episodes", error)
    entries = [
        {"name": name, "size": len(part), "sha256": hashlib.sha256(part).hexdigest()} for name, part in parts.items()
    ]
    head = json.dumps(entries).encode()
    return b"".join((MAGIC, len(head).to_bytes(_LENGTH, "big"), head, *parts.values()))


def unpack(blob: bytes) -> Checkpoint:
    """Return the parts of a blob. Raises: Unusable."""
    if not blob.startswith(MAGIC):
        raise Unusable("is of another format")
    at = len(MAGIC) + _LENGTH
    size = int.from_bytes(blob[len(MAGIC) : at], "big")
    parts = {}
    try:
        entries = json.loads(blob[at : at + size])
        at += size
        for entry in entries:
            part = blob[at : at + entry["size"]]
            at += entry["size"]
            if hashlib.sha256(part).hexdigest() != entry["sha256"]:
                raise Unusable(f"is damaged in its part {entry['name']}")
            parts[entry["name"]] = part
    except (ValueError, KeyError, TypeError) as error:
        raise Unusable(f"has no readable head: {error}") from error
    return Checkpoint(parts)
