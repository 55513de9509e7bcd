"""Checkpoints are here at once and in the store as soon as it answers."""

import re
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from trainer_support import StopAfter, until

from belay_api.artifact import Manifest
from belay_api.wire import CheckpointRef
from belay_trainer import keeper as module
from belay_trainer import waits as waits_module
from belay_trainer.errors import Interrupted, StoreRefused, StoreUnavailable
from belay_trainer.files import checkpoint_path, list_checkpoints, reference, write_atomically
from belay_trainer.keeper import Keeper
from belay_trainer.seal import Seal
from belay_trainer.stop import Stop
from belay_trainer.store.folder import FolderStore
from belay_trainer.waits import Waits


class Shaky(FolderStore):
    """A volume that can be away."""

    away = False
    refuses = False
    hiccups = 0  # loads that fail before one succeeds

    def load(self, ref: CheckpointRef) -> bytes:
        if self.hiccups:
            self.hiccups -= 1
            raise StoreUnavailable("restarting")
        return super().load(ref)

    def checkpoints(self) -> list[CheckpointRef]:
        if self.away:
            raise StoreUnavailable("away")
        return super().checkpoints()

    def probe(self) -> None:
        self._look()
        super().probe()

    def save(self, ref: CheckpointRef, blob: bytes) -> None:
        self._look()
        super().save(ref, blob)

    def publish(self, folder: Path, manifest: Manifest) -> str:
        raise AssertionError("a keeper publishes nothing")

    def _look(self) -> None:
        if self.away:
            raise StoreUnavailable("away")
        if self.refuses:
            raise StoreRefused("read-only")


@pytest.fixture
def store(tmp_path: Path) -> Shaky:
    return Shaky(tmp_path / "volume", claim="c", seed="u/0")


@pytest.fixture(autouse=True)
def _ask_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_WAIT_S", 0.01)


@pytest.fixture
def keeper(tmp_path: Path, store: Shaky) -> Keeper:
    return Keeper(tmp_path / "here", store, keep=2)


def _newest(keeper: Keeper) -> list[tuple[int, bytes]]:
    return [(ref.step, blob) for ref, blob in keeper.newest(Stop(), patience_s=0.05)]


def test_only_the_newest_are_kept_here_and_there(keeper: Keeper, store: Shaky, tmp_path: Path) -> None:
    for step in (100, 200, 300):
        keeper.save(step, b"%d" % step)
        assert keeper.flush(5)
    for folder in (tmp_path / "here", tmp_path / "volume" / "checkpoints" / "u" / "0"):
        assert [ref.step for ref in list_checkpoints(folder)] == [300, 200]


def test_a_new_pod_finds_what_the_store_has(keeper: Keeper, store: Shaky, tmp_path: Path) -> None:
    keeper.save(100, b"a")
    keeper.flush(5)
    assert _newest(Keeper(tmp_path / "elsewhere", store, keep=2)) == [(100, b"a")]


def test_torn_checkpoints_are_skipped_here_and_there(keeper: Keeper, store: Shaky, tmp_path: Path) -> None:
    for step in (100, 200):
        keeper.save(step, b"%d" % step)
        keeper.flush(5)
    for folder in (tmp_path / "here", tmp_path / "volume" / "checkpoints" / "u" / "0"):
        checkpoint_path(folder, reference(200, b"200")).write_bytes(b"20")
    assert {step for step, _ in _newest(keeper)} == {100}


def test_a_copy_torn_here_is_taken_from_the_store(keeper: Keeper, store: Shaky, tmp_path: Path) -> None:
    keeper.save(100, b"a")
    keeper.flush(5)
    checkpoint_path(tmp_path / "here", reference(100, b"a")).write_bytes(b"")
    assert _newest(keeper) == [(100, b"a")]


def test_a_store_that_goes_away_between_two_answers_is_waited_for(keeper: Keeper, store: Shaky, tmp_path: Path) -> None:
    keeper.save(100, b"a")
    keeper.flush(5)
    store.hiccups = 2
    assert _newest(Keeper(tmp_path / "elsewhere", store, keep=2)) == [(100, b"a")]


@pytest.mark.parametrize("place", ["here", "volume/checkpoints/u/0"])
def test_what_cannot_be_taken_up_pushes_nothing_out(keeper: Keeper, store: Shaky, tmp_path: Path, place: str) -> None:
    """Two checkpoints of a later step that nobody can read, and a seed that began again."""
    for step in (1000, 2000):
        write_atomically(checkpoint_path(tmp_path / place, reference(step, b"whole")), b"torn")
    for step in (100, 200, 300):
        keeper.save(step, b"%d" % step)
        assert keeper.flush(5)
    assert [ref.step for ref in list_checkpoints(tmp_path / place)] == [2000, 1000, 300, 200]
    keeper.save(2000, b"again")
    assert keeper.flush(5)
    assert [ref.step for ref in list_checkpoints(tmp_path / place)] == [2000, 1000]
    assert (2000, b"again") in _newest(keeper)


def test_the_newest_goes_to_the_store_when_it_is_back(keeper: Keeper, store: Shaky) -> None:
    store.away = True
    for step in (100, 200):
        keeper.save(step, b"%d" % step)
    assert not keeper.flush(0.05)
    store.away = False
    assert keeper.flush(5)
    assert store.checkpoints()[0].step == 200


def test_a_store_that_stays_away_is_not_waited_for_for_ever(keeper: Keeper, store: Shaky) -> None:
    keeper.save(100, b"a")
    store.away = True
    assert _newest(keeper) == [(100, b"a")]


def test_what_waits_for_the_store_is_said_and_taken_back(tmp_path: Path, store: Shaky) -> None:
    waits = Waits()
    mine = Keeper(tmp_path / "mine", store, keep=2, waits=waits)
    store.away = True
    mine.save(100, b"a")
    until(lambda: waits.words == "checkpoints wait for the store: away", 5)
    store.away = False
    until(lambda: waits.words is None, 5)
    assert store.checkpoints()[0].step == 100


def test_a_checkpoint_that_is_refused_is_said_to_be_here_alone(tmp_path: Path, store: Shaky) -> None:
    waits = Waits()
    mine = Keeper(tmp_path / "mine", store, keep=2, waits=waits)
    store.refuses = True
    mine.save(100, b"a")
    assert not mine.flush(5), "the next pod does not find it"
    assert waits.words == "checkpoints are kept only in this pod: read-only"
    store.refuses = False
    mine.save(200, b"b")
    assert mine.flush(5)
    assert waits.words is None


def test_a_full_volume_is_told_before_anything_is_computed_and_its_checkpoints_are_taken_up(
    tmp_path: Path, store: Shaky, keeper: Keeper
) -> None:
    keeper.save(100, b"a")
    keeper.flush(5)
    stop = Stop()
    mine = Keeper(tmp_path / "elsewhere", store, keep=2, waits=stop.waits)
    with files_end_at(1000):
        assert [blob for _, blob in mine.newest(stop, patience_s=0.05)] == [b"a"]
        assert re.fullmatch(r"checkpoints wait for the store: storage\.pvc: .*File too large.*", stop.waits.words or "")
    until(lambda: stop.waits.words is None, 5)  # asked again by itself: the next checkpoint may be hours away


def test_a_volume_that_may_only_be_read_is_refused_before_anything_is_computed(store: Shaky, keeper: Keeper) -> None:
    keeper.save(100, b"a")
    keeper.flush(5)
    store.refuses = True
    with pytest.raises(StoreRefused, match="read-only"):
        _newest(keeper)


def test_who_is_asked_to_go_does_not_wait_for_his_checkpoints(store: Shaky, keeper: Keeper) -> None:
    store.away = True
    with pytest.raises(Interrupted, match="the seed waits for its checkpoints in the store: away"):
        list(keeper.newest(StopAfter(1), patience_s=60))


def test_a_volume_that_hangs_is_told_though_it_raises_nothing(
    tmp_path: Path, store: Shaky, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waits_module, "HANGS_S", 0.1)
    waits, answers = Waits(), threading.Event()
    monkeypatch.setattr(store, "save", lambda ref, blob: answers.wait(60))
    mine = Keeper(tmp_path / "mine", store, keep=2, waits=waits)
    mine.save(100, b"a")
    until(lambda: "checkpoints wait for the store, which has not answered" in (waits.words or ""), 5)
    answers.set()
    until(lambda: waits.words is None, 5)


@contextmanager
def files_end_at(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond `size` bytes: what a full volume does, and root cannot evade it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_closed_keeper_ends_its_thread(keeper: Keeper, store: Shaky) -> None:
    store.away = True
    keeper.save(100, b"a")
    keeper.close()
    until(lambda: not keeper._thread.is_alive(), 5)


def test_only_what_this_jobs_pods_sealed_for_that_place_is_taken_up(
    store: Shaky, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Everybody who may write to the volume may put a pickle of their own there; to unpickle it is to run it."""
    mine, theirs = Seal(b"m" * 32, index=0), Seal(b"t" * 32, index=0)
    keeper = Keeper(tmp_path / "here", store, keep=9, seal=mine)
    keeper.save(100, b"good")
    assert keeper.flush(5)
    (saved,) = store.checkpoints()
    forged = {200: b"unsealed", 300: theirs.seal(b"theirs", step=300) + b"theirs", 400: store.load(saved)}
    for step, blob in forged.items():
        store.save(reference(step, blob), blob)

    assert _newest(Keeper(tmp_path / "elsewhere", store, keep=9, seal=mine)) == [(100, b"good")]
    for step, why in ((200, "is not sealed"), (300, "is sealed with another"), (400, "was not sealed as")):
        assert f"checkpoint of timestep {step} {why}" in caplog.text


def test_a_pod_without_a_key_goes_on_as_before(store: Shaky, tmp_path: Path) -> None:
    keeper = Keeper(tmp_path / "here", store, keep=2, seal=Seal(None, index=0))
    keeper.save(100, b"a")
    assert keeper.flush(5)
    (ref,) = store.checkpoints()
    assert store.load(ref) == b"a"
    assert _newest(Keeper(tmp_path / "elsewhere", store, keep=2, seal=Seal(None, index=0))) == [(100, b"a")]
