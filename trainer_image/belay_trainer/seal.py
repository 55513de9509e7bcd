"""A checkpoint is a pickle: whoever writes one that we read runs code in this pod. So each carries a seal.

    belay-seal/1\\n · id of the key (8 bytes) · HMAC-SHA256 (32 bytes) · the checkpoint

The MAC is made with the job's key, which only pods of this job have. It covers all other bytes, the seed's index and
the timestep, so a checkpoint is good at the one place that it was saved for. Equal checkpoints have equal seals.

A pod without a key seals nothing and demands no seal: its Job was made by an earlier version, or it runs on somebody's
own machine. What is sealed is then not read either, for nobody could say whether it is whole.
"""

import hmac
import logging
from dataclasses import dataclass, field
from pathlib import Path

from belay_api.job_keys import KEY_BYTES
from belay_trainer.errors import BadConfiguration

MARK = b"belay-seal/1\n"  # no pickle begins with it
ID_BYTES, MAC_BYTES = 8, 32
HEADER = len(MARK) + ID_BYTES + MAC_BYTES
log = logging.getLogger(__name__)


class Unsealed(Exception):
    """Bytes that must not be unpickled; the message goes on after "checkpoint of timestep n"."""


@dataclass(frozen=True, slots=True)
class Seal:
    """What one seed of a job seals its checkpoints with."""

    key: bytes | None = field(repr=False)  # the job's; None: nothing is sealed, and no seal is demanded
    index: int  # the seed's place in the job

    def seal(self, blob: bytes, *, step: int) -> bytes:
        """Return the seal of a timestep's checkpoint, which stands before it; without a key it is empty.

        Apart from the checkpoint, which may hold a gigabyte of replay and is not copied for it.
        """
        if self.key is None:
            return b""
        head = MARK + _id(self.key)
        return head + _mac(self.key, head, blob, index=self.index, step=step)

    def open(self, sealed: bytes, *, step: int) -> bytes:
        """Return the checkpoint behind a seal for that timestep. Raises: Unsealed."""
        if self.key is None:
            if sealed.startswith(MARK):
                raise Unsealed("is sealed with a key that this pod was not given")
            return sealed
        head, mac = sealed[: HEADER - MAC_BYTES], sealed[HEADER - MAC_BYTES : HEADER]
        if not head.startswith(MARK):
            raise Unsealed("is not sealed: no pod that has this job's key wrote it")
        if head != MARK + _id(self.key):
            raise Unsealed("is sealed with another key than this job's")
        blob = memoryview(sealed)[HEADER:]
        if not hmac.compare_digest(mac, _mac(self.key, head, blob, index=self.index, step=step)):
            raise Unsealed(f"was not sealed as timestep {step} of seed index {self.index}, or was changed since")
        return bytes(blob)


def read_key(path: Path) -> bytes | None:
    """Return the job's key; None where this pod was given none, which is said.

    Raises: BadConfiguration when the file holds something else.
    """
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        log.warning("%s is not there: checkpoints are not sealed, and are read from whoever wrote them", path)
        return None
    except OSError as error:
        raise BadConfiguration(f"{path} cannot be read: {error}. It must be readable for this pod's user.") from error
    if len(key) != KEY_BYTES:
        raise BadConfiguration(
            f"{path} holds {len(key)} bytes, wanted {KEY_BYTES}: the job's Secret was not made by Belay. Delete it and "
            "create the job under another name."
        )
    return key


def _mac(key: bytes, head: bytes, blob: bytes | memoryview, *, index: int, step: int) -> bytes:
    mac = hmac.new(key, b"%b%d/%d\n" % (head, index, step), "sha256")
    mac.update(blob)
    return mac.digest()


def _id(key: bytes) -> bytes:
    return hmac.digest(key, b"belay key id", "sha256")[:ID_BYTES]
