"""One blob that holds everything a training's future depends on, so that a resumed run ends with the same bits.

Stable-Baselines3's own save and load forget the environments, the global generators, the last observation and the
replay buffer. Here all of it goes into *one* pickle, because model and environments share objects (an action space and
its generator, for one) which must stay shared. It is taken and put back at the same place: before experience is
collected. A resumed run starts as a fresh one and has its state replaced at the first such place; then the totals, the
schedules and the counters of `learn` need no arithmetic.

Bit-exact for the same image, one thread, a CPU and environments that pickle. Environments that do not are started
afresh, and the run is merely continued; so it is where a collection had to be cut.
"""

import hashlib
import logging
from typing import Any

import cloudpickle
import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm

from belay_trainer.randomness import random_state, set_random_state

FORMAT = 1
log = logging.getLogger(__name__)

# Found by leaving out one at a time and comparing final weights; the few that made no difference depend on where the
# cut falls, and are kept.
_COLLECTION = ("_last_obs", "_last_original_obs", "_last_episode_starts", "action_space")
_COUNTERS = (
    "num_timesteps",
    "_episode_num",
    "_n_updates",
    "_n_calls",
    "exploration_rate",
    "_current_progress_remaining",
    "ep_info_buffer",
    "ep_success_buffer",
)


class Unusable(Exception):
    """A blob this version cannot resume from."""


def pack(model: BaseAlgorithm, own: Any, *, collecting_since: int | None = None) -> bytes:
    """Return the blob of a model that stands before its next collection.

    Args:
        own: The callback's state; travels along as it is.
        collecting_since: Timestep at which the collection under way began, whose experience is dropped: the run goes on
            from there in new episodes. None: the model does stand before one.
    """
    counters = _attributes(model, _COUNTERS)
    if collecting_since is not None:
        counters["num_timesteps"] = collecting_since
    state = {
        "format": FORMAT,
        "policy": _on_cpu(model.policy.state_dict()),
        "optimizer": _on_cpu(model.policy.optimizer.state_dict()),
        "counters": counters,
        "replay": _replay(model),
        "random": random_state(),
        "own": own,
    }
    if collecting_since is not None:
        return cloudpickle.dumps(state | {"collection": None})
    collection = {
        "attributes": _attributes(model, _COLLECTION),
        "layers": [_own_state(layer) for layer in _layers(model)],
    }
    try:
        return cloudpickle.dumps(state | {"collection": collection})
    except Exception as error:  # whatever an environment's own pickling raises; our part is pickled again below
        blob = cloudpickle.dumps(state | {"collection": None})
        log.warning("the environment cannot be pickled (%s): a resumed run starts new episodes", error)
        return blob


def unpack(blob: bytes) -> dict[str, Any]:
    """Return the state in a blob whose digest was checked. Raises: Unusable."""
    try:
        state: dict[str, Any] = cloudpickle.loads(blob)
    except Exception as error:  # a pickle of other package versions fails in any way it likes
        raise Unusable(f"cannot be unpickled: {type(error).__name__}: {error}") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise Unusable(f"is not of format {FORMAT}")
    return state


def restore(model: BaseAlgorithm, state: dict[str, Any]) -> None:
    """Put a fresh model, inside `learn` and before its first collection, where `pack` found the other one."""
    model.policy.load_state_dict(state["policy"])
    model.policy.optimizer.load_state_dict(state["optimizer"])
    vars(model).update(state["counters"])
    if state["collection"] is not None:
        vars(model).update(state["collection"]["attributes"])
        for layer, saved in zip(_layers(model), state["collection"]["layers"], strict=True):
            vars(layer).update(saved)  # in place: `learn` already holds the vector environment
    if state["replay"] is not None:
        _refill(model, state["replay"])
    set_random_state(state["random"])  # last: nothing above may draw


def weights(model: BaseAlgorithm) -> dict[str, Any]:
    """Return copies of the policy's weights, target networks included, and of its optimiser's state."""
    return {
        "policy": _on_cpu(model.policy.state_dict(), copy=True),
        "optimizer": _on_cpu(model.policy.optimizer.state_dict(), copy=True),
    }


def set_weights(model: BaseAlgorithm, saved: dict[str, Any]) -> None:
    """Put back what `weights` returned."""
    model.policy.load_state_dict(saved["policy"])
    model.policy.optimizer.load_state_dict(saved["optimizer"])


def weights_sha256(model: BaseAlgorithm) -> str:
    """Return one digest over all weights, target networks included: equal only when every bit is."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.policy.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def finite(model: BaseAlgorithm) -> bool:
    """Return whether every weight is a number."""
    return all(bool(torch.isfinite(parameter).all()) for parameter in model.policy.parameters())


def _attributes(model: BaseAlgorithm, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(model, name) for name in names if hasattr(model, name)}


def _layers(model: BaseAlgorithm) -> list[Any]:
    """The vector environment and what it wraps, outermost first."""
    layers, layer = [], model.env
    while layer is not None:
        layers.append(layer)
        layer = getattr(layer, "venv", None)
    return layers


def _own_state(layer: Any) -> dict[str, Any]:
    # Not the layer's own pickling: VecNormalize, for one, leaves out its running returns there. Every wrapper keeps
    # `class_attributes`: they are the same in every process, and cannot be pickled.
    return {name: value for name, value in vars(layer).items() if name not in ("venv", "class_attributes")}


def _replay(model: BaseAlgorithm) -> dict[str, Any] | None:
    buffer = getattr(model, "replay_buffer", None)
    if buffer is None:
        return None
    rows = buffer.size()  # what lies beyond was never written, and is never read before it is
    arrays = {name: value[:rows] for name, value in vars(buffer).items() if isinstance(value, np.ndarray)}
    return {"rows": rows, "arrays": arrays, "pos": buffer.pos, "full": buffer.full}


def _refill(model: BaseAlgorithm, saved: dict[str, Any]) -> None:
    buffer = model.replay_buffer  # in place: `learn` passes this very object on
    for name, rows in saved["arrays"].items():
        getattr(buffer, name)[: saved["rows"]] = rows
    buffer.pos, buffer.full = saved["pos"], saved["full"]


def _on_cpu(value: Any, *, copy: bool = False) -> Any:
    if isinstance(value, torch.Tensor):
        value = value.detach()
        return value.clone().cpu() if copy else value.cpu()
    if isinstance(value, dict):
        return {key: _on_cpu(item, copy=copy) for key, item in value.items()}
    if isinstance(value, list):
        return [_on_cpu(item, copy=copy) for item in value]
    return value
