"""What older releases wrote into clusters is still read."""

import pytest

from belay_api.training import RLTrainingJobSpec


@pytest.mark.parametrize(
    ("said", "chosen", "settings"),
    [
        ({"name": "ppo"}, "ppo", {}),
        ({"name": "dqn", "hyperparameters": {"buffer_size": 10}}, "dqn", {"buffer_size": 10}),
        ({"dqn": {"buffer_size": 10}}, "dqn", {"buffer_size": 10}),
    ],
)
def test_an_algorithm_by_name_is_the_field_of_that_name(
    said: dict[str, object], chosen: str, settings: dict[str, object]
) -> None:
    spec = RLTrainingJobSpec.model_validate(
        {"environment": {"id": "CartPole-v1"}, "budget": {"steps": 1}, "algorithm": said}
    )
    assert spec.algorithm.chosen == chosen
    assert spec.algorithm.settings.model_dump(exclude_none=True) == settings
