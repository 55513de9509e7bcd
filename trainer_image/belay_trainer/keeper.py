"""Checkpoints that outlive this process: written here first, brought to the store behind the training's back.

Training waits for the local disk only. A lost store costs nothing but the distance a new pod has to repeat; the newest
checkpoint is brought there when it answers again. What leaves here is sealed, and nothing is handed out whose seal does
not fit: a store is a place that others may write to.
"""

import hashlib
import logging
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from belay_api.wire import CheckpointRef
from belay_trainer import files
from belay_trainer.errors import StoreRefused, StoreUnavailable
from belay_trainer.patience import until_answered
from belay_trainer.seal import Seal, Unsealed
from belay_trainer.stop import Stop
from belay_trainer.store import Store
from belay_trainer.waits import Waits

FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 30.0
TASK = "checkpoints"  # of `Waits`
WAITING, REFUSED = "checkpoints wait for the store", "checkpoints are kept only in this pod"
READING = "the seed waits for its checkpoints in the store"
log = logging.getLogger(__name__)


class Keeper:
    """One seed's checkpoints."""

    def __init__(
        self, folder: Path, store: Store, *, keep: int, seal: Seal | None = None, waits: Waits | None = None
    ) -> None:
        """Set up.

        Args:
            seal: None: nothing is sealed, as in a pod without a key.
            waits: Where it stands that the store takes nothing; None: nobody asks.
        """
        self._folder = folder
        self._store = store
        self._keep = keep
        self._seal = seal or Seal(None, index=0)
        self._waits = waits or Waits()
        self._pending: CheckpointRef | None = None
        self._refused = False  # the store will not take the newest
        self._in_doubt = False  # the store did not answer, and nothing is there yet that would ask it again
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._bring, name="checkpoints", daemon=True)
        self._thread.start()

    def newest(self, stop: Stop, *, patience_s: float) -> Iterator[tuple[CheckpointRef, bytes]]:
        """Yield the intact checkpoints here and in the store, newest step first.

        Args:
            patience_s: How long to wait for a store that does not answer before going on without it: the steps are
                then computed again, which is slower and not wrong.
        Raises: StoreRefused by a store that will never take a checkpoint, before hours are spent on one; Interrupted.
        """
        until = time.monotonic() + patience_s
        asked = partial(
            until_answered, what=READING, away=StoreUnavailable, stop=stop, first_wait_s=FIRST_WAIT_S, hangs=True
        )
        here, there = files.list_checkpoints(self._folder), []
        try:
            there = asked(self._store.checkpoints, patience_s=patience_s)
            self._waits.begin(TASK, WAITING)
            self._store.probe()
            self._waits.end(TASK)
        except StoreUnavailable as error:
            log.warning("going on without a store that takes checkpoints: %s", error)
            self._waits.tell(TASK, WAITING, error)
            with self._changed:
                self._in_doubt = True
                self._changed.notify_all()
        # Of one step the copy here comes first; where it is torn, the store's may not be.
        copies = [(ref, partial(files.read_checkpoint, self._folder, ref)) for ref in here]
        copies += [(ref, partial(self._store.load, ref)) for ref in there]
        for ref, read in sorted(copies, key=lambda copy: copy[0].step, reverse=True):
            try:
                sealed = asked(read, patience_s=until - time.monotonic())
            except (OSError, StoreUnavailable, StoreRefused) as error:
                log.warning("checkpoint of timestep %d cannot be read and is skipped: %s", ref.step, error)
                continue
            if hashlib.sha256(sealed).hexdigest() != ref.sha256:
                log.warning("checkpoint of timestep %d is torn and is skipped", ref.step)
                continue
            try:
                blob = self._seal.open(sealed, step=ref.step)
            except Unsealed as error:
                log.warning("checkpoint of timestep %d %s: it is skipped", ref.step, error)
                continue
            del sealed  # it may be large, and is not needed while the caller reads the other
            yield ref, blob

    def save(self, step: int, blob: bytes) -> None:
        """Keep a checkpoint here, and in the store as soon as it answers; a newer one replaces one that still waits."""
        parts = self._seal.seal(blob, step=step), blob
        ref = files.reference(step, *parts)
        files.write_checkpoint(self._folder, ref, *parts)
        for old in files.outlived(files.list_checkpoints(self._folder), step=step, keep=self._keep):
            files.delete_checkpoints(self._folder, old.step)
        with self._changed:
            self._pending = ref
            self._changed.notify_all()

    def flush(self, timeout_s: float) -> bool:
        """Wait until the store has the newest checkpoint, or has refused it; return whether it has it."""
        until = time.monotonic() + timeout_s
        with self._changed:
            done = self._changed.wait_for(lambda: self._pending is None, until - time.monotonic())
            return done and not self._refused

    def close(self) -> None:
        """Stop bringing checkpoints to the store."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(timeout=1.0)  # a daemon: a hanging store does not keep the pod

    def _bring(self) -> None:
        wait = FIRST_WAIT_S
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pending is not None or self._in_doubt or self._closed)
                ref = self._pending
                if self._closed:
                    return
            self._waits.begin(TASK, WAITING)
            refused = False
            try:
                if ref is None:
                    self._store.probe()
                else:
                    self._bring_one(ref)
            except StoreUnavailable as error:
                log.warning("checkpoints wait for the store: %s", error)
                self._waits.tell(TASK, WAITING, error)
                with self._changed:
                    self._changed.wait_for(lambda: self._closed, wait)
                wait = min(2 * wait, LONGEST_WAIT_S)
                continue
            except (StoreRefused, OSError) as error:
                log.error("checkpoints are kept only in this pod: %s", error)
                self._waits.tell(TASK, REFUSED, error)
                refused = True
            else:
                self._waits.end(TASK)
            wait = FIRST_WAIT_S
            with self._changed:
                self._in_doubt = False
                if self._pending == ref:
                    self._pending, self._refused = None, refused
                self._changed.notify_all()

    def _bring_one(self, ref: CheckpointRef) -> None:
        try:
            blob = files.read_checkpoint(self._folder, ref)
        except FileNotFoundError:
            return  # so late that a newer one took its place, which is pending now
        self._store.save(ref, blob)
        for old in files.outlived(self._store.checkpoints(), step=ref.step, keep=self._keep):
            self._store.delete(old)
