"""Files of logged episodes: what is read, what is refused and in which words, and parts that share nothing."""

import hashlib
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from arro3.core import Array, DataType
from dataset_files import columns, lists, minari, parquet

from belay_api.spaces import BoxSpace, DiscreteSpace, Space
from belay_trainer.datasets import Dataset, read, sha256_of, split
from belay_trainer.datasets.columns import COLUMNS
from belay_trainer.datasets.fit import fitted
from belay_trainer.errors import BadConfiguration

PAGE = Path(__file__).parents[3] / "docs/reference/dataset.md"


def check_both_episodes(found: Dataset) -> None:
    """What `dataset_files` writes, by either way."""
    assert found.starts.tolist() == [0, 3, 5]
    assert found.observations.tolist() == np.arange(10.0).reshape(5, 2).tolist()
    assert found.discrete
    assert found.actions.tolist() == [0, 1, 0, 1, 1]
    assert found.rewards.tolist() == [1, 2, 3, 4, 5]
    assert found.propensities.tolist() == [0.5, 0.25, 0.5, 1, 0.75]
    assert found.terminated.tolist() == [True, False]
    assert found.step_of.tolist() == [0, 1, 2, 0, 1]
    assert found.episode_of.tolist() == [0, 0, 0, 1, 1]


def test_parquet(tmp_path: Path) -> None:
    found, notes = read(parquet(tmp_path / "log.parquet", columns()))
    check_both_episodes(found)
    assert found.ids == ("a", "b")
    assert not found.follows()[1].any()
    assert any("1 of 2 episodes were truncated" in note for note in notes)


def test_a_parquet_file_without_rows(tmp_path: Path) -> None:
    empty = {name: value[:0] for name, value in columns().items()}
    with pytest.raises(BadConfiguration, match="there is no row in it"):
        read(parquet(tmp_path / "log.parquet", empty))


def test_parquet_rows_may_stand_in_any_order(tmp_path: Path) -> None:
    order = np.array([4, 0, 3, 2, 1])
    shuffled = {
        name: [value[row] for row in order] if isinstance(value, list) else value[order]
        for name, value in columns().items()
    }
    found, _ = read(parquet(tmp_path / "log.parquet", shuffled))
    assert found.ids == ("b", "a"), "episodes stand in the order in which they appear"
    check_both_episodes(found.take([1, 0]))


def test_parquet_with_all_that_is_optional(tmp_path: Path) -> None:
    began = np.array(["2026-01-01", "2026-01-02", "2026-01-03", "2026-02-01", "2026-02-02"], dtype="datetime64[us]")
    rows = np.array([[2, 3], [4, 5], [0, 0], [8, 9], [10, 11]], dtype=float)
    given = columns(episode=np.array([7, 7, 7, 9, 9]), next_observation=rows, time=began, comment=["", "x", "", "", ""])
    found, notes = read(parquet(tmp_path / "log.parquet", given))
    check_both_episodes(found)
    assert found.ids == ("7", "9")
    following, known = found.follows()
    assert known.all()
    assert following.tolist() == [[0, 0], [10, 11]]
    assert found.times.tolist() == [1767225600.0, 1769904000.0]
    assert "Columns that are not known were left out: comment." in notes


def test_parquet_of_continuous_actions(tmp_path: Path) -> None:
    given = columns(action=np.linspace(-1, 1, 10).reshape(5, 2), propensity=np.full(5, 3.5))
    found, _ = read(parquet(tmp_path / "log.parquet", given))
    assert not found.discrete
    assert found.actions.shape == (5, 2)
    assert found.propensities.max() == 3.5, "a density may exceed 1"


def test_parquet_with_lists_of_any_length_and_single_numbers(tmp_path: Path) -> None:
    rows = lists([0, 1], [2, 3], [4, 5], [6, 7], [8, 9])
    check_both_episodes(read(parquet(tmp_path / "log.parquet", columns(observation=rows)))[0])
    found, _ = read(parquet(tmp_path / "log.parquet", columns(observation=np.arange(5))))
    assert found.observations.shape == (5,)


def nulls(*values: float | None) -> Array:
    return Array(list(values), DataType.float64())


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"reward": None}, "column `reward` (number: what followed the action) is missing; there are"),
        ({"reward": None, "rewards": np.ones(5)}, "column `reward` .* is missing; there is `rewards`: rename it"),
        ({"propensity": None, "propensities": np.ones(5)}, "column `propensities` is not known; did you mean"),
        ({"reward": nulls(1, 2, None, 4, None)}, "column `reward` is null 2 times"),
        ({"reward": np.array([1, 2, np.nan, np.inf, 5])}, "`reward` is not finite in 2 of 5 .* step 2 of episode `a`"),
        ({"observation": np.full((5, 2), np.nan)}, "`observation` is not finite in 5 of 5 timesteps, first at step 0"),
        ({"propensity": np.array([0.5, 0, 1, 1, 1])}, "`propensity` is 0 at step 1 of .*`a`.* above 0 and at most 1"),
        ({"propensity": np.array([0.5, 1, 1, 1.2, 1])}, "`propensity` is 1.2 at step 0 of episode `b`"),
        ({"propensity": np.full(5, -1.0), "action": np.ones((5, 1))}, "`propensity` is -1 .* above 0 and finite"),
        ({"step": np.array([0, 1, 1, 0, 1])}, "episode `a` has step 1 twice"),
        ({"step": np.array([0, 1, 3, 0, 1])}, "episode `a` has no step 2"),
        ({"step": np.array([1, 2, 3, 0, 1])}, "episode `a` has no step 0"),
        ({"step": np.array([0.0, 1, 2, 0, 1])}, "column `step` holds Float64, wanted whole numbers"),
        ({"terminated": np.array([0, 0, 1, 0, 0])}, "column `terminated` holds Int64, wanted booleans"),
        ({"truncated": np.array([True, False, False, False, True])}, "episode `a` goes on after step 0 ended it"),
        ({"observation": ["x"] * 5}, "column `observation` holds Utf8, wanted numbers, or flat lists"),
        ({"observation": lists([0], [1], [2, 3], [4], [5])}, "has 2 numbers in row 2 and 1 in row 0"),
        ({"episode": np.ones(5)}, "column `episode` holds Float64, wanted text or a whole number"),
        ({"time": ["yesterday"] * 5}, "column `time` holds Utf8, wanted timestamps"),
        ({"next_observation": np.ones((5, 3))}, "`next_observation` has 3 numbers where `observation` has 2"),
    ],
)  # fmt: skip
def test_parquet_that_cannot_be_used(tmp_path: Path, changed: dict, said: str) -> None:
    with pytest.raises(BadConfiguration, match=said.replace("(", r"\(").replace(")", r"\)")) as told:
        read(parquet(tmp_path / "log.parquet", columns(**changed)))
    assert str(tmp_path / "log.parquet") in str(told.value)
    assert told.value.exit_code == 3


@pytest.mark.parametrize("damage", [b"", b"no parquet at all, but long enough", "torn", "footer"])
def test_a_damaged_parquet_file(tmp_path: Path, damage: bytes | str) -> None:
    path = parquet(tmp_path / "log.parquet", columns())
    whole = path.read_bytes()
    damaged = {"torn": whole[:-10], "footer": whole[:-40] + b"\xff" * 30 + whole[-10:]}
    path.write_bytes(damage if isinstance(damage, bytes) else damaged[damage])
    with pytest.raises(BadConfiguration, match="write it again"):
        read(path)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    parquet(tmp_path / "episodes.parquet", columns())
    with pytest.raises(BadConfiguration, match="beside it lies 'episodes.parquet'"):
        read(tmp_path / "episode.parquet")
    (tmp_path / "log.csv").write_text("a,b")
    with pytest.raises(BadConfiguration, match=r"its suffix is '.csv', wanted one of .parquet, .hdf5, .h5"):
        read(tmp_path / "log.csv")
    with pytest.raises(BadConfiguration, match=r"no data/main_data.hdf5 in this folder"):
        read(tmp_path)


@pytest.mark.parametrize("shape", ["file", "folder"])
def test_minari(tmp_path: Path, shape: str) -> None:
    path = minari(tmp_path / "data/main_data.hdf5")
    found, _ = read(path if shape == "file" else tmp_path)
    check_both_episodes(found)
    assert found.ids == ("episode_0", "episode_1")
    following, known = found.follows()
    assert known.all()
    assert following.tolist() == [[6, 7], [10, 11]]


@pytest.mark.parametrize("told", [np.array([1.0, 0.75]), np.array([np.nan, 1.0, 0.75])])
def test_minari_with_propensities_in_infos(tmp_path: Path, told: np.ndarray) -> None:
    path = minari(tmp_path / "main_data.hdf5", propensities=None)
    with h5py.File(path, "r+") as file:
        file["episode_1/infos/propensity"] = told
    check_both_episodes(read(path)[0])


def test_minari_keeps_the_order_of_its_episodes(tmp_path: Path) -> None:
    path = tmp_path / "main_data.hdf5"
    minari(path)
    with h5py.File(path, "r+") as file:
        for number in range(2, 12):
            file.copy("episode_1", f"episode_{number}")
    found, notes = read(path)
    assert found.ids == tuple(f"episode_{number}" for number in range(12)), "and not 0, 1, 10, 11, 2"
    assert any("10 of 12 episodes are copies of others (`episode_2` of `episode_1`)" in note for note in notes)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"rewards": None, "reward": np.ones(2)}, "episode_1: there is no `rewards` in it; did you mean 'reward'?"),
        ({"observations": np.ones((2, 2))}, "`observations` has 2 rows, wanted 3, .* after the last action is one"),
        ({"actions": np.ones(3)}, "`actions` has 3 rows, wanted 2"),
        ({"observations": np.array([[6, 7], [8, 9], [1, np.nan]])}, "last action of .*`episode_1` is not"),
        ({"truncations": np.array([True, True])}, "goes on after `truncations` at step 0"),
        ({"observations": np.ones((3, 5))}, r"`observations` have different shapes: \(2,\) in episode_0, \(5,\) in"),
        ({"propensities": None}, "episode_1 has no propensities, others have"),
        ({"propensities": np.ones(1)}, "`propensities` has 1 rows, wanted 2"),
        ({"propensities": np.array([0.5, 0.0])}, "column `propensity` is 0 at step 1 of episode `episode_1`"),
        ({"rewards": np.array([])}, "`rewards` is empty"),
        ({"actions": np.array([b"left", b"left"])}, "`actions` holds .* wanted numbers"),
        ({"rewards": np.float64(1)}, "`rewards` holds a single value, wanted numbers, one row a step"),
        ({"rewards": np.ones((2, 3))}, r"`rewards` has the shape \(2, 3\), wanted one number a step"),
        ({"terminations": np.zeros((2, 2))}, r"`terminations` has the shape \(2, 2\), wanted one number a step"),
        ({"propensities": np.ones((2, 3))}, r"`propensities` has the shape \(2, 3\), wanted one number a step"),
    ],
)  # fmt: skip
def test_minari_that_cannot_be_used(tmp_path: Path, changed: dict, said: str) -> None:
    with pytest.raises(BadConfiguration, match=said.replace("?", r"\?")):
        read(minari(tmp_path / "log.hdf5", **changed))


def test_a_column_of_one_number_a_row_is_that_number(tmp_path: Path) -> None:
    """As programs write it that keep everything as (rows, numbers)."""
    second = {
        "rewards": np.array([[4.0], [5.0]]),
        "terminations": np.array([[False], [False]]),
        "truncations": np.array([[False], [True]]),
        "propensities": np.array([[1.0], [0.75]]),
    }
    check_both_episodes(read(minari(tmp_path / "log.hdf5", **second))[0])


def test_an_hdf5_file_that_is_damaged_inside(tmp_path: Path) -> None:
    path = tmp_path / "log.hdf5"
    with h5py.File(path, "w") as file:
        group = file.create_group("episode_0")
        group.create_dataset("observations", data=np.random.default_rng(0).normal(size=(5_000, 2)), compression="gzip")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] + bytes(64) + whole[len(whole) // 2 + 64 :])
    with pytest.raises(BadConfiguration, match="no HDF5 file, or a torn one"):
        read(path)


@pytest.mark.parametrize(
    ("space", "shown", "said"),
    [
        (
            DiscreteSpace(n=4),
            [0.0, 1.0, 4.0, 2.0, 3.0],
            r"holds \[4.0\] at step 2 of episode `a`.*whole numbers from 0 to 3",
        ),
        (DiscreteSpace(n=9), [0.0, 0.5, 4.0, 2.0, 3.0], r"holds \[0.5\] at step 1 of episode `a`"),
        (
            BoxSpace(shape=[1], dtype="uint8", low=[0.0], high=[255.0]),
            [0.0, 0.25, 0.5, 0.75, 1.0],
            r"holds \[0.25\] at step 1 of episode `a`, the policy's observations are whole numbers from 0 to 255",
        ),
    ],
)
def test_observations_that_the_space_cannot_hold(tmp_path: Path, space: Space, shown: list[float], said: str) -> None:
    """A picture that was logged in parts of 1 would be all black."""
    found, _ = read(parquet(tmp_path / "log.parquet", columns(observation=np.array(shown))))
    with pytest.raises(BadConfiguration, match=said):
        fitted(found, space, DiscreteSpace(n=2), name="log.parquet")


def test_hdf5_of_another_layout(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "log.hdf5", "w") as file:
        file["observations"] = np.ones((4, 2))
    with pytest.raises(BadConfiguration, match="no group `episode_0` in it, only observations: wanted Minari's layout"):
        read(tmp_path / "log.hdf5")
    with h5py.File(tmp_path / "dict.h5", "w") as file:
        file["episode_0/observations/camera"] = np.ones((4, 2))
    with pytest.raises(BadConfiguration, match="`observations` is made of camera: flatten it"):
        read(tmp_path / "dict.h5")
    (tmp_path / "text.h5").write_text("hello")
    with pytest.raises(BadConfiguration, match="no HDF5 file, or a torn one"):
        read(tmp_path / "text.h5")


def test_a_digest_is_of_all_that_a_file_or_a_folder_holds(tmp_path: Path) -> None:
    file, folder = tmp_path / "log.parquet", tmp_path / "log"
    file.write_bytes(b"an episode")
    assert sha256_of(file) == hashlib.sha256(b"an episode").hexdigest(), "as sha256sum prints it"
    found = set()
    for name, content in (("a", b"1"), ("a", b"2"), ("deeper/b", b"1"), ("a", b"1")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
        found.add(sha256_of(folder))
    assert len(found) == 4, "each is another dataset"


def test_the_reference_page_has_every_column() -> None:
    page = PAGE.read_text()
    for name, column in COLUMNS.items():
        row = f"| `{name}` | {'yes' if column.required else 'no'} | {column.holds} |"
        assert row in page, f"docs/reference/dataset.md lacks the row {row}"


def many(episodes: int, *, seed: int = 0) -> Dataset:
    """Episodes of one to five timesteps; each observation tells its episode."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(1, 6, episodes)
    owner = np.repeat(np.arange(episodes), lengths)
    return Dataset(
        observations=np.stack([owner, generator.normal(size=len(owner))], axis=1),
        actions=generator.integers(0, 2, len(owner)),
        rewards=generator.normal(size=len(owner)),
        starts=np.concatenate([[0], np.cumsum(lengths)]),
        terminated=np.ones(episodes, dtype=bool),
        ids=tuple(str(episode) for episode in range(episodes)),
        times=generator.permutation(episodes).astype(float),
    )


def owners(part: Dataset) -> set[int]:
    return set(part.observations[:, 0].astype(int).tolist())


def test_parts_share_no_episode_and_lose_none() -> None:
    data = many(200)
    parts = split.by_chance(data, [0.7, 0.2, 0.1], np.random.default_rng(1))
    assert [part.episodes for part in parts] == [140, 40, 20]
    assert sum(part.timesteps for part in parts) == data.timesteps
    for one in parts:
        assert owners(one) == {int(name) for name in one.ids}
        assert not any(owners(one) & owners(other) for other in parts if other is not one)


def test_copies_of_an_episode_stay_together() -> None:
    data = many(50)
    doubled = data.take([*range(50), *range(50)])
    for seed in range(20):
        train, test = split.by_chance(doubled, [0.5, 0.5], np.random.default_rng(seed))
        assert not owners(train) & owners(test)
        fold = split.folds(doubled, 2, np.random.default_rng(seed))
        assert (fold[:50] == fold[50:]).all()
        assert fold[:50].sum() == 25


def test_a_split_by_time_never_learns_from_later_episodes() -> None:
    data = many(100)
    early, late = split.by_time(data, [0.8, 0.2])
    assert early.times.max() < late.times.min()
    assert (early.episodes, late.episodes) == (80, 20)
    with pytest.raises(BadConfiguration, match="column `time`"):
        split.by_time(replace(data, times=None), [0.8, 0.2])


@pytest.mark.parametrize("shares", [[0.5, 0.4], [1.0, 0.0], [], [1.5, -0.5]])
def test_shares_that_are_none(shares: list[float]) -> None:
    with pytest.raises(BadConfiguration, match="add up to 1"):
        split.by_chance(many(10), shares, np.random.default_rng(0))


def test_a_part_that_would_be_empty() -> None:
    with pytest.raises(BadConfiguration, match="leaves part 1 empty"):
        split.by_chance(many(4), [0.95, 0.05], np.random.default_rng(0))


def test_outliers_are_told_and_kept(tmp_path: Path) -> None:
    rewards = np.array([1.0, 2.0, 3.0, 4.0, 900.0])
    found, notes = read(parquet(tmp_path / "log.parquet", columns(reward=rewards)))
    assert found.rewards.max() == 900
    assert any("1 rewards lie over 10 interquartile" in note and "episode `b`" in note for note in notes)
