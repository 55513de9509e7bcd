"""A seal fits one job, one seed, one timestep and the very bytes it was made for."""

import logging
import pickle
from pathlib import Path

import pytest

from belay_trainer.errors import BadConfiguration
from belay_trainer.seal import HEADER, MARK, Seal, Unsealed, read_key

SEAL = Seal(b"k" * 32, index=3)
BLOB = pickle.dumps({"weights": list(range(100))})


def sealed(blob: bytes, *, seal: Seal = SEAL) -> bytes:
    return seal.seal(blob, step=1000) + blob


def test_what_was_sealed_opens_again_and_equal_checkpoints_are_equal_bytes() -> None:
    for blob in (b"", BLOB):
        assert SEAL.open(sealed(blob), step=1000) == blob
        assert sealed(blob) == sealed(blob), "a resumed seed that makes it once more uploads nothing new"


def test_bytes_of_somebody_who_has_no_key_are_not_opened() -> None:
    for forged in (b"", BLOB, MARK, MARK + BLOB, MARK + bytes(HEADER - len(MARK)) + BLOB):
        with pytest.raises(Unsealed):
            SEAL.open(forged, step=1000)


def test_no_byte_can_be_changed_added_or_left_out() -> None:
    whole = sealed(b"abc")
    changed = [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(len(whole))]
    shorter = [whole[:length] for length in range(len(whole))]
    for forged in (*changed, *shorter, whole + b"x"):
        with pytest.raises(Unsealed):
            SEAL.open(forged, step=1000)


@pytest.mark.parametrize(
    ("seal", "step", "said"),
    [
        pytest.param(Seal(b"o" * 32, index=3), 1000, "another key", id="another job's"),
        pytest.param(Seal(b"k" * 32, index=4), 1000, "seed index 4", id="another seed's"),
        pytest.param(SEAL, 2000, "timestep 2000", id="another timestep's"),
        pytest.param(Seal(b"k" * 32, index=3100), 0, "seed index 3100", id="the same digits, divided elsewhere"),
    ],
)
def test_a_checkpoint_is_good_at_the_place_it_was_saved_for(seal: Seal, step: int, said: str) -> None:
    with pytest.raises(Unsealed, match=said):
        seal.open(sealed(BLOB), step=step)


def test_without_a_key_nothing_is_sealed_and_what_is_sealed_is_not_read() -> None:
    none = Seal(None, index=3)
    assert sealed(BLOB, seal=none) == BLOB
    assert none.open(BLOB, step=1000) == BLOB
    with pytest.raises(Unsealed, match="not given"):
        none.open(sealed(BLOB), step=1000)


def test_a_key_is_never_shown() -> None:
    assert "kkkk" not in repr(SEAL)


def test_a_missing_key_is_said_and_a_wrong_one_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "key"
    with caplog.at_level(logging.WARNING):
        assert read_key(path) is None
    assert caplog.text.count("checkpoints are not sealed") == 1
    path.write_bytes(b"short")
    with pytest.raises(BadConfiguration, match="holds 5 bytes, wanted 32"):
        read_key(path)
    path.write_bytes(b"k" * 32)
    assert read_key(path) == b"k" * 32
