"""Tell the logbook which episodes started.

The logbook learns an episode's start here and its end from the client; the difference is what is missing. While the
logbook is away the newest starts are dropped first, since the oldest carry the windows a verdict is waiting for.
"""

from collections.abc import Sequence
from pathlib import Path

from belay_api.wire import Batch, EpisodeStart
from belay_handler.reporter import Reporter

PERIOD_S = 0.25  # a start is known at the logbook within this time; the verdict's grace is at least a second
BUFFER = 100_000  # starts kept while the logbook is away: about 20 MB


class StartReporter(Reporter[str]):
    """Sends receipts of first decisions to the logbook."""

    what = "episode starts"
    path = "starts"
    most = BUFFER

    def __init__(self, url: str, namespace: str, token_file: Path, *, period_s: float = PERIOD_S) -> None:
        super().__init__(url, namespace, token_file, period_s=period_s)

    def body(self, taken: Sequence[str]) -> bytes:
        """Return a batch of receipts."""
        batch = Batch[EpisodeStart](items=[EpisodeStart(receipt=receipt) for receipt in taken])
        return batch.model_dump_json(by_alias=True).encode()
