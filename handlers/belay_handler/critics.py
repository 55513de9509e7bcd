"""What a critic expects of an episode, from its first observation: the covariate of the rollout's comparison.

A route names a baseline, the artifact of the stable version, and the pods of both sides ask *its* critic, so that the
same function speaks of both. A pod of stable has it beside its own network. Any other fetches it once, in the
background: until then, and where it cannot be had, nothing is said and the episode is judged without. A decision never
waits for a critic and never fails by one, and one that would slow decisions down is not asked.

    critic.onnx    observation -> the fifth of the critic's values that this one's lies in, 0 (worst) to 4
"""

import logging
import queue
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from belay_api.artifact import CRITIC_FILE, MANIFEST, ArtifactError, Manifest, check_file, parse_manifest
from belay_api.receipts import FORESEEN_LEVELS
from belay_api.spaces import Space
from belay_handler.networks import Network, load_onnx
from belay_handler.stores import Store, StoreError
from belay_heads.observations import blank

HELD = 4  # critics at once: of the rollouts that a policy is in
LARGEST = 16 << 20  # bytes; a critic of images has about 7 MB
SLOWEST_S = 0.005  # for a whole batch; a policy's own pass takes a fraction of that
RETRY_S = 300.0  # until one that could not be had is asked for again

_log = logging.getLogger(__name__)


class Critics:
    """The critics that this pod knows."""

    def __init__(
        self,
        own: str,
        critic: Network | None,
        fetch: Callable[[str], Network | None] | None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Set up with the pod's own; starts nothing.

        Args:
            own: Hex digest of the pod's artifact.
            critic: Its critic; None: it has none.
            fetch: Return another artifact's critic, None where there is none; may take its time and raise anything.
                None: there is nowhere to fetch from.
        """
        self._own = own
        self._clock = clock
        self._fetch = fetch
        # And until when it is believed.
        self._known: dict[str, tuple[Network | None, float]] = {own: (critic, float("inf"))}
        self._wanted: queue.Queue[str] = queue.Queue(maxsize=1)  # a second one is asked for again by its next episode
        self._thread = threading.Thread(target=self._run, name="critics", daemon=True)

    def start(self) -> None:
        """Begin to fetch."""
        if self._fetch is not None:
            self._thread.start()

    def foresee(self, baseline: str, observations: np.ndarray) -> list[int | None]:
        """Return for each observation the fifth that the baseline's critic puts it in; None: it is not known.

        Args:
            observations: (batch, *observation).
        """
        nothing: list[int | None] = [None] * len(observations)
        critic, until = self._known.get(baseline, (None, 0.0))
        if critic is None:
            if until <= self._clock() and self._fetch is not None and not self._wanted.full():
                self._wanted.put_nowait(baseline)
            return nothing
        try:
            return list(_levels(critic, observations))
        except Exception as error:  # whatever it is, the decision is not to suffer by it
            _log.warning("the critic of %s fails and is not asked any more: %s", baseline[:12], error)
            self._known[baseline] = None, float("inf")
            return nothing

    def _run(self) -> None:
        while True:
            self._get(self._wanted.get())

    def _get(self, baseline: str) -> None:
        known = self._known.get(baseline)
        if self._fetch is None or (known is not None and known[1] > self._clock()):
            return
        found, until = None, self._clock() + RETRY_S
        try:
            found = self._fetch(baseline)
            until = float("inf")  # an artifact never changes: without a critic it stays
        except Exception as error:
            _log.warning("the critic of %s cannot be had, episodes are judged without: %s", baseline[:12], error)
        others = [one for one in list(self._known) if one not in (self._own, baseline)]
        for one in others[: max(0, len(others) - HELD + 2)]:
            self._known.pop(one, None)
        self._known[baseline] = found, until


def own_critic(manifest: Manifest, folder: Path, *, batch: int) -> Network | None:
    """Return the critic of the verified artifact in `folder`; None: it has none, or none that can be asked."""
    if not any(entry.path == CRITIC_FILE for entry in manifest.served):  # one that only lies there was never checked
        return None
    try:
        return _tried(folder / CRITIC_FILE, manifest.observation, batch=batch)
    except Exception as error:  # a policy serves without its critic
        _log.warning("%s is not asked: %s", CRITIC_FILE, error)
        return None


def fetched_critic(store: Store, baseline: str, space: Space, *, batch: int) -> Network | None:
    """Return the critic of another artifact; None: it has none.

    Args:
        store: Delivers that artifact.
        space: What this pod's policy observes; a critic that observes anything else cannot be asked.
        batch: Observations it is to be asked of at once.
    Raises: StoreError, ArtifactError, and whatever onnxruntime raises.
    """
    with tempfile.TemporaryDirectory(prefix="critic-") as name:
        folder = Path(name)
        store.manifest(folder / MANIFEST)
        manifest: Manifest = parse_manifest((folder / MANIFEST).read_bytes(), wanted=f"sha256:{baseline}")
        entry = next((one for one in manifest.files if one.path == CRITIC_FILE), None)
        if entry is None:
            return None
        if manifest.observation != space:
            raise ArtifactError(f"it observes {manifest.observation}, and this policy {space}")
        if entry.size > LARGEST:
            raise StoreError(f"{CRITIC_FILE} has {entry.size} bytes, at most {LARGEST} are fetched")
        store.file(entry, folder / CRITIC_FILE)
        check_file(folder, entry)
        return _tried(folder / CRITIC_FILE, space, batch=batch)


def _tried(path: Path, space: Space, *, batch: int) -> Network:
    """Load a critic and ask it as it will be asked. Raises: ArtifactError, and whatever onnxruntime raises."""
    critic = load_onnx(path)
    one = blank(space)
    took = []
    for _ in range(4):  # the first pass plans its memory
        began = time.perf_counter()
        _levels(critic, np.stack([one] * batch))
        took.append(time.perf_counter() - began)
    if min(took) > SLOWEST_S:
        raise ArtifactError(f"it takes {min(took) * 1000:.1f} ms, at most {SLOWEST_S * 1000:.0f} are given to it")
    return critic


def _levels(critic: Network, observations: np.ndarray) -> list[int]:
    found = np.asarray(critic(observations))
    if found.shape != (len(observations),) or found.dtype.kind != "i":
        raise ArtifactError(f"it answers {found.dtype} of shape {found.shape} to {len(observations)} observations")
    if not ((found >= 0) & (found < FORESEEN_LEVELS)).all():
        raise ArtifactError(f"it answers {found.tolist()}, wanted 0 to {FORESEEN_LEVELS - 1}")
    levels: list[int] = found.tolist()
    return levels
