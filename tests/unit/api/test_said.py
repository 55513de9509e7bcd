"""What travels is what the user said: a default that the API server wrote into the object is not the user's word."""

from collections.abc import Iterator
from inspect import isabstract

import pytest
from pydantic import ValidationError

import belay_api.policy
import belay_api.rollout.spec
import belay_api.training
from belay_api.model import Model


def _models(kind: type[Model] = Model) -> Iterator[type[Model]]:
    for model in kind.__subclasses__():
        if not isabstract(model):
            yield model
        yield from _models(model)


def _says_nothing(model: type[Model]) -> bool:
    try:
        model()
    except ValidationError:
        return False
    return True


EMPTY = sorted({model for model in _models() if _says_nothing(model)}, key=lambda model: model.__name__)


@pytest.mark.parametrize("model", EMPTY, ids=lambda model: model.__name__)
def test_defaults_that_the_api_server_filled_in_are_not_said(model: type[Model]) -> None:
    assert model.model_validate(model().dump()).said() == {}


def test_there_are_models_with_durations_among_them() -> None:
    assert {"CheckpointSpec", "FailureSpec", "BakeSpec"} <= {model.__name__ for model in EMPTY}


def test_what_differs_is_said() -> None:
    asked = {"every": 10_000, "keep": 5, "environment": True, "grace": "60s"}
    assert belay_api.training.CheckpointSpec.model_validate(asked).said() == {"keep": 5}
