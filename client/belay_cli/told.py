"""What a training told the logbook, reached with the reader's own kubectl."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from belay_api.wire import Curves
from belay_cli.errors import Failed
from belay_cli.kubectl import Kubectl
from belay_cli.logbook import NothingTold, read_curves


@dataclass(frozen=True, slots=True)
class Told:
    """A training, and the way to its curves."""

    training: dict[str, Any]  # the RLTrainingJob
    read: Callable[[str, int], Curves]  # (metric, points of each seed); raises Failed

    @property
    def name(self) -> str:
        """Of the job."""
        return str(self.training["metadata"]["name"])

    @property
    def first_seed(self) -> int:
        """Seed of index 0."""
        return int(self.training["spec"].get("seeds", {}).get("first", 0))


@contextmanager
def told_by(
    kubectl: Kubectl, *, job: str, namespace: str | None, logbook_url: str | None, system_namespace: str
) -> Iterator[Told]:
    """Return what a job told, as long as the logbook is reached. Raises: Failed."""
    namespace = namespace or kubectl.namespace()
    training = kubectl.training(namespace, job)
    if _looks_for_settings(training):
        raise Failed(_no_seed_yet(training))
    token = kubectl.token(namespace)
    with ExitStack() as stack:
        url = logbook_url or stack.enter_context(kubectl.logbook(system_namespace))
        headers = {"authorization": f"Bearer {token}"}
        # A proxy of the environment is for addresses of others, not for our own port-forward.
        client = stack.enter_context(httpx.Client(base_url=url, headers=headers, trust_env=logbook_url is not None))

        def read(metric: str, points: int) -> Curves:
            try:
                return read_curves(client, namespace, training["metadata"]["uid"], metric=metric, points=points)
            except NothingTold as error:
                raise Failed(_nothing_told(training)) from error

        yield Told(training, read)


def _looks_for_settings(training: dict[str, Any]) -> bool:
    return "search" in training["spec"] and "searchedAt" not in training.get("status", {})


def _no_seed_yet(training: dict[str, Any]) -> str:
    search = training.get("status", {}).get("search", {})
    ended = sum(search.get(how, 0) for how in ("finished", "pruned", "failed"))
    return (
        f"{training['metadata']['name']} looks for settings first, so no seed has a curve yet: {ended} of "
        f"{training['spec']['search']['trials']} trials are over. It is {_state(training)}"
    )


def _state(training: dict[str, Any]) -> str:
    status = training.get("status", {})
    ready = next((one for one in status.get("conditions", []) if one["type"] == "Ready"), {})
    return f"{status.get('phase', 'not begun')}{': ' + ready['message'] if ready.get('message') else ''}"


def _nothing_told(training: dict[str, Any]) -> str:
    return (
        f"{training['metadata']['name']} has told the logbook nothing yet, so there is no curve. It is "
        f"{_state(training)}. Its pods tell how far they are "
        "a few seconds after they begin; a job that trained before Belay kept curves has none."
    )
