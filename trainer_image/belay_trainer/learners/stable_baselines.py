"""What all algorithms of Stable-Baselines3 have in common, behind `Learner`.

Its own `learn` collects and updates until a budget is used up, and tells nobody in between. Here each algorithm's file
says what one round of that is, and the rounds are ours to count. The library's own save and load forget the
environments, the last observation, the schedules and the replay buffer, so what a resumed training needs is gathered
here. It is taken and put back at one place, before experience is collected, so totals and counters need no arithmetic.

Attributes of the library that are private are named here and nowhere else: one that a release renames is an error.
"""

import copy
import hashlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecEnv, VecNormalize, VecTransposeImage, unwrap_vec_wrapper

from belay_api.adversary import AdversarySpec
from belay_api.artifact import NormaliserConstants
from belay_api.spaces import array_space, space_model
from belay_heads import observations
from belay_heads.observations import Part
from belay_trainer import environments
from belay_trainer.attack import ATTACKED, Attack, Network, require_attackable
from belay_trainer.config import Run
from belay_trainer.diagnosis.recorder import Recorder
from belay_trainer.environments import Environment
from belay_trainer.errors import BadConfiguration, Diverged
from belay_trainer.evaluate import Policy
from belay_trainer.gpu import on_cpu
from belay_trainer.learners import archive, parts, policy_kwargs
from belay_trainer.learners.actions import of_actions
from belay_trainer.learners.adversary import Adversary
from belay_trainer.learners.fitting import copy_fitting
from belay_trainer.learners.gradients import GradientNorms
from belay_trainer.learners.learner import Internals, Networks, Start
from belay_trainer.learners.networks import Preprocessed
from belay_trainer.metrics import of_episodes
from belay_trainer.presets.preset import Model, PresetContext
from belay_trainer.validation.observations import Limits
from belay_trainer.wrapping import shaping

# Found by leaving out one at a time and comparing final weights; the few that made no difference depend on where the
# cut falls, and are kept.
COUNTERS = (
    "num_timesteps",
    "_episode_num",
    "_n_updates",
    "_current_progress_remaining",
    "ep_info_buffer",
    "ep_success_buffer",
)
_COLLECTION = ("_last_original_obs", "_last_episode_starts", "action_space", "action_noise")
_STATISTICS = ("obs_rms", "ret_rms")
_POLICY = (  # beginnings of the names of what acts, in the library's policies
    "features_extractor.", "pi_features_extractor.", "mlp_extractor.policy_net.", "action_net.", "log_std", "actor.",
    "q_net.", "quantile_net.", "lstm_actor.",
)  # fmt: skip
_OPTIMISERS = {"gradient_norm": "policy", "actor_gradient_norm": "actor", "critic_gradient_norm": "critic"}
_ENTROPY = 5.0  # nats an action's number; at most log 2 where it is squashed, and tuned to about -1
LIBRARY = ("torch", "stable-baselines3")  # distributions, see `Learner.packages`
CONTRIB = (*LIBRARY, "sb3-contrib")
_CONVOLVED = 36  # pixels a side, the least that the library's convolutional network takes
log = logging.getLogger(__name__)


class StableBaselines(ABC):
    """A `Learner`; an algorithm's file says what differs."""

    algorithm: ClassVar[str]
    actions: ClassVar[frozenset[str]]
    convolves: ClassVar[bool] = True
    combines: ClassVar[bool] = True
    library: ClassVar[type[BaseAlgorithm]]
    settings: ClassVar[Callable[[Any, PresetContext], Model]]
    counters: ClassVar[tuple[str, ...]] = COUNTERS
    networks_are_called: ClassVar[str] = "Policy"  # the end of their names in the library
    output: str
    packages = LIBRARY
    kind: str  # of actions, as in the manifest
    from_dataset = None
    shaped = False  # it learns from other rewards than the environment's own
    _adversary: Adversary | None = None  # nobody changes what it is shown
    _parts: list[Part]  # of an observation; empty: it is one array

    def __init__(self, run: Run, make: Callable[[], Environment], probe: Environment) -> None:
        spec, space = run.spec, probe.action_space
        self.kind, self._parts = array_space(space).kind, observations.parts(space_model(probe.observation_space))
        preset = type(self).settings(
            spec.algorithm.settings,
            PresetContext(
                environment=spec.environment.id,
                steps=spec.budget.steps,
                actions=int(np.prod(space.shape or (1,))),
                copies=spec.environment.vector.count,
                observation=spec.normalize.observation,
                reward=spec.normalize.reward,
            ),
        )
        self.preset = preset.preset
        self._steps = spec.budget.steps
        task, discount, clip = spec.environment, float(preset.arguments["gamma"]), spec.environment.reward.clip
        around = shaping.around(task, discount=discount, scaled=preset.scaled.reward)
        tasks: VecEnv = environments.vectorised(parts.named(make), preset.copies, around=around)
        if preset.scaled.observation and (why := _unscalable(probe.observation_space)):
            raise BadConfiguration(
                f"normalize.observation: observations of this task, {probe.observation_space}, {why}, or set it to "
                "false."
            )
        if spec.adversary is not None:
            tasks = self._adversary = self._adversary_of(spec.adversary, tasks, probe, seed=run.seed)
        if preset.scaled:
            scaled = preset.scaled
            tasks = VecNormalize(
                tasks,
                norm_obs=scaled.observation,
                norm_reward=scaled.reward,
                gamma=discount,
                **({"clip_reward": clip} if clip is not None else {}),
            )
        network, field = _network(probe) + self.networks_are_called, f"algorithm.{self.algorithm}"
        further = policy_kwargs.read(spec.algorithm.settings, self.library.policy_aliases[network], field=field)
        arguments = preset.arguments | {"policy_kwargs": preset.arguments["policy_kwargs"] | further}
        try:
            self.model = self.library(network, tasks, seed=run.seed, **arguments)
        except (AssertionError, ValueError, TypeError, KeyError) as error:  # the last for keys that torch reserves
            raise BadConfiguration(f"{field} refuses its settings or the task: {error}") from error
        policy_kwargs.check_kept(further, self.model.policy_kwargs, field=field)
        self.model.set_logger(Logger(folder=None, output_formats=[]))  # numbers are read from it, nothing is printed
        self.discount, self.shaped = discount, task.reward.shapes
        self._hook, self._gradients = _Hook(self._parts), GradientNorms()
        self._unstarted = copy.deepcopy({name: getattr(self.model, name) for name in ("_last_obs", *_COLLECTION)})

    @classmethod
    def adopt(cls, model: BaseAlgorithm) -> Self:
        """Return the learner of a model that was trained elsewhere: to be asked and exported, not to go on.

        Args:
            model: With an environment, whose wrappers are taken for those of its training.
        """
        learner = cls.__new__(cls)
        learner.model, learner.kind = model, array_space(model.action_space).kind
        learner._parts = observations.parts(space_model(model.observation_space))
        return learner

    @property
    def timesteps(self) -> int:
        """See `Learner.timesteps`."""
        return self.model.num_timesteps

    @property
    def policy(self) -> Policy:
        """See `Learner.policy`."""
        normaliser = self._normaliser
        policy = self._acting() if normaliser is None else _Normalised(self._acting(), normaliser)
        return parts.OfRows(policy, self._parts) if self._parts else policy

    @property
    def adversary(self) -> Callable[[Policy], Policy] | None:
        """See `Learner.adversary`."""
        return None if self._adversary is None else self._adversary.against

    @property
    def recorder(self) -> Recorder | None:
        """See `Learner.recorder`."""
        return self._hook.recorder

    @recorder.setter
    def recorder(self, recorder: Recorder | None) -> None:
        self._hook.recorder = recorder

    def start(self) -> None:
        """See `Learner.start`."""
        _, callback = self.model._setup_learn(self._steps, self._hook)
        callback.on_training_start({}, {})

    def advance(self, until: int, *, leave: Callable[[], bool], on_step: Callable[[], None]) -> None:
        """See `Learner.advance`."""
        self._hook.each = on_step
        with self._gradients.noted():
            self._advance(until, leave)

    def _advance(self, until: int, leave: Callable[[], bool]) -> None:
        losses = self.model.logger.name_to_value
        while self.model.num_timesteps < until and not leave():
            try:
                self._iterate()
            except ValueError as error:  # torch refuses a distribution over what is not a number
                self._explain(error)
                raise
            if self.recorder is not None and self.recorder.wants_updates:
                self.recorder.update(losses)
            for name, value in losses.items():
                if name.endswith("loss") and not np.isfinite(value):
                    self._check_observations()
                    raise Diverged(
                        f"{name} is {value} at timestep {self.timesteps}: lower learning_rate, or look at the size of "
                        "the environment's rewards and observations."
                    )

    def episodes(self) -> int:
        """See `Learner.episodes`."""
        return len(self.model.ep_info_buffer or ())

    def metrics(self) -> dict[str, float]:
        """See `Learner.metrics`."""
        found = {name: float(value) for name, value in self.model.logger.name_to_value.items()}
        if episodes := self.model.ep_info_buffer:
            found["collection/return"] = float(np.mean([episode["r"] for episode in episodes]))
            found["collection/length"] = float(np.mean([episode["l"] for episode in episodes]))
            found |= of_episodes(episodes)
        if successes := self.model.ep_success_buffer:
            found["collection/success_rate"] = float(np.mean(successes))
        found |= self._critic_metrics()
        if (actions := self._latest_actions()) is not None:
            found |= of_actions(actions, self.model.action_space)
        return found | self._gradient_norms()

    def internals(self) -> Internals:
        """See `Learner.internals`."""
        weights = [tensor.detach().cpu().numpy().ravel() for tensor in self.model.policy.parameters()]
        temperature = self.model.logger.name_to_value.get("train/ent_coef", 0.0)  # of SAC and its kin
        numbers = int(np.prod(self.model.action_space.shape or (1,)))
        return Internals(
            gradient_steps=self._gradient_steps(),
            weights=np.concatenate(weights),
            rewards=(min(self.model.env.get_attr("reward_low")), max(self.model.env.get_attr("reward_high"))),
            bonus=_ENTROPY * numbers * float(temperature) * self._reward_scale(),
            exploration=self._exploration(),
        )

    def values(self, observations: np.ndarray) -> np.ndarray | None:
        """See `Learner.values`."""
        if self.shaped:
            return None
        policy, device = self.model.policy, self.model.device
        policy.set_training_mode(False)  # as collecting does: nothing may learn from this
        critic = self._preprocessed(self._value(policy), None).to(device)
        with torch.no_grad():
            found = critic(torch.from_numpy(observations).to(device))
        return found.cpu().numpy() * self._reward_scale()

    def finite(self) -> bool:
        """See `Learner.finite`."""
        # The whole state: statistics of batch normalisation are no parameters.
        tensors = [*self.model.policy.state_dict().values(), *self._variables().values()]
        return all(bool(torch.isfinite(tensor).all()) for tensor in tensors)

    def state(self, *, collecting_since: int | None = None) -> dict[str, Any]:
        """See `Learner.state`."""
        counters = {name: getattr(self.model, name) for name in self.counters}
        if collecting_since is not None:
            counters["num_timesteps"] = collecting_since
        adversary = {} if self._adversary is None else {"adversary": self._adversary.state()}
        weights, norms = self._weights(), self._gradient_norms()
        return {"weights": weights, "counters": counters, "gradient_norms": norms, **adversary}

    def collection(self) -> Any:
        """See `Learner.collection`."""
        return {
            "observation": _of_each(_with_layout, self.model._last_obs),
            "attributes": {name: getattr(self.model, name) for name in _COLLECTION},
            "layers": [_own_state(layer) for layer in self._layers()],
        }

    def restore(self, state: dict[str, Any], collection: Any | None) -> None:
        """See `Learner.restore`."""
        self._restore(state)
        optimisers = self._optimisers()
        for name, norm in state.get("gradient_norms", {}).items():  # a checkpoint of an earlier trainer has none
            self._gradients.put(optimisers[name], norm)
        if self._adversary is not None:
            self._adversary.restore(state["adversary"])
        if collection is None:
            self.model.env.seed(environments.seed_of_life(self.model.seed, self.timesteps))
            self._begin_episodes()
            return
        self._set({"_last_obs": _of_each(_laid_out, collection["observation"]), **collection["attributes"]})
        for layer, saved in zip(self._layers(), collection["layers"], strict=True):
            vars(layer).update(saved)  # in place: the model holds this very object

    def begin_from(self, start: Start) -> None:
        """See `Learner.begin_from`."""
        self._check_scaling(start)
        theirs, ours = start.networks.get("policy", {}), self.model.policy.state_dict()
        advice = "Set net_arch and policy_kwargs as its config.json has them, or leave initFrom out."
        if start.algorithm != self.algorithm:
            ours = {name: tensor for name, tensor in ours.items() if name.startswith(_POLICY)}
            advice = f"It was trained by {start.algorithm or 'nobody knows what'}: use that algorithm."
        copy_fitting(theirs, ours, title=start.title, advice=advice)
        if start.algorithm == self.algorithm:
            for name, tensor in self._variables().items():
                if name in start.variables and start.variables[name].shape == tensor.shape:
                    tensor.data.copy_(start.variables[name])
        if self._normaliser is not None:
            self._set_statistics(start)
            self._begin_episodes()
            self._set_statistics(start)  # the first observations of the copies are none of what it has seen

    def weights(self) -> dict[str, Any]:
        """See `Learner.weights`."""
        return copy.deepcopy(self._weights()) | {"timesteps": self.timesteps}

    def take(self, weights: dict[str, Any]) -> None:
        """See `Learner.take`."""
        self._set_weights(weights)
        self.model.num_timesteps = weights["timesteps"]

    def weights_sha256(self) -> str:
        """See `Learner.weights_sha256`."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.model.policy.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def networks(self) -> Networks:
        """See `Learner.networks`."""
        policy = copy.deepcopy(self.model.policy, _as_it_is(self.model.policy)).cpu()
        policy.set_training_mode(False)
        policy.requires_grad_(False)
        transposed = unwrap_vec_wrapper(self.model.env, VecTransposeImage)
        return Networks(
            actor=self._served(policy, transposed),
            output=self.output,
            state=self._state(),
            value=self._preprocessed(self._value(policy), transposed),
            normaliser=self._constants(),
        )

    def save(self, path: Path) -> None:
        """See `Learner.save`."""
        archive.write(self.model, path, instead=self._unstarted, statistics=self._statistics())

    @abstractmethod
    def _iterate(self) -> None:
        """Collect once and learn from it."""

    @abstractmethod
    def _actor(self, policy: Any) -> torch.nn.Module:
        """Return the network from observations to `output`. Args: policy: A copy of the model's."""

    def _acting(self) -> Policy:
        """Return the library's policy as it is asked here."""
        return self.model.policy

    def _served(self, policy: Any, transposed: VecTransposeImage | None) -> torch.nn.Module:
        """See `Networks.actor`. Args: policy: A copy of the model's. transposed: See `_preprocessed`."""
        return self._preprocessed(self._actor(policy), transposed)

    def _state(self) -> tuple[int, ...] | None:
        """See `Networks.state`."""
        return None

    @abstractmethod
    def _value(self, policy: Any) -> torch.nn.Module:
        """Return the network from observations to the expected discounted return (batch,)."""

    @abstractmethod
    def _critic_metrics(self) -> dict[str, float]:
        """Return what the critic expects, by metric, in the environment's own rewards; empty: nothing yet."""

    @abstractmethod
    def _learned_observations(self) -> Sequence[Any]:
        """Return what may have been learned from, as the library keeps it; rows that were never written are zeros."""

    @abstractmethod
    def _latest_actions(self) -> np.ndarray | None:
        """Return the latest actions of collection, (timesteps, numbers of an action), before they are clipped; None:
        there are none yet.
        """

    def _preprocessed(self, network: torch.nn.Module, transposed: VecTransposeImage | None) -> torch.nn.Module:
        """Return a network that takes what tasks show.

        Args:
            transposed: What has turned images before they were learned from; None: nothing has.
        """
        space = self.model.observation_space
        if self._parts:
            keys = transposed.image_space_keys if transposed is not None else ()
            return parts.Separated(network, self._parts, space=space, channels_last=keys or ()).eval()
        shape = list(space.shape or ())
        return Preprocessed(network, self._constants(), channels_last=transposed is not None, shape=shape).eval()

    def _adversary_of(self, asked: AdversarySpec, tasks: VecEnv, probe: Environment, *, seed: int) -> Adversary:
        """Return the tasks behind an adversary. Raises: BadConfiguration where no attack is known."""
        require_attackable(probe, "adversary", instead="leave adversary out")
        if self.output not in ATTACKED:
            raise BadConfiguration(
                f"adversary: no attack is known on the {self.output} of {self.algorithm}: leave it out."
            )
        attack = Attack(
            self.output,
            array_space(probe.action_space),
            Limits.of(space_model(probe.observation_space)),
            asked.steps,
        )
        return Adversary(tasks, asked, attack, seed=seed, network=self._attacked)

    def _attacked(self) -> Network:
        """Return what acts now, on raw observations, whatever device it is on."""
        policy, device = self.model.policy, self.model.device
        policy.set_training_mode(False)  # as collecting does
        network = self._preprocessed(self._actor(policy), None).to(device)
        return lambda observation: network(observation.to(device)).cpu()

    def _gradient_steps(self) -> int:
        """Return how often the optimiser has stepped."""
        return self.model._n_updates

    def _exploration(self) -> float | None:
        """See `Internals.exploration`."""
        return None

    def _reward_scale(self) -> float:
        """Return what rewards are divided by before they are learned from."""
        normaliser = self._normaliser
        if normaliser is None or not normaliser.norm_reward:
            return 1.0
        return float(np.sqrt(normaliser.ret_rms.var + normaliser.epsilon))

    def _restore(self, state: dict[str, Any]) -> None:
        self._set_weights(state["weights"])
        self._set(state["counters"])

    def _begin_episodes(self) -> None:
        # As `start` did, but with the statistics that were just put back.
        self.model._last_obs = self.model.env.reset()
        self.model._last_episode_starts = np.ones((self.model.env.num_envs,), dtype=bool)
        if self._normaliser is not None:
            self.model._last_original_obs = self._normaliser.get_original_obs()

    def _statistics(self) -> dict[str, dict[str, Any]]:
        """Return the running statistics as JSON has them; without a normaliser there are none."""
        found = (
            {}
            if self._normaliser is None
            else {name: vars(getattr(self._normaliser, name)) for name in _STATISTICS if self._has(name)}
        )
        return {
            name: {key: np.asarray(value).ravel().tolist() for key, value in values.items()}
            for name, values in found.items()
        }

    def _set_statistics(self, start: Start) -> None:
        known = start.statistics or {}
        if "obs_rms" not in known and start.normaliser is not None:
            constants = start.normaliser
            known = known | {
                "obs_rms": {"mean": constants.mean, "var": constants.variance, "count": start.observations}
            }
        for name in (name for name in _STATISTICS if name in known and self._has(name)):
            running = getattr(self._normaliser, name)
            try:
                found = {key: _shaped(known[name][key], like=getattr(running, key)) for key in ("mean", "var", "count")}
            except (KeyError, TypeError, ValueError) as error:
                raise BadConfiguration(
                    f"initFrom: the statistics {name} of {start.title} do not fit: {error}."
                ) from error
            vars(running).update(found)

    def _check_scaling(self, start: Start) -> None:
        """Check that observations are scaled as the policy's were. Raises: BadConfiguration."""
        theirs, ours = start.normaliser is not None, self._constants() is not None
        if theirs != ours:
            raise BadConfiguration(
                f"initFrom: {start.title} was trained {'with' if theirs else 'without'} scaled observations, and this "
                f"training is {'without' if theirs else 'with'}. Set normalize: {{observation: {str(theirs).lower()}}}."
            )

    def _set(self, attributes: dict[str, Any]) -> None:
        for name, value in attributes.items():
            if not hasattr(self.model, name):
                raise AttributeError(f"{type(self.model).__name__} has no attribute {name} any more")
            setattr(self.model, name, value)

    def _variables(self) -> dict[str, torch.Tensor]:
        """Return the trained tensors that are part of no module and no optimiser (SAC's temperature)."""
        _, names = self.model._get_torch_save_params()
        return {name: reduce(getattr, name.split("."), self.model) for name in names}

    def _weights(self) -> dict[str, Any]:
        statistics = None
        if self._normaliser is not None:
            statistics = {name: vars(getattr(self._normaliser, name)) for name in _STATISTICS if self._has(name)}
        parameters = self.model.get_parameters()
        return on_cpu({"parameters": parameters, "variables": self._variables(), "statistics": statistics})

    def _set_weights(self, saved: dict[str, Any]) -> None:
        self.model.set_parameters(saved["parameters"])
        for name, tensor in self._variables().items():
            tensor.data.copy_(saved["variables"][name])  # in place: the optimiser holds this very tensor
        for name, values in (saved["statistics"] or {}).items():
            vars(getattr(self._normaliser, name)).update(values)

    def _has(self, statistic: str) -> bool:
        return isinstance(getattr(self._normaliser, statistic, None), RunningMeanStd)

    def _constants(self) -> NormaliserConstants | None:
        normaliser = self._normaliser
        if normaliser is None or not normaliser.norm_obs:
            return None
        return NormaliserConstants(
            mean=np.ravel(normaliser.obs_rms.mean).tolist(),
            variance=np.ravel(normaliser.obs_rms.var).tolist(),
            epsilon=normaliser.epsilon,
            clip=normaliser.clip_obs,
        )

    def _optimisers(self) -> dict[str, torch.optim.Optimizer]:
        """Return the optimisers there are, by the metric that tells of their gradient."""
        found = {
            name: getattr(getattr(self.model, owner, None), "optimizer", None) for name, owner in _OPTIMISERS.items()
        }
        return {name: optimiser for name, optimiser in found.items() if optimiser is not None}

    def _gradient_norms(self) -> dict[str, float]:
        norms = {name: self._gradients.of(optimiser) for name, optimiser in self._optimisers().items()}
        return {name: norm for name, norm in norms.items() if norm is not None}

    def _explain(self, error: ValueError) -> None:
        """Raise what an error really is, if weights or observations are to blame. Raises: Diverged."""
        self._check_observations()  # first: weights that learned from them are none either
        if not self.finite():
            raise Diverged(f"weights are not finite at timestep {self.timesteps}: lower learning_rate.") from error

    def _check_observations(self) -> None:
        """Look for one that is no number among those that were learned from. Raises: Diverged."""
        for seen in (self.model._last_obs, *self._learned_observations()):
            arrays = seen.values() if isinstance(seen, dict) else () if seen is None else (seen,)
            if not all(np.isfinite(np.asarray(array)).all() for array in arrays):
                raise Diverged(
                    f"an observation by timestep {self.timesteps} is not finite: look for a division by zero or an "
                    "overflow in the environment."
                )

    @property
    def _normaliser(self) -> VecNormalize | None:
        return self.model.get_vec_normalize_env()

    def _layers(self) -> Iterator[VecEnv]:
        """The vector environment and what it wraps, outermost first."""
        layer = self.model.env
        while layer is not None:
            yield layer
            layer = getattr(layer, "venv", None)


class _Hook(BaseCallback):
    """Called by the library after every step of the vector."""

    each: Callable[[], None]
    recorder: Recorder | None = None

    def __init__(self, found: Sequence[Part]) -> None:
        super().__init__()
        self._parts = found  # of observations; empty: they are arrays

    def _on_step(self) -> bool:
        self.each()
        if self.recorder is not None and self.recorder.wants_steps:
            self._record(self.recorder)
        return True

    def _record(self, recorder: Recorder) -> None:
        seen, normaliser = self.locals, self.model.get_vec_normalize_env()
        shown = seen["new_obs"] if normaliser is None else normaliser.old_obs
        recorder.step(
            rewards=shaping.own(seen["rewards"] if normaliser is None else normaliser.old_reward, seen["infos"]),
            dones=seen["dones"],
            infos=seen["infos"],
            observations=parts.joined(shown, self._parts) if self._parts else shown,
            actions=seen["actions"],
        )


class _Normalised:
    """A policy behind the statistics as they are now; they stand still meanwhile."""

    def __init__(self, policy: Any, normaliser: VecNormalize) -> None:
        self._policy = policy
        self._normaliser = normaliser

    def predict(self, observation: np.ndarray, **how: Any) -> tuple[np.ndarray, object]:
        """Return one action per observation."""
        return self._policy.predict(self._normaliser.normalize_obs(observation), **how)


def several(probe: Environment) -> bool:
    """Return whether observations have several parts."""
    return isinstance(probe.observation_space, spaces.Dict | spaces.Tuple)


def convolved(probe: Environment) -> bool:
    """Return whether observations are images that are large enough for the library's convolutional network."""
    space = probe.observation_space
    return is_image_space(space) and min(_sides(space)) >= _CONVOLVED


def _network(probe: Environment) -> str:
    """Return how the name begins of the library's networks for such observations. Raises: BadConfiguration where none
    fits.
    """
    if several(probe):
        for part in observations.parts(space_model(probe.observation_space)):
            space = probe.observation_space[part.key]
            if is_image_space(space) and min(_sides(space)) < _CONVOLVED:
                raise BadConfiguration(
                    f"environment.id: images of {'x'.join(map(str, _sides(space)))}, observation key {part.key!r}, are "
                    f"too small for a convolutional network, which takes {_CONVOLVED} pixels a side: flatten that part "
                    "in a wrapper of the environment, or show it larger."
                )
        return "MultiInput"
    if convolved(probe):
        return "Cnn"
    if is_image_space(probe.observation_space):
        log.warning(
            "images of %s are too small for a convolutional network, which takes %d pixels a side: they are flattened",
            *("x".join(map(str, _sides(probe.observation_space))), _CONVOLVED),
        )
    return "Mlp"


def _sides(space: Any) -> list[int]:
    return sorted(space.shape)[1:]  # the channels are fewer than either side


def _unscalable(space: spaces.Space[Any]) -> str | None:
    """Return why running statistics of observations cannot be kept, and what can be done; None: they can."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        return "have several parts, and are scaled as one array: add the wrapper FlattenObservation to it"
    if not isinstance(space, spaces.Box):
        return "are choices, which have no scale: make numbers of them in a wrapper"
    return "are images, which are scaled anyway: leave it out" if is_image_space(space) else None


def _shaped(values: Any, *, like: Any) -> Any:
    """Return numbers of a file in the shape and type of those that they replace."""
    found = np.asarray(values, dtype=np.float64).reshape(np.shape(like))
    return found if isinstance(like, np.ndarray) else float(found)


def _own_state(layer: Any) -> dict[str, Any]:
    # Not the layer's own pickling: VecNormalize, for one, leaves out its running returns there. Every wrapper keeps
    # `class_attributes`: they are the same in every process, and cannot be pickled. Statistics go with the weights.
    # An adversary's own is part of `Learner.state`: it outlives environments that cannot be kept.
    if isinstance(layer, Adversary):
        return {}
    return {
        name: value for name, value in vars(layer).items() if name not in ("venv", "class_attributes", *_STATISTICS)
    }


def _as_it_is(policy: Any) -> dict[int, Any]:
    """Return the memo of a deep copy that shares what was drawn last: that hangs on the weights, and is not copied."""
    drawn = getattr(policy, "action_dist", None)
    return {} if drawn is None else {id(drawn): copy.copy(drawn)}


def _of_each(function: Callable[[Any], Any], observation: Any) -> Any:
    """Return what a function makes of an observation, or of each of its parts by key."""
    if isinstance(observation, dict):
        return {key: function(part) for key, part in observation.items()}
    return function(observation)


def _with_layout(array: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """Return an array's numbers in the order that they have in memory, and the order of its axes there.

    A pickle forgets that order, and by it torch chooses how to convolve: the sums then differ in their last bits.
    """
    order = sorted(range(array.ndim), key=lambda axis: -array.strides[axis])
    return np.ascontiguousarray(array.transpose(order)), order


def _laid_out(kept: tuple[np.ndarray, list[int]]) -> np.ndarray:
    """Return the array that `_with_layout` was given."""
    numbers, order = kept
    return numbers.transpose(np.argsort(order))
