"""What a search leaves to the training: who works on it, and the spec that its seeds train with."""

from typing import Any

from belay_api.training import RLTrainingJobSpec


def workers(spec: RLTrainingJobSpec) -> int:
    """Return how many pods search at once; 0: the spec has no search."""
    if spec.search is None:
        return 0
    seeds = min(spec.seeds.parallelism or spec.seeds.count, spec.seeds.count)
    return min(spec.search.parallelism or seeds, spec.search.trials)


def with_settings(spec: RLTrainingJobSpec, found: dict[str, Any]) -> RLTrainingJobSpec:
    """Return the spec of a training with the settings that were found, and without its search.

    It is one that could have been written by hand, so that what it trains can be trained again.

    Raises: ValueError when the algorithm does not take the settings.
    """
    algorithm, chosen = spec.algorithm, spec.algorithm.chosen
    settings = type(algorithm.settings).model_validate({**algorithm.settings.model_dump(exclude_none=True), **found})
    return spec.model_copy(update={"algorithm": algorithm.model_copy(update={chosen: settings}), "search": None})
