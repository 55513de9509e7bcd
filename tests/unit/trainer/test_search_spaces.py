"""What a search tries: ready spaces, the user's words over them, and how values are drawn."""

from pathlib import Path
from typing import Any

import pytest
from search_support import make_spec, make_study
from trainer_configs import make_config

from belay_api.algorithms import ALGORITHMS, AlgorithmSpec
from belay_api.search import SearchSpec, check
from belay_trainer.errors import BadConfiguration
from belay_trainer.search.spaces import ready_space, space_of

DRAWS = 300


def settings_of(algorithm: str) -> Any:
    return type(AlgorithmSpec.model_validate({algorithm: {}}).settings)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_ready_space_is_one_that_a_user_could_have_written(algorithm: str) -> None:
    ready = ready_space(algorithm, settings_of(algorithm))
    said = {name: values.dump() for name, values in ready.items()}
    search = SearchSpec.model_validate({"trials": 1, "space": said})
    check(search, AlgorithmSpec.model_validate({algorithm: {}}))
    assert next(iter(ready)) == "learning_rate"
    assert set(ready) >= {"learning_rate", "gamma"}


def test_the_most_important_settings_come_first_and_the_users_words_go_over_them() -> None:
    def names(algorithm: dict[str, Any], **search: Any) -> list[str]:
        spec = make_config(algorithm=algorithm, search={"trials": 1} | search).spec
        assert spec.search is not None
        return list(space_of(spec.search, spec.algorithm))

    order = ["learning_rate", "net_arch", "batch_size", "gamma", "ent_coef"]
    assert names({"ppo": {}})[:5] == order
    assert names({"ppo": {}}, dimensions=2) == order[:2]
    assert names({"ppo": {}}, dimensions=2, space={"learning_rate": {"log": [1e-5, 1e-2]}}) == order[:2]
    assert names({"ppo": {"net_arch": [64]}}, dimensions=2) == ["learning_rate", "batch_size"], "one that is set is not"
    space = {"vf_coef": {"range": [0.1, 1]}, "gamma": {"choices": [0.9, 0.99]}}
    assert names({"a2c": {}}, dimensions=1, space=space) == ["learning_rate", "gamma", "vf_coef"]

    spec = make_config(algorithm={"a2c": {}}, search={"trials": 1, "space": space}).spec
    assert spec.search is not None
    assert space_of(spec.search, spec.algorithm)["gamma"].choices == [0.9, 0.99]


@pytest.mark.parametrize("space", [{}, {"gamma": {"choices": [0.99]}}], ids=["none", "one value"])
def test_a_search_of_nothing_is_refused(space: dict[str, Any]) -> None:
    spec = make_spec(dimensions=0, space=space)
    assert spec.search is not None
    with pytest.raises(BadConfiguration, match=r"search.space: nothing of algorithm.ppo is left to be searched"):
        space_of(spec.search, spec.algorithm)


@pytest.mark.parametrize(
    ("space", "words"),
    [
        (
            {"learnin_rate": {"log": [1e-5, 1e-3]}},
            "no setting of that name to be searched; the nearest is learning_rate",
        ),
        ({"tau": {"range": [0.1, 0.2]}}, "algorithm.ppo has no setting of that name"),
        ({"policy_kwargs": {"choices": [{}]}}, "no setting of that name"),
        ({"learning_rate": {"log": [0, 1e-3]}}, "nothing at or below 0 has a logarithm"),
        ({"learning_rate": {"log": [1e-3, 1e-5]}}, "0.001 is not below 1e-05: write the lower end first"),
        ({"gamma": {"range": [0.9, 0.9]}}, "write the lower end first"),
        ({"gamma": {"range": [0.9, 1.5]}}, "1.5 cannot be gamma of algorithm.ppo"),
        ({"gamma": {"range": [0.9, 0.99], "choices": [0.9]}}, "exactly one of log, range and choices"),
        ({"gamma": {}}, "exactly one of log, range and choices"),
        ({"gamma": {"choices": [0.9, 0.9]}}, "a choice stands there twice"),
        ({"batch_size": {"choices": ["32"]}}, "'32' cannot be batch_size of algorithm.ppo"),
        ({"batch_size": {"choices": [True]}}, "True cannot be batch_size"),
        ({"batch_size": {"choices": [32.5]}}, "32.5 cannot be batch_size"),
        ({"batch_size": {"range": [1.5, 3]}}, "1.5 cannot be batch_size"),
        ({"net_arch": {"choices": [[64, "x"]]}}, "cannot be net_arch"),
        ({"net_arch": {"range": [64, 128]}}, "net_arch is no number: name its values in choices"),
        ({"activation_fn": {"choices": ["relu", "rleu"]}}, "'rleu' cannot be activation_fn"),
    ],
    ids=lambda value: None if isinstance(value, str) else next(iter(value), "space"),
)
def test_what_cannot_be_is_refused_by_name(space: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match="space") as refused:
        make_spec(space=space)
    assert words in str(refused.value)


def test_a_setting_is_fixed_or_searched_and_not_both() -> None:
    with pytest.raises(ValueError, match="algorithm.ppo sets gamma to one value already"):
        make_spec(algorithm={"ppo": {"gamma": 0.9}}, space={"gamma": {"range": [0.9, 0.99]}})


def test_values_are_drawn_as_the_space_says(tmp_path: Path) -> None:
    space = {
        "learning_rate": {"log": [1e-5, 1e-2]},
        "gamma": {"range": [0.9, 1.0]},
        "n_steps": {"log": [1, 8]},
        "batch_size": {"choices": [64, 32]},
        "net_arch": {"choices": [[64, 64], [256]]},
        "activation_fn": {"choices": ["relu", "tanh"]},
        "n_epochs": {"choices": [7]},
    }
    study = make_study(tmp_path / "j", spec=make_spec(trials=DRAWS, sampler="random", space=space))
    drawn = []
    while (trial := study.next()) is not None:
        drawn.append(trial.settings)
        study.finish(trial, 0.0)
    assert len(drawn) == DRAWS
    assert {(*map(type, one.values()),) for one in drawn} == {(float, list, int, float, int, int, str)}
    # A share p of n draws lies within 4 standard errors of it but once in 16,000.
    far = 4 * (DRAWS * 1 / 3 * 2 / 3) ** 0.5
    for low in (1e-5, 1e-4, 1e-3):
        assert abs(sum(low <= one["learning_rate"] <= 10 * low for one in drawn) - DRAWS / 3) < far, "each decade alike"
    assert abs(sum(one["gamma"] < 0.95 for one in drawn) - DRAWS / 2) < 4 * (DRAWS / 4) ** 0.5
    assert {one["n_steps"] for one in drawn} == set(range(1, 9))
    assert {one["batch_size"] for one in drawn} == {32, 64}
    assert {tuple(one["net_arch"]) for one in drawn} == {(64, 64), (256,)}
    assert {one["activation_fn"] for one in drawn} == {"relu", "tanh"}
    assert {one["n_epochs"] for one in drawn} == {7}
