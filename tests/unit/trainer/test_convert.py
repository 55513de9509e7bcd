"""Pickles of arrays: what is read, what is not run, and where episodes end."""

import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from belay_trainer import datasets
from belay_trainer.__main__ import main
from belay_trainer.converting import pickles
from belay_trainer.converting.convert import convert
from belay_trainer.converting.layouts import episodes_of
from belay_trainer.errors import BadConfiguration

OBSERVATIONS = np.arange(12, dtype=np.float32).reshape(6, 2)
FLAT = {
    "observations": OBSERVATIONS,
    "actions": np.array([0, 1, 0, 1, 1, 0]),
    "rewards": np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], dtype=np.float32),
    "terminals": np.array([False, False, True, False, False, False]),
    "timeouts": np.array([False, False, False, False, True, False]),
    "next_observations": np.concatenate([OBSERVATIONS[1:], [[50.0, 51.0]]]).astype(np.float32),
}
LISTED = [
    {"observations": OBSERVATIONS[:3], "actions": [0, 1, 0], "rewards": [1, 2, 3], "terminals": [0, 0, 1]},
    {"observations": OBSERVATIONS[3:], "actions": [1, 1, 0], "rewards": [4, 5, 6], "terminals": False},
]


def dumped(path: Path, content: Any, protocol: int = pickle.DEFAULT_PROTOCOL) -> Path:
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_of_every_protocol_are_those_that_were_pickled(tmp_path: Path, protocol: int) -> None:
    given = {
        "double": np.linspace(0, 1, 6).reshape(2, 3),
        "columns first": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "big end first": np.arange(4, dtype=">i2"),
        "flags": np.array([True, False]),
        "bytes": np.arange(3, dtype=np.uint8),
        "none": np.zeros((0, 3), dtype=np.float32),
    }
    ragged = np.empty(2, dtype=object)
    ragged[:] = [np.arange(2), np.arange(3)]
    content = OrderedDict(given | {"one": np.float32(2.5), "ragged": ragged, "text": np.array(["a", "bc"])})
    found = pickles.read(dumped(tmp_path / "a.pkl", content, protocol))
    for name, array in given.items():
        assert found[name].dtype == array.dtype.newbyteorder("=")
        assert found[name].tolist() == array.tolist()
    assert found["one"] == 2.5
    assert [one.tolist() for one in found["ragged"]] == [[0, 1], [0, 1, 2]]
    assert isinstance(found["text"], pickles.Unread)


class Evil:
    """Runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> Any:
        return os.system, (self.command,)


def test_nothing_in_a_pickle_is_run(tmp_path: Path) -> None:
    mark, out = tmp_path / "ran", tmp_path / "log.parquet"
    path = dumped(tmp_path / "evil.pkl", FLAT | {"infos": Evil(f"touch {mark}")})
    with pytest.raises(BadConfiguration, match=r"is not opened: it names posix.system.*np.asarray"):
        convert(path, out, dones=None)
    assert not mark.exists()
    assert not out.exists()
    pickle.loads(path.read_bytes())  # the test can fail: the library's own reader runs it
    assert mark.exists()


def test_memory_is_never_what_a_file_says_of_it(tmp_path: Path) -> None:
    """NumPy's own reader believes a dtype's state: one that says bytes are objects follows them as addresses."""

    class Lies:
        def __reduce__(self) -> Any:
            return np.dtype, ("V8",), (3, "|", None, ("a",), {"a": (np.dtype("O"), 0)}, 8, 1, 0x1B)

    class Array:
        def __reduce__(self) -> Any:
            rebuild = np.zeros(1).__reduce__()[0]
            return rebuild, (np.ndarray, (0,), b"b"), (1, (1,), Lies(), False, b"\x41" * 8)

    found = pickles.read(dumped(tmp_path / "lies.pkl", {"rewards": Array()}))
    assert isinstance(found["rewards"], pickles.Unread)


@pytest.mark.parametrize(
    "content", [b"", b"hello", pickle.dumps(FLAT)[:-40], pickle.dumps(FLAT)[:90], b"\x80\x04]\x94h\x00a."]
)
def test_what_is_damaged_is_said_to_be(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.pkl").write_bytes(content)
    with pytest.raises(BadConfiguration, match="is no pickle, or a torn one"):
        pickles.read(tmp_path / "a.pkl")


def test_rows_behind_one_another_become_episodes(tmp_path: Path) -> None:
    found, notes = convert(
        dumped(tmp_path / "a.pkl", FLAT | {"infos/qpos": np.zeros(6)}), tmp_path / "log.parquet", dones=None
    )
    assert found.starts.tolist() == [0, 3, 5, 6]
    assert found.terminated.tolist() == [True, False, False]
    assert found.observations.tolist() == OBSERVATIONS.tolist()
    assert found.actions.tolist() == [0, 1, 0, 1, 1, 0]
    assert found.rewards.tolist() == [1, 2, 3, 4, 5, 6]
    assert found.follows()[0].tolist() == [[6, 7], [10, 11], [50, 51]]
    assert "Fields that were left out: infos/qpos." in notes
    again, _ = datasets.read(tmp_path / "log.parquet")
    assert again.discrete


def test_of_several_names_of_one_thing_the_first_is_meant() -> None:
    """What only a simulator knows is logged beside what the policy saw."""
    both = FLAT | {"state": np.full((6, 5), 99.0), "reward": np.full(6, -7.0)}
    found = episodes_of(both, dones=None, source="log.pkl")
    assert found.observations.tolist() == OBSERVATIONS.tolist()
    assert found.rewards.tolist() == [1, 2, 3, 4, 5, 6]
    assert "Fields that were left out: reward, state." in found.notes


def test_a_list_has_an_episode_in_each_mapping(tmp_path: Path) -> None:
    found, _ = convert(dumped(tmp_path / "a.pkl", LISTED), tmp_path / "log.parquet", dones=None)
    assert found.starts.tolist() == [0, 3, 6]
    assert found.terminated.tolist() == [True, False]
    assert found.last_observations is None


def test_what_follows_the_last_action_may_be_one_observation_more() -> None:
    longer = [LISTED[0] | {"observations": OBSERVATIONS[:4]}]
    found = episodes_of(longer, dones=None, source="a.pkl")
    assert found.observations.tolist() == OBSERVATIONS[:3].tolist()
    assert found.follows()[0].tolist() == [OBSERVATIONS[3].tolist()]


def test_an_end_that_no_field_tells_is_seen_where_other_observations_go_on() -> None:
    following = FLAT["next_observations"].copy()
    following[1] = [99.0, 99.0]
    found = episodes_of(FLAT | {"next_observations": following}, dones=None, source="a.pkl")
    assert found.starts.tolist() == [0, 2, 3, 5, 6]
    assert found.terminated.tolist() == [False, True, False, False]
    assert found.notes == (
        "1 episodes end where no field says so, for another observation than the next one follows: they count as "
        "truncated.",
    )


def test_what_dones_means_is_asked_and_not_guessed() -> None:
    without = {name: value for name, value in FLAT.items() if name not in ("terminals", "timeouts")}
    given = without | {"dones": FLAT["terminals"] | FLAT["timeouts"]}
    with pytest.raises(BadConfiguration, match="--dones terminated or --dones truncated"):
        episodes_of(given, dones=None, source="a.pkl")
    assert episodes_of(given, dones="terminated", source="a").terminated.tolist() == [True, True, False]
    assert episodes_of(given, dones="truncated", source="a").terminated.tolist() == [False, False, False]
    with_cuts = given | {"timeouts": FLAT["timeouts"]}
    assert episodes_of(with_cuts, dones=None, source="a").terminated.tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            {"observatons": OBSERVATIONS, "actions": [0], "rewards": [1]},
            "no field observations; there is 'observatons'",
        ),
        ({**FLAT, "actions": FLAT["actions"][:4]}, "actions has 4 rows, wanted 6"),
        ({**FLAT, "observations": {"a": OBSERVATIONS}}, "observations is made of a: flatten it"),
        ({**FLAT, "rewards": np.array(list("abcdef"))}, "rewards is an array of U1, wanted numbers"),
        ({**FLAT, "rewards": np.zeros((6, 2))}, r"rewards have the shape \(6, 2\)"),
        ({**FLAT, "propensities": np.ones((6, 2))}, r"propensities have the shape \(6, 2\)"),
        (
            {**FLAT, "observations": np.arange(6.0), "next_observations": np.zeros((6, 1))},
            r"next_observations have the shape \(6, 1\), wanted that of the observations, \(6,\)",
        ),
        (
            [LISTED[0], LISTED[1] | {"observations": np.zeros((3, 5))}],
            r"observations have different shapes, \(2,\) and",
        ),
        ([LISTED[0], LISTED[1] | {"propensities": np.ones(3)}], "some episodes have propensities"),
        ([1, 2], "holds a list, wanted a mapping of arrays"),
        ({name: FLAT[name] for name in ("observations", "actions", "rewards")}, "no field says where episodes end"),
    ],
)
def test_what_cannot_be_converted_is_told_by_its_field(tmp_path: Path, content: Any, words: str) -> None:
    with pytest.raises(BadConfiguration, match=words):
        convert(dumped(tmp_path / "a.pkl", content), tmp_path / "log.parquet", dones=None)
    assert not (tmp_path / "log.parquet").exists()


def test_what_the_checks_refuse_leaves_no_file(tmp_path: Path) -> None:
    bad = FLAT | {"rewards": np.array([1.0, np.nan, 3.0, 4.0, 5.0, 6.0])}
    with pytest.raises(BadConfiguration, match="reward"):
        convert(dumped(tmp_path / "a.pkl", bad), tmp_path / "log.parquet", dones=None)
    assert not (tmp_path / "log.parquet").exists()


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = dumped(tmp_path / "a.pkl", FLAT), tmp_path / "log.parquet"
    assert main(["convert", str(path), "--out", str(out)]) == 0
    assert "3 episodes, 6 timesteps." in capsys.readouterr().out
    assert main(["convert", str(path), "--out", str(out)]) == 3
    assert "is there already" in capsys.readouterr().err
    assert main(["convert", str(path), "--out", str(tmp_path / "log.csv")]) == 3
    assert main(["convert", str(tmp_path / "gone.pkl"), "--out", str(tmp_path / "b.parquet")]) == 3
