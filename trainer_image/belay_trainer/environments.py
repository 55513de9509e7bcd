"""The task as the spec names it: made, checked, and ready to be stepped by Stable-Baselines3.

Who starts where: no two copies of any seed of a job collect in the same episodes, and nothing is evaluated in episodes
that were trained on. Evaluations begin at reset seeds below 2^31, copies at one of their own from there on.
"""

import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import load_env_creator
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

from belay_api.environment import MOST_COPIES, EnvironmentSpec, RewardRange
from belay_api.spaces import DiscreteSpace, array_space, space_model
from belay_api.training import RLTrainingJobSpec
from belay_api.words import did_you_mean
from belay_heads.observations import numbers, parts, shape
from belay_trainer import masks
from belay_trainer.errors import BadConfiguration, Diverged, EnvironmentFailed, own_error
from belay_trainer.faults import USER_FAULTS
from belay_trainer.imports import Imported, import_module_of
from belay_trainer.wrapping.guarded import Guarded
from belay_trainer.wrapping.randomized import Randomized
from belay_trainer.wrapping.wrappers import wrap

Environment = gymnasium.Env[Any, Any]

STATISTICS = "RunningMeanStd"  # so Gymnasium calls them, Stable-Baselines3, and most who have written their own
TRAINING_SEEDS = 2**31  # from here on; NumPy's older generators take 32 bits and no more


def maker(spec: EnvironmentSpec) -> Callable[[], Environment]:
    """Return what makes one copy of the task: the environment in its wrappers, with its draws for each episode.

    Its Raises: BadConfiguration when the id, its module, its keyword arguments, its wrappers or its draws do not give
        an environment; EnvironmentFailed when it cannot be made for another reason. So does its every reset and step.
    """
    made = partial(_made, spec)
    return (lambda: Randomized(made, spec.randomize)) if spec.randomize else partial(made, {})


def maker_for(spec: RLTrainingJobSpec) -> Callable[[], Environment]:
    """Return what makes one copy of where the spec's policies are played, as its algorithm needs it.

    Its Raises: as `maker`'s.
    """
    make = maker(spec.played_in)
    return (lambda: masks.Masking(make())) if spec.algorithm.settings.masked else make


def check_spaces(environment: Environment) -> None:
    """Check that what goes in and out can be served. Raises: BadConfiguration."""
    try:
        observation = space_model(environment.observation_space)
        action = array_space(environment.action_space)
    except ValueError as error:
        raise BadConfiguration(f"environment.id: {error}") from error
    observed = {f"observations {part.key!r}": part.space for part in parts(observation)}
    for name, space in ({"actions": action} | (observed or {"observations": observation})).items():
        if space.kind in ("discrete", "multi-discrete") and np.any(space.start):
            raise BadConfiguration(
                f"environment.id: {name} start at {space.start}, wanted 0: shift them in a wrapper of the environment."
            )


def check_arrays(environment: Environment, who: str) -> None:
    """Check that an observation, and an action, is one choice or one array. Args: who: Asks for that, as `it takes`.

    Raises: BadConfiguration.
    """
    for what, space, advice in (
        ("observations", environment.observation_space, "add the wrapper FlattenObservation to environment.wrappers"),
        ("actions", environment.action_space, "make them one choice, or numbers, in a wrapper of your own"),
    ):
        if not isinstance(space, gymnasium.spaces.Discrete | gymnasium.spaces.Box):
            raise BadConfiguration(
                f"{who} {what} that are one choice or one array, and this task's are {space}: {advice}."
            )


def check_wrappers(environment: Environment) -> None:
    """Check that nothing inside learns while it is stepped: it would not be served. Raises: BadConfiguration."""
    for layer in _layers(environment):
        if any(type(value).__name__ == STATISTICS for value in _held(layer)):
            raise BadConfiguration(
                f"environment.id: {type(layer).__name__} inside the environment keeps running statistics. They are not "
                "part of the policy, so that it would act on other observations, or be measured in other rewards, than "
                "in training. Leave it out and set normalize: {observation: true} or {reward: true} instead."
            )


def try_out(environment: Environment) -> None:
    """Reset and step once: what cannot be played is told now, in the environment's own words.

    Raises: BadConfiguration.
    """
    try:
        started = environment.reset(seed=0)
        if not (isinstance(started, tuple) and len(started) == 2):
            raise TypeError(f"reset() returned {type(started).__name__}, wanted (observation, info)")
        stepped = environment.step(masks.any_action(environment, *started, generator=np.random.default_rng(0)))
        if len(stepped) != 5:
            raise TypeError(
                f"step() returned {len(stepped)} values, wanted (observation, reward, terminated, truncated, info)"
            )
    except (EnvironmentFailed, *USER_FAULTS) as failed:
        error = own_error(failed) or failed
        if not isinstance(error, USER_FAULTS):
            raise
        raise BadConfiguration(
            f"environment.id: the first reset and step failed: {type(error).__name__}: {error}. Environments of Gym's "
            "old API need a wrapper that speaks Gymnasium's (`shimmy` has one)."
        ) from error
    _check_shown(environment, started[0], "reset()")
    _check_shown(environment, stepped[0], "step()")
    _check_paid(stepped[1])


def cap(environment: Environment) -> int | None:
    """Return the most timesteps an episode can last; None: there is no cap."""
    return environment.spec.max_episode_steps if environment.spec else None


def reward_range(environment: Environment, spec: EnvironmentSpec) -> RewardRange | None:
    """Return between what every reward lies, as the spec says, or else the environment's attribute; None: nobody says.

    Raises: BadConfiguration when the spec contradicts itself.
    """
    said = spec.reward_range
    if said is not None:
        if said.low is not None and said.high is not None and said.low > said.high:
            raise BadConfiguration(
                f"environment.rewardRange: low {said.low:g} is above high {said.high:g}: exchange them."
            )
        return said
    # Gymnasium had this attribute until version 1, infinite where nobody set it.
    found = getattr(environment.unwrapped, "reward_range", None)
    try:
        low, high = (float(end) for end in found)
    except (TypeError, ValueError):
        return None
    if not low <= high or not (math.isfinite(low) or math.isfinite(high)):
        return None
    return RewardRange(low=low if math.isfinite(low) else None, high=high if math.isfinite(high) else None)


class _WholeSwitches(gymnasium.ActionWrapper[Any, Any, Any]):
    """A task of switches: the library has their sides as fractions, and in service they are whole."""

    def action(self, action: Any) -> Any:
        return np.asarray(action).astype(np.int8)


class Copies(DummyVecEnv):
    """Environments stepped one after the other; each begins at a reset seed that no copy of another seed begins at."""

    def seed(self, seed: int | None = None) -> list[int]:
        """Seed the next reset. Stable-Baselines3's own gives copy i + 1 of seed s what copy i of seed s + 1 has."""
        if seed is None:
            return super().seed(seed)
        self._seeds = reset_seeds(seed, self.num_envs)
        return self._seeds


class RewardMonitor(Monitor):
    """An environment whose episode returns are counted, and of whose rewards it is known between what they lie."""

    reward_low, reward_high = math.inf, -math.inf  # of finished episodes

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Step. Raises: Diverged for a reward that is not finite: learned from, it would look like a step size."""
        stepped = super().step(action)
        if not math.isfinite(stepped[1]):
            raise Diverged(
                f"the environment paid a reward of {stepped[1]} for the action {action} in timestep "
                f"{len(self.rewards)} of an episode, wanted a finite number: look for a division by zero or "
                "an overflow in it."
            )
        return stepped

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """Begin an episode, after a look at the rewards of the one before: at each timestep it would cost more."""
        if self.rewards:
            low, high = min(self.rewards), max(self.rewards)
            self.reward_low, self.reward_high = min(self.reward_low, low), max(self.reward_high, high)
        return super().reset(**kwargs)


def reset_seeds(seed: int, copies: int) -> list[int]:
    """Return the reset seeds of a training seed's copies, all at least 2^31.

    Those of the up to 1,000 neighbouring seeds of a job all differ.
    """
    return [TRAINING_SEEDS + (seed * MOST_COPIES + copy) % TRAINING_SEEDS for copy in range(copies)]


def seed_of_life(seed: int, timestep: int) -> int:
    """Return what the copies are seeded by where new episodes begin in the middle of a training.

    By its own seed each life of a pod would begin with the episodes of the first again.
    """
    return int(np.random.SeedSequence((seed, timestep)).generate_state(1)[0])


def vectorised(
    make: Callable[[], Environment], copies: int, *, around: Callable[[Environment], Environment] = lambda it: it
) -> Copies:
    """Return `copies` environments, each counting its episode returns.

    Args:
        around: What stands around each of them; returns are counted within.
    """
    return Copies([lambda: around(RewardMonitor(make())) for _ in range(copies)])


def _made(spec: EnvironmentSpec, drawn: Mapping[str, Any]) -> Environment:
    """Return the environment in its wrappers. Args: drawn: Keyword arguments over those of the spec."""
    imported, kwargs = import_module_of(spec.id), spec.kwargs | drawn
    try:
        made = gymnasium.make(spec.id, **kwargs)
    except gymnasium.error.UnregisteredEnv as error:
        raise BadConfiguration(_unregistered(spec.id, imported, error)) from error
    except USER_FAULTS as error:
        raise BadConfiguration(
            f"environment.id {spec.id!r} with kwargs {kwargs} cannot be made: {type(error).__name__}: {error}. "
            f"{_unknown(spec.id, kwargs) or 'Correct environment.kwargs or the environment.'}"
        ) from error
    except Exception as error:
        raise EnvironmentFailed(f"environment.id {spec.id!r} with kwargs {kwargs} cannot be made", error) from error
    task = Guarded(wrap(made, spec.wrappers), spec.id)
    return _WholeSwitches(task) if isinstance(task.action_space, gymnasium.spaces.MultiBinary) else task


def _check_shown(environment: Environment, observation: Any, who: str) -> None:
    """Check that an observation is of the declared shape, and of numbers; how large these are the diagnosis looks at.

    Raises: BadConfiguration.
    """
    space = space_model(environment.observation_space)
    wanted = f"environment.id: {who} shows another observation than its space declares"
    try:
        found = numbers(observation, parts(space))
        unknown = np.flatnonzero(~np.isfinite(found))
    except USER_FAULTS as error:
        raise BadConfiguration(
            f"{wanted}, {environment.observation_space}: {type(error).__name__}: {error}."
        ) from error
    if found.shape != shape(space):
        raise BadConfiguration(f"{wanted}: its shape is {found.shape}, wanted {shape(space)}.")
    if unknown.size:
        raise BadConfiguration(
            f"environment.id: {who} shows an observation whose number {unknown[0]} is {np.ravel(found)[unknown[0]]}, "
            "wanted finite ones: look for a division by zero or an overflow in the environment."
        )
    if isinstance(space, DiscreteSpace) and not 0 <= int(found) - space.start < space.n:
        raise BadConfiguration(f"{wanted}: it is {found}, wanted one of {space.n} from {space.start} on.")


def _check_paid(reward: Any) -> None:
    """Check that a reward is a finite number. Raises: BadConfiguration."""
    try:
        finite = math.isfinite(reward)
    except TypeError:
        finite = False
    if not finite:
        raise BadConfiguration(f"environment.id: step() paid a reward of {reward!r}, wanted a finite number.")


def _unregistered(id: str, imported: Imported | None, error: Exception) -> str:
    if imported is None:
        return (
            f"environment.id: {error} The ids in this image: `python3 -c 'import gymnasium; "
            f"gymnasium.pprint_registry()'`. Ids of your own need their module in front, as in my_task:{id}, and the "
            "module in runtime.code, runtime.packages or the image."
        )
    wanted, known = id.rpartition(":")[2], ", ".join(imported.registered)
    return (
        f"environment.id: {imported.module} was imported, and no environment is registered as {wanted}. "
        f"It registers {known or 'nothing'}. Call gymnasium.register(id=..., entry_point=...) where it is imported."
    )


def _unknown(id: str, kwargs: Mapping[str, Any]) -> str:
    """Return which keyword argument the environment does not take, and what it takes; empty: that is not the matter."""
    try:
        found = gymnasium.spec(id.rpartition(":")[2]).entry_point  # its module, where it has one, was imported
        known = inspect.signature(load_env_creator(found) if isinstance(found, str) else found).parameters
    except (TypeError, ValueError, gymnasium.error.Error):  # it does not tell, or has a name without a version
        return ""
    unknown = next((name for name in kwargs if name not in known), None)
    if unknown is None or any(one.kind is one.VAR_KEYWORD for one in known.values()):
        return ""
    return f"The environment does not take {unknown}: {did_you_mean(unknown, known)}"


def _held(layer: Environment) -> Iterator[Any]:
    """What an object holds itself, or in a collection."""
    for value in vars(layer).values():
        yield value
        yield from value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()


def _layers(environment: Environment) -> Iterator[Environment]:
    """The environment and what it wraps, outermost first."""
    while True:
        yield environment
        if not isinstance(environment, gymnasium.Wrapper):
            return
        environment = environment.env
