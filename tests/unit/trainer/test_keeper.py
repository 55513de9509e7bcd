"""Checkpoints are here at once and in the store as soon as it answers."""

from pathlib import Path

import pytest
from trainer_support import until

from belay_api.artifact import Manifest
from belay_api.wire import CheckpointRef
from belay_trainer import keeper as module
from belay_trainer.errors import StoreUnavailable
from belay_trainer.files import checkpoint_path, list_checkpoints, reference, write_atomically
from belay_trainer.keeper import Keeper
from belay_trainer.seal import Seal
from belay_trainer.stop import Stop
from belay_trainer.store.folder import FolderStore


class Shaky(FolderStore):
    """A volume that can be away."""

    away = False
    hiccups = 0  # loads that fail before one succeeds

    def load(self, ref: CheckpointRef) -> bytes:
        if self.hiccups:
            self.hiccups -= 1
            raise StoreUnavailable("restarting")
        return super().load(ref)

    def checkpoints(self) -> list[CheckpointRef]:
        self._look()
        return super().checkpoints()

    def save(self, ref: CheckpointRef, blob: bytes) -> None:
        self._look()
        super().save(ref, blob)

    def publish(self, folder: Path, manifest: Manifest) -> str:
        raise AssertionError("a keeper publishes nothing")

    def _look(self) -> None:
        if self.away:
            raise StoreUnavailable("away")


@pytest.fixture
def store(tmp_path: Path) -> Shaky:
    return Shaky(tmp_path / "volume", claim="c", seed="u/0")


@pytest.fixture
def keeper(tmp_path: Path, store: Shaky, monkeypatch: pytest.MonkeyPatch) -> Keeper:
    monkeypatch.setattr(module, "FIRST_WAIT_S", 0.01)
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
