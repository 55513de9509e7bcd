"""Who works on a search, and what it leaves to the training: the spec that its seeds train with."""

from typing import Any

from belay_api.training import RLTrainingJobSpec


def workers(spec: RLTrainingJobSpec) -> int:
    """Return how many workers a search has, which never changes; 0: the spec has no search."""
    return min(spec.search.parallelism or spec.seeds.count, spec.search.trials) if spec.search else 0


def workers_at_once(spec: RLTrainingJobSpec) -> int:
    """Return how many of them work at once. Those whose turn comes late find nothing left to do, and end."""
    all_, search = workers(spec), spec.search
    chosen = search is not None and search.parallelism is not None
    return all_ if chosen else min(spec.seeds.parallelism or all_, all_)


def with_settings(spec: RLTrainingJobSpec, found: dict[str, Any]) -> RLTrainingJobSpec:
    """Return the spec of a training with the settings that were found, and without its search.

    It is one that could have been written by hand, so that what it trains can be trained again.

    Raises: ValueError when the algorithm does not take the settings.
    """
    algorithm, chosen = spec.algorithm, spec.algorithm.chosen
    settings = type(algorithm.settings).model_validate({**algorithm.settings.model_dump(exclude_none=True), **found})
    return spec.model_copy(update={"algorithm": algorithm.model_copy(update={chosen: settings}), "search": None})
