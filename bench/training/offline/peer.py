"""d3rlpy's side: the same algorithm, settings, file and number of updates.

Both scale alike: observations by the log's mean and deviation, rewards by their mean size, actions to -1 to 1. Where a
setting means something else there it is translated, so that both descend the same loss. What stays as each has it:
d3rlpy leaves out the last timestep of a truncated episode; it fits discrete CQL by Huber's loss, and copies its target
network every 1/tau updates instead of moving it; in the target of continuous CQL it takes the policy's middle action,
where Belay draws one; it copies continuous actions by their squared distance, where Belay's density has a spread.
"""

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from work import Learned, Work, timed

from belay_trainer.datasets.dataset import Dataset

ERROR = 40  # as `logging` counts: what it has to say of its progress is not wanted


class Peer:
    """d3rlpy, where it is installed."""

    def __init__(self) -> None:
        """Raises: ImportError when it is not."""
        import d3rlpy  # noqa: PLC0415  only where it is installed
        import structlog  # noqa: PLC0415

        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(ERROR))
        self._library = d3rlpy

    def learn(self, work: Work) -> Learned | None:
        """Return the policy after the last update; None: it has no such algorithm for such actions."""
        make = CONFIGS.get((work.algorithm, work.log.discrete))
        if make is None:
            return None
        self._library.seed(work.seed)
        learner = make(self._library, work).create(device="cpu:0")
        quiet = {"logger_adapter": self._library.logging.NoopAdapterFactory(), "show_progress": False}
        episodes, updates = self._episodes(work.log), work.updates
        ms = timed(work, lambda: learner.fit(episodes, n_steps=updates, n_steps_per_epoch=updates, **quiet))
        return Learned(Predicts(learner), ms)

    def _episodes(self, log: Dataset) -> Any:
        terminated, truncated = np.zeros((2, log.timesteps), dtype=np.float32)
        terminated[log.starts[1:] - 1], truncated[log.starts[1:] - 1] = log.terminated, ~log.terminated
        kinds = self._library.ActionSpace
        return self._library.dataset.MDPDataset(
            observations=log.observations.astype(np.float32),
            actions=log.actions.reshape(log.timesteps, -1).astype(np.int64 if log.discrete else np.float32),
            rewards=log.rewards.astype(np.float32),
            terminals=terminated,
            timeouts=truncated,
            action_space=kinds.DISCRETE if log.discrete else kinds.CONTINUOUS,
        )


class Predicts:
    """One of its learners as `belay_trainer.evaluate.Policy`."""

    def __init__(self, learner: Any) -> None:
        self._learner = learner

    def predict(self, observation: np.ndarray, *, deterministic: bool) -> tuple[np.ndarray, object]:
        del deterministic  # it is always greedy
        return self._learner.predict(observation), None


def _bc(library: Any, work: Work) -> Any:
    return library.algos.BCConfig(**_common(library, work, "encoder_factory"), learning_rate=_rate(work))


def _discrete_bc(library: Any, work: Work) -> Any:
    common = _common(library, work, "encoder_factory")
    return library.algos.DiscreteBCConfig(**common, learning_rate=_rate(work), beta=0.0)


def _td3bc(library: Any, work: Work) -> Any:
    return library.algos.TD3PlusBCConfig(
        **_common(library, work, "actor_encoder_factory", "critic_encoder_factory"),
        **_valued(library, work),
        actor_learning_rate=_rate(work),
        critic_learning_rate=_rate(work),
        tau=work.settings["tau"],
        alpha=work.settings["alpha"],
    )


def _iql(library: Any, work: Work) -> Any:
    return library.algos.IQLConfig(
        **_common(library, work, "actor_encoder_factory", "critic_encoder_factory", "value_encoder_factory"),
        **_valued(library, work),
        actor_learning_rate=_rate(work),
        critic_learning_rate=_rate(work),
        tau=work.settings["tau"],
        expectile=work.settings["expectile"],
        weight_temp=work.settings["temperature"],
        max_weight=work.settings["max_weight"],
    )


def _cql(library: Any, work: Work) -> Any:
    # Belay has half of the squared error, as the paper's equation 4, and d3rlpy all of it.
    return library.algos.CQLConfig(
        **_common(library, work, "actor_encoder_factory", "critic_encoder_factory"),
        **_valued(library, work),
        actor_learning_rate=work.settings["actor_learning_rate"],
        temp_learning_rate=work.settings["actor_learning_rate"],
        critic_learning_rate=_rate(work),
        alpha_learning_rate=0.0,  # no Lagrange multiplier
        conservative_weight=2 * work.settings["alpha"],
        n_action_samples=work.settings["n_actions"],
        tau=work.settings["tau"],
    )


def _discrete_cql(library: Any, work: Work) -> Any:
    # Its pull is on the mean of both critics, Belay's on each.
    return library.algos.DiscreteCQLConfig(
        **_common(library, work, "encoder_factory"),
        **_valued(library, work),
        learning_rate=_rate(work),
        n_critics=2,
        alpha=2 * work.settings["alpha"],
        target_update_interval=round(1 / work.settings["tau"]),
    )


CONFIGS: dict[tuple[str, bool], Callable[[Any, Work], Any]] = {
    ("bc", False): _bc,
    ("bc", True): _discrete_bc,
    ("td3bc", False): _td3bc,
    ("iql", False): _iql,
    ("cql", False): _cql,
    ("cql", True): _discrete_cql,
}
"""By algorithm, and whether actions are choices."""


def _common(library: Any, work: Work, *networks: str) -> dict[str, Any]:
    """Args: networks: The fields that say how networks are made."""
    rows = work.log.observations.reshape(work.log.timesteps, -1).astype(np.float64)
    scalers = library.preprocessing
    found = {name: library.models.VectorEncoderFactory(work.settings["net_arch"]) for name in networks}
    found["observation_scaler"] = scalers.StandardObservationScaler(mean=rows.mean(axis=0), std=rows.std(axis=0))
    if not work.log.discrete:
        space = gymnasium.make(work.task).action_space
        found["action_scaler"] = scalers.MinMaxActionScaler(minimum=space.low, maximum=space.high)
    return found | {"batch_size": work.settings["batch_size"]}


def _valued(library: Any, work: Work) -> dict[str, Any]:
    """What all but copies have."""
    scaler = library.preprocessing.MultiplyRewardScaler(1 / float(np.abs(work.log.rewards).mean()))
    return {"gamma": work.settings["gamma"], "reward_scaler": scaler}


def _rate(work: Work) -> float:
    return float(work.settings["learning_rate"])
