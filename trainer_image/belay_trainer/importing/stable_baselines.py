"""A zip of Stable-Baselines3, with the statistics of its VecNormalize where it was trained behind one.

The settings and spaces in it are pickles, and so is a VecNormalize: reading either runs what its author put there. What
can be told without that, the algorithm first of all, is told before.
"""

import copy
import json
import logging
import pickle
import shutil
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecNormalize

from belay_api.artifact import TRAINING_FILE, Imported
from belay_api.spaces import array_space, space_model
from belay_trainer.errors import BadConfiguration
from belay_trainer.export import write_networks
from belay_trainer.importing import archives, spaces
from belay_trainer.importing.found import Declared, Found, Source, require_trust
from belay_trainer.learners import LEARNERS
from belay_trainer.learners.learner import Networks
from belay_trainer.learners.stable_baselines import StableBaselines

# A setting that only this algorithm's models have; A2C's are a part of PPO's, so it comes last.
MARKS = {
    "ppo": "clip_range",
    "dqn": "exploration_initial_eps",
    "sac": "target_entropy",
    "td3": "target_policy_noise",
    "a2c": "gae_lambda",
}
TRPO = "cg_max_steps"  # a setting of the Contrib's that has A2C's settings and policy
# Of the Contrib's other algorithms the policies have modules of their own.
CONTRIB = {
    "sb3_contrib.qrdqn.": "qrdqn",
    "sb3_contrib.tqc.": "tqc",
    "sb3_contrib.crossq.": "crossq",
    "sb3_contrib.common.maskable.": "maskablePPO",
    "sb3_contrib.common.recurrent.": "recurrentPPO",
}
# Not needed to act, so these pickles are not opened. They are also those that most often cannot be: schedules are
# functions, pickled as byte-code of the Python that saved them. A buffer would be made in the size that it had.
_SCHEDULES = ("lr_schedule", "clip_range", "exploration_schedule")
_REPLACED: dict[str, Any] = {
    "learning_rate": 0.0,
    **dict.fromkeys(_SCHEDULES, lambda _: 0.0),
    **dict.fromkeys(("clip_range_vf", "action_noise", "tensorboard_log")),
    **dict.fromkeys(("replay_buffer_class", "rollout_buffer_class")),
    **dict.fromkeys(("_last_obs", "_last_original_obs", "_last_episode_starts", "ep_info_buffer", "ep_success_buffer")),
    "buffer_size": 1,
    "replay_buffer_kwargs": {},
    "verbose": 0,  # else the library prints among what we print
}
_PACKAGES = {  # as `system_info.txt` names them
    "Python": "python",
    "Stable-Baselines3": "stable-baselines3",
    "PyTorch": "torch",
    "Numpy": "numpy",
    "Gymnasium": "gymnasium",
}
# What a pickle raises that was made by other versions, or by classes that are not here.
_UNREADABLE = (
    ImportError, AttributeError, TypeError, ValueError, LookupError, AssertionError, RuntimeError, EOFError,
    pickle.UnpicklingError,
)  # fmt: skip
log = logging.getLogger(__name__)


def read(source: Source, declared: Declared) -> Found:
    """Return the policy in a file. Raises: BadConfiguration."""
    settings, packages = _told(source)
    algorithm = _algorithm(source, settings)
    require_trust(declared, source.name, "holds pickles, and a pickle runs whatever code its author put into it")
    learner_class: Any = LEARNERS[algorithm]  # a StableBaselines
    model = _loaded(source, learner_class.library, settings)
    taken = model.observation_space if declared.observation is None else declared.observation
    acts = model.action_space if declared.action is None else declared.action
    try:
        observation, action = space_model(taken), array_space(acts)
    except ValueError as error:
        raise BadConfiguration(f"{source.name}: {error}.") from error
    _set_environment(source, model, taken, acts, declared.statistics)
    learner = learner_class.adopt(model)
    networks = _networks(learner, model)

    def write(folder: Path) -> None:
        write_networks(networks.actor, spaces.observations(observation, count=2), folder, state=networks.state)
        shutil.copyfile(source.path, folder / TRAINING_FILE)

    return Found(
        imported=Imported(
            format="stable-baselines3",
            source=source.name,
            sha256=source.sha256,
            timesteps=model.num_timesteps,
            packages=packages,
        ),
        observation=observation,
        action=action,
        output=networks.output,
        policy=learner.policy,
        write=write,
        algorithm=algorithm,
        normaliser=networks.normaliser,
        state=networks.state,
        value=networks.value,
    )


def _told(source: Source) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the settings as they stand in the file, pickles unread, and the versions it was saved by."""
    with archives.opened(source) as archive:
        try:
            settings = json.loads(archive.read("data"))
            if not isinstance(settings, dict):
                raise ValueError("its member `data` is no object")
        except (ValueError, RecursionError) as error:
            raise BadConfiguration(f"{source.name} is no model that Stable-Baselines3 saved: {error}.") from error
        system = (
            archive.read("system_info.txt").decode(errors="replace") if "system_info.txt" in archive.namelist() else ""
        )
    lines = (line.lstrip("- ").partition(": ") for line in system.splitlines())
    return settings, {_PACKAGES[name]: value.strip()[:64] for name, _, value in lines if name in _PACKAGES}


def _algorithm(source: Source, settings: dict[str, Any]) -> str:
    policy = settings.get("policy_class")
    module = policy.get("__module__", "") if isinstance(policy, dict) else ""
    if str(module).startswith("sb3_contrib."):
        found = next((name for prefix, name in CONTRIB.items() if module.startswith(prefix)), None)
    else:
        found = next((name for name, mark in MARKS.items() if mark in settings and TRPO not in settings), None)
    if found is None:
        raise BadConfiguration(
            f"{source.name} is of an algorithm that cannot be imported (its policy is of "
            f"{module or 'an unknown module'}): {', '.join((*MARKS, *CONTRIB.values()))} can be. Write the network as "
            "ONNX and import that."
        )
    return found


def _loaded(source: Source, library: type[BaseAlgorithm], settings: dict[str, Any]) -> BaseAlgorithm:
    replaced = copy.deepcopy({name: value for name, value in _REPLACED.items() if name in settings})
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what could not be read: what is needed of it fails below
            model = library.load(source.path, device="cpu", custom_objects=replaced)
    except _UNREADABLE as error:
        raise BadConfiguration(
            f"{source.name} cannot be loaded here: {type(error).__name__}: {_first_line(error)}. If it needs a "
            "module of yours, put that on PYTHONPATH; if it was saved by other versions of Python or "
            "Stable-Baselines3, save it again with this image's or import an ONNX file of it."
        ) from error
    if model.use_sde:
        # Its noise depends on the weights, and could not be copied with them.
        with torch.no_grad():
            model.policy.reset_noise()
    return model


def _set_environment(
    source: Source,
    model: BaseAlgorithm,
    observation: gymnasium.Space[Any],
    action: gymnasium.Space[Any],
    statistics: Path | None,
) -> None:
    """Give the model an environment of these spaces, with the wrappers that its training had."""
    tasks: VecEnv = DummyVecEnv([_blank(observation, action) for _ in range(model.n_envs)])
    try:
        if statistics is not None:
            tasks = _normalised(statistics, tasks)
        model.set_env(tasks)
    except (AssertionError, ValueError) as error:
        raise BadConfiguration(
            f"{source.name} takes {model.observation_space} and acts in {model.action_space}, and here are "
            f"{observation} and {action}: {_first_line(error)}. Name the environment it was trained in, with its "
            "wrappers; frames that were stacked or scaled for the training need an environment of yours that does so."
        ) from error


def _normalised(path: Path, tasks: VecEnv) -> VecNormalize:
    try:
        with path.open("rb") as file:
            found = pickle.load(file)
    except OSError as error:
        raise BadConfiguration(f"--normalize {path} cannot be read: {error}.") from error
    except _UNREADABLE as error:
        raise BadConfiguration(
            f"--normalize {path} is no VecNormalize that can be read here: {type(error).__name__}: "
            f"{_first_line(error)}."
        ) from error
    if not isinstance(found, VecNormalize):
        raise BadConfiguration(
            f"--normalize {path} holds a {type(found).__name__}: wanted what VecNormalize.save wrote beside the model."
        )
    found.set_venv(tasks)
    found.training = False
    return found


def _networks(learner: StableBaselines, model: BaseAlgorithm) -> Networks:
    networks = learner.networks()
    if not (model.use_sde and model.policy.squash_output):
        return networks
    log.warning(
        "the policy explores by noise that depends on the state (gSDE) and presses its actions between bounds, which "
        "no head knows: it is served greedily, `deterministic: false` is refused"
    )
    if networks.state is not None:
        raise BadConfiguration(
            "the policy remembers and presses its actions between bounds (squash_output), which no output is that can "
            "be served: write the network as ONNX and serve it from an image of your own."
        )
    policy = copy.deepcopy(model.policy).cpu()
    policy.set_training_mode(False)
    policy.requires_grad_(False)
    networks.actor.network = _Greedy(policy, model.action_space).eval()
    return replace(networks, output="mean")


class _Greedy(torch.nn.Module):
    """Observations to the best action."""

    def __init__(self, policy: Any, space: gymnasium.spaces.Box) -> None:
        super().__init__()
        self.policy = policy
        low, high = (torch.as_tensor(end).flatten() for end in (space.low, space.high))
        self.register_buffer("low", low)
        self.register_buffer("half_range", (high - low) / 2)

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        action = self.policy._predict(observation, deterministic=True).flatten(1)
        return self.low + (action + 1.0) * self.half_range if self.policy.squash_output else action


def _blank(observation: gymnasium.Space[Any], action: gymnasium.Space[Any]) -> Callable[[], gymnasium.Env[Any, Any]]:
    return lambda: _Blank(observation, action)


class _Blank(gymnasium.Env[np.ndarray, Any]):
    """Spaces, and nothing to play."""

    def __init__(self, observation: gymnasium.Space[Any], action: gymnasium.Space[Any]) -> None:
        self.observation_space, self.action_space = observation, action


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0].rstrip(".") if text else "no reason given"
