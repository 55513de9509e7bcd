"""The policy that gates compare with (`betterThan`), fetched before anything is trained.

After hours of training it would be late to say that its bytes are others, or that it is for another task.
"""

from pathlib import Path

import httpx

from belay_trainer import environments
from belay_trainer.config import Run
from belay_trainer.fetched import Source, reader, store_of
from belay_trainer.randomness import untouched
from belay_trainer.served import Artifact, read_served
from belay_trainer.stop import Stop
from belay_trainer.validation.gates import check_baseline, check_playable

FIELD = "gates: performance: betterThan"


def open_baseline(
    run: Run, folder: Path, *, work_dir: Path, logbook: httpx.Client | None = None, stop: Stop
) -> Artifact | None:
    """Return what the gates of a training compare with; None: nothing.

    Args:
        folder: The artifact's, or where the claim is mounted that it lies on.
        logbook: Of the built-in store.
    Raises: BadConfiguration, Unreachable, Interrupted.
    """
    gates, pinned = run.spec.gates or (), run.config.baseline
    check_baseline(gates, pinned)
    if pinned is None:
        return None
    store = store_of(logbook, namespace=run.config.namespace, owner=f"{run.config.uid}/{run.index}")
    here = work_dir / "baseline"
    Source(FIELD, pinned.title, pinned.digest, reader(pinned.uri, folder, field=FIELD, logbook=store)).fetch(here, stop)
    found = read_served(here, digest=pinned.digest)
    with untouched(), environments.maker_for(run.spec)() as probe:
        check_playable(gates, found, probe)
    return found
