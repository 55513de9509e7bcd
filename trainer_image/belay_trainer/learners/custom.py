"""An algorithm of the user's own, behind `Learner`: the user's is the update, ours is everything around it.

The policy is what its network and the head of its output say, in training, evaluation and service alike. So a user
writes no `predict`, and what is exported cannot differ from what was measured by more than rounding.

What is wrong with the user's object is told before the first timestep, in the words of its author.
"""

import copy
import hashlib
import inspect
import random
import tempfile
import zipfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import torch

from belay_api.artifact import ArtifactInvalid
from belay_api.spaces import space_model
from belay_api.words import did_you_mean
from belay_heads import HEADS, Head, head_of
from belay_trainer import environments
from belay_trainer.algorithm import Algorithm, Step, Task
from belay_trainer.config import Run
from belay_trainer.diagnosis.recorder import Recorder
from belay_trainer.environments import Environment
from belay_trainer.errors import AlgorithmFailed, BadConfiguration, Diverged, TrainerError
from belay_trainer.evaluate import Policy
from belay_trainer.imports import import_own, place
from belay_trainer.learners.fitting import copy_fitting
from belay_trainer.learners.learner import Internals, Networks, Start
from belay_trainer.metrics import of_episodes
from belay_trainer.randomness import untouched
from belay_trainer.wrapping import shaping

FIELD = "algorithm.custom"
COPIES = 8  # where nobody asks for another number; as most presets have
EPISODES = 100  # remembered for the curves
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the first that a zip file can tell


class Custom:
    """See `Learner`."""

    algorithm = "custom"
    preset = None
    from_dataset = None
    adversary = None
    packages = ("torch",)
    recorder: Recorder | None = None

    def __init__(self, run: Run, make: Callable[[], Environment], probe: Environment) -> None:
        """Make the user's object and look it over. Raises: BadConfiguration."""
        spec, seed = run.spec, run.seed
        _refuse_changed_rewards(run)
        environments.check_arrays(probe, f"environment.id: {FIELD} learns with")
        costed = shaping.around(spec.environment, discount=1.0, scaled=True)
        self._vector = environments.vectorised(make, spec.environment.vector.count or COPIES, around=costed)
        self._vector.seed(seed)
        self._task = Task(self._vector, seed=seed, budget=spec.budget.steps, listener=self._on_task_step)
        self._each: Callable[[], None] = lambda: None
        self._figures: dict[str, float] = {}
        self._rounds = 0
        self._episodes: deque[Mapping[str, Any]] = deque(maxlen=EPISODES)
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
        self._own = _made(spec.algorithm.custom, self._task)
        self.discount = float(self._own.discount)
        self._action = space_model(probe.action_space)
        self._head = _head(self._own, self._action)
        _check_networks(self._own, self._head, probe)
        _check_state(self._own)

    @property
    def timesteps(self) -> int:
        """See `Learner.timesteps`."""
        return self._task.timesteps

    @property
    def policy(self) -> Policy:
        """See `Learner.policy`."""
        return _Greedy(self._own.policy, self._head)

    def start(self) -> None:
        """See `Learner.start`."""
        self._task.observations = self._vector.reset()

    def advance(self, until: int, *, leave: Callable[[], bool], on_step: Callable[[], None]) -> None:
        """See `Learner.advance`. Raises: AlgorithmFailed for what the user's own code raises."""
        self._each = on_step
        while self.timesteps < until and not leave():
            before = self.timesteps
            found = self._learn()
            if self.timesteps == before:
                raise BadConfiguration(f"{FIELD}: learn() returned without a step of the task: call task.step.")
            self._rounds += 1
            self._figures = _figures(found, self.timesteps)
            if self.recorder is not None and self.recorder.wants_updates:
                self.recorder.update(self._figures)

    def episodes(self) -> int:
        """See `Learner.episodes`."""
        return len(self._episodes)

    def metrics(self) -> dict[str, float]:
        """See `Learner.metrics`."""
        found = dict(self._figures)
        if self._episodes:
            found["collection/return"] = float(np.mean([one["episode"]["r"] for one in self._episodes]))
            found["collection/length"] = float(np.mean([one["episode"]["l"] for one in self._episodes]))
            found |= of_episodes([one["episode"] for one in self._episodes])
        if successes := [one["is_success"] for one in self._episodes if "is_success" in one]:
            found["collection/success_rate"] = float(np.mean(successes))
        return found

    def internals(self) -> Internals:
        """See `Learner.internals`."""
        return Internals(
            gradient_steps=self._rounds,
            rounds=True,
            weights=np.concatenate([tensor.cpu().numpy().ravel() for tensor in _numbers(self._own.policy)]),
            rewards=(min(self._vector.get_attr("reward_low")), max(self._vector.get_attr("reward_high"))),
        )

    def values(self, observations: np.ndarray) -> np.ndarray | None:
        """See `Learner.values`."""
        return None if self._own.critic is None else _answer(self._own.critic, observations)

    def finite(self) -> bool:
        """See `Learner.finite`."""
        tensors = (tensor for network in self._networks().values() for tensor in _numbers(network))
        return all(bool(torch.isfinite(tensor).all()) for tensor in tensors)

    def state(self, *, collecting_since: int | None = None) -> dict[str, Any]:
        """See `Learner.state`."""
        counters = {
            "timesteps": self.timesteps if collecting_since is None else collecting_since,
            "rounds": self._rounds,
            "figures": self._figures,
            "episodes": self._episodes,
        }
        return {"algorithm": self._own.state(), "counters": counters}

    def collection(self) -> Any:
        """See `Learner.collection`."""
        return {"observations": self._task.observations, "environments": self._vector.envs}

    def restore(self, state: dict[str, Any], collection: Any | None) -> None:
        """See `Learner.restore`."""
        self._own.restore(state["algorithm"])
        counters = state["counters"]
        self._task.timesteps, self._rounds = counters["timesteps"], counters["rounds"]
        self._figures, self._episodes = counters["figures"], counters["episodes"]
        if collection is None:
            self._vector.seed(environments.seed_of_life(self._task.seed, self.timesteps))
            self._task.observations = self._vector.reset()
            return
        self._task.observations = collection["observations"]
        self._vector.envs[:] = collection["environments"]

    def begin_from(self, start: Start) -> None:
        """See `Learner.begin_from`. Another algorithm's policy fits where its parameters have the same names."""
        same = start.algorithm == self.algorithm
        for name, network in self._networks().items():
            if name == "policy" or (same and name in start.networks):
                advice = "Build the same network, or leave initFrom out."
                copy_fitting(start.networks.get(name, {}), network.state_dict(), title=start.title, advice=advice)

    def weights(self) -> dict[str, Any]:
        """See `Learner.weights`: of what is served. What else the algorithm remembers is in `state`."""
        networks = {name: copy.deepcopy(network.state_dict()) for name, network in self._networks().items()}
        return networks | {"timesteps": self.timesteps}

    def take(self, weights: dict[str, Any]) -> None:
        """See `Learner.take`."""
        for name, network in self._networks().items():
            network.load_state_dict(weights[name])
        self._task.timesteps = weights["timesteps"]

    def weights_sha256(self) -> str:
        """See `Learner.weights_sha256`: of every network, tensor and array among the algorithm's attributes."""
        digest = hashlib.sha256()
        for name, tensor in sorted(_tensors(vars(self._own) | self._networks())):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(tensor).tobytes())
        return digest.hexdigest()

    def networks(self) -> Networks:
        """See `Learner.networks`."""
        served = {name: _served(network) for name, network in self._networks().items()}
        return Networks(actor=served["policy"], output=self._head.output, value=served.get("critic"), normaliser=None)

    def save(self, path: Path) -> None:
        """See `Learner.save`: the state_dict of each network, as `policy.pth` and `critic.pth` in a zip file."""
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
            for name, network in sorted(self._networks().items()):
                content = BytesIO()
                torch.save({key: tensor.cpu() for key, tensor in network.state_dict().items()}, content)
                zipped.writestr(zipfile.ZipInfo(f"{name}.pth", _LONG_AGO), content.getvalue())

    def _learn(self) -> Any:
        try:
            return self._own.learn(self._task)
        except TrainerError:
            raise
        except Exception as error:
            if error is self._task.environment_error:
                raise
            if not self.finite():  # torch refuses a distribution over what is not a number, and the like
                raise Diverged(
                    f"weights are not finite at timestep {self.timesteps}: lower the step size, or look at the size of "
                    "rewards."
                ) from error
            raise AlgorithmFailed(
                f"{FIELD}: {place(error)}{type(error).__name__}: {error} (at timestep {self.timesteps}, in learn)."
            ) from error

    def _on_task_step(self, step: Step, actions: np.ndarray) -> None:
        for copy_ in np.flatnonzero(step.ended):
            info = step.infos[copy_]
            self._episodes.append({key: info[key] for key in ("episode", "is_success") if key in info})
        self._each()
        if self.recorder is not None and self.recorder.wants_steps:
            self.recorder.step(
                rewards=step.rewards,
                dones=step.ended,
                infos=step.infos,
                observations=self._task.observations,
                actions=actions,
            )

    def _networks(self) -> dict[str, torch.nn.Module]:
        critic = {} if self._own.critic is None else {"critic": self._own.critic}
        return {"policy": self._own.policy, **critic}


def _refuse_changed_rewards(run: Run) -> None:
    asked = run.spec.normalize.model_dump(exclude_none=True)
    for name in (name for name, wanted in asked.items() if wanted):
        raise BadConfiguration(
            f"normalize.{name}: {FIELD} is given observations and rewards as the environment has them. Scale them in "
            "its own networks, with the statistics as their buffers, and leave normalize out."
        )
    if run.spec.environment.reward.shapes or run.spec.environment.reward.clip is not None:
        raise BadConfiguration(
            f"environment.reward: {FIELD} is given rewards as the environment has them. Make others of them in "
            "learn(), from the infos of a step, and leave environment.reward out."
        )


class _Greedy:
    """The policy as it is now: its network and the head that reads it."""

    def __init__(self, network: torch.nn.Module, head: Head) -> None:
        self._network, self._head = network, head

    def predict(self, observation: np.ndarray, *, deterministic: bool) -> tuple[np.ndarray, object]:
        """Return the greedy action of each observation: how it explores is the algorithm's own."""
        del deterministic
        return self._head.greedy(_answer(self._network, observation)), None


def _made(asked: Any, task: Task) -> Algorithm:
    """Return the user's object. Raises: BadConfiguration."""
    module, _, name = asked.entrypoint.partition(":")
    field = f"{FIELD}.entrypoint"
    content = vars(import_own(module, field=field, form=f"package.{module}:{name}"))
    make = content.get(name)
    if not callable(make):
        known = [other for other, value in content.items() if _is_algorithm(value) and not other.startswith("_")]
        advice = did_you_mean(name, known) if known else "it has no class that derives from Algorithm either."
        raise BadConfiguration(f"{field}: {module} has no function or class {name}: {advice}")
    if missing := sorted(getattr(make, "__abstractmethods__", ())):
        raise BadConfiguration(f"{field}: {name} has no {missing[0]}: an Algorithm defines it.")
    _check_arguments(make, asked)
    try:
        found = make(task, **asked.kwargs)
    except TrainerError:
        raise
    except Exception as error:
        words = f"{place(error)}{type(error).__name__}: {error}"
        raise BadConfiguration(f"{field}: {asked.entrypoint} with kwargs {asked.kwargs} failed: {words}.") from error
    if not isinstance(found, Algorithm):
        raise BadConfiguration(
            f"{field}: {asked.entrypoint} returned {_a(found)}, wanted an Algorithm: derive your class from "
            "belay_trainer.algorithm.Algorithm."
        )
    return found


def _check_arguments(make: Callable[..., Any], asked: Any) -> None:
    """Check that it takes the task and the `kwargs`, before its own code runs. Raises: BadConfiguration."""
    try:
        signature = inspect.signature(make)
    except (TypeError, ValueError):  # written in another language, and it does not tell
        return
    try:
        signature.bind(None, **asked.kwargs)
    except TypeError as error:
        known = list(signature.parameters)[1:]
        unknown = [name for name in asked.kwargs if name not in known]
        advice = f" {unknown[0]} is none of them: {did_you_mean(unknown[0], known)}" if unknown and known else ""
        raise BadConfiguration(
            f"{FIELD}.kwargs: {asked.entrypoint} takes {signature}, and is called with the task and kwargs "
            f"{asked.kwargs}: {error}.{advice}"
        ) from error


def _head(own: Algorithm, action: Any) -> Head:
    """Return what reads the policy's output. Raises: BadConfiguration."""
    output = own.output or ("logits" if action.kind == "discrete" else "mean")
    if output not in HEADS:
        raise BadConfiguration(f"{FIELD}: output is {output!r}: {did_you_mean(str(output), HEADS)}")
    try:
        return head_of(output, action)
    except ArtifactInvalid as error:
        raise BadConfiguration(f"{FIELD}: output is {output!r}, and actions are {action}: {error}.") from error


def _check_networks(own: Algorithm, head: Head, probe: Environment) -> None:
    """Check what the networks answer, and that they can be exported. Raises: BadConfiguration."""
    if not isinstance(getattr(own, "policy", None), torch.nn.Module):
        raise BadConfiguration(
            f"{FIELD}: {type(own).__name__}.policy is {_a(getattr(own, 'policy', None))}, wanted a torch.nn.Module "
            "from observations to what its actions follow from: set self.policy in the constructor."
        )
    if not (own.critic is None or isinstance(own.critic, torch.nn.Module)):
        raise BadConfiguration(
            f"{FIELD}: {type(own).__name__}.critic is {_a(own.critic)}, wanted a torch.nn.Module or None."
        )
    if not list(_numbers(own.policy)):
        raise BadConfiguration(
            f"{FIELD}: {type(own).__name__}.policy has no parameter and no buffer, so nothing in it could be learned: "
            "keep what it is in torch.nn.Parameter, or in buffers (register_buffer)."
        )
    observations = _some_observations(probe.observation_space)
    _check_answer("policy", own.policy, observations, wanted=(2, head.width), means=f"{head.output} has {head.width}")
    if own.critic is not None:
        _check_answer("critic", own.critic, observations, wanted=(2,), means="one value an observation")
    with untouched():
        _check_export(own.policy, observations)


def _check_export(policy: torch.nn.Module, observations: np.ndarray) -> None:
    """Export the policy and ask what was exported: it may be traced without an error, and still be another one."""
    from belay_trainer.export import TOLERANCE, loaded, write_networks  # noqa: PLC0415 - it imports the learners

    advice = "It is traced: use torch's own functions on whole batches, and no branch that depends on values."
    with tempfile.TemporaryDirectory(prefix="rehearsal-") as folder:
        try:
            write_networks(_served(policy), np.zeros_like(observations), Path(folder))
            answers = {name: network(observations) for name, network in loaded(Path(folder)).items()}
        except Exception as error:  # whatever torch says of what it cannot trace
            raise BadConfiguration(f"{FIELD}: the policy cannot be exported: {_first_line(error)} {advice}") from error
    wanted = _answer(policy, observations)
    for name, answer in answers.items():
        if not np.allclose(answer, wanted, rtol=TOLERANCE, atol=TOLERANCE):
            raise BadConfiguration(f"{FIELD}: {name} would answer otherwise than the policy. {advice}")


def _check_answer(
    name: str, network: torch.nn.Module, observations: np.ndarray, *, wanted: tuple[int, ...], means: str
) -> None:
    try:
        with untouched():
            answer = _answer(network, observations)
    except Exception as error:  # whatever the user's network raises
        raise BadConfiguration(
            f"{FIELD}: the {name} fails on observations of shape {observations.shape} and dtype {observations.dtype}: "
            f"{place(error)}{type(error).__name__}: {_first_line(error)}"
        ) from error
    if answer.shape != wanted or answer.dtype.kind != "f":
        raise BadConfiguration(
            f"{FIELD}: the {name} answers {answer.dtype} of shape {answer.shape} to {len(observations)} observations, "
            f"wanted float32 of shape {wanted}: {means}."
        )
    if not np.isfinite(answer).all():
        raise BadConfiguration(f"{FIELD}: the {name} answers what is not finite to small observations.")


def _check_state(own: Algorithm) -> None:
    """Check that what a checkpoint needs can be had. Raises: BadConfiguration."""
    try:
        cloudpickle.dumps(own.state())
    except Exception as error:  # whatever the user's objects say
        raise BadConfiguration(
            f"{FIELD}: the state of {type(own).__name__} cannot be pickled, so no checkpoint could be kept: "
            f"{type(error).__name__}: {error}. Override state() and restore() so that they leave that out."
        ) from error


def _figures(found: Any, step: int) -> dict[str, float]:
    """Return what `learn` returned as finite or other numbers. Raises: BadConfiguration, Diverged."""
    try:
        figures = {str(name): float(value) for name, value in dict(found or {}).items()}
    except (TypeError, ValueError) as error:
        raise BadConfiguration(
            f"{FIELD}: learn() returned {found!r:.80}, wanted numbers by name, such as {{'policy_loss': 0.1}}, or None."
        ) from error
    for name, value in figures.items():
        if name.endswith("loss") and not np.isfinite(value):
            raise Diverged(f"{name} is {value} at timestep {step}: lower the step size, or look at the rewards' size.")
    return figures


def _answer(network: torch.nn.Module, observations: np.ndarray) -> np.ndarray:
    """Return a network's output, as in service: nothing in it learns from being asked."""
    learning = [module for module in network.modules() if module.training]
    network.eval()
    try:
        with torch.no_grad():
            device = next(_numbers(network), torch.empty(0)).device
            answer: np.ndarray = network(torch.as_tensor(observations).to(device)).cpu().numpy()
            return answer
    finally:
        for module in learning:
            module.training = True


def _some_observations(space: Any) -> np.ndarray:
    """Return two observations of a space that differ, (2, *observation): small, since bounds may be huge."""
    if hasattr(space, "n"):
        return np.array([space.start, space.start + space.n - 1], dtype=space.dtype)
    drawn = np.random.default_rng(0).normal(scale=2.0, size=(2, *space.shape))
    return np.clip(drawn, space.low, space.high).astype(space.dtype)


def _served(network: torch.nn.Module) -> torch.nn.Module:
    served = copy.deepcopy(network).cpu().eval()
    served.requires_grad_(False)
    return served


def _numbers(network: torch.nn.Module) -> Iterator[torch.Tensor]:
    """Yield what a network is, as far as it can be other than finite."""
    return (tensor for tensor in network.state_dict().values() if torch.is_floating_point(tensor))


def _tensors(attributes: Mapping[str, Any]) -> Iterator[tuple[str, np.ndarray]]:
    for name, value in attributes.items():
        if isinstance(value, torch.nn.Module):
            for key, tensor in value.state_dict().items():
                yield f"{name}.{key}", tensor.detach().cpu().numpy()
        elif isinstance(value, torch.Tensor):
            yield name, value.detach().cpu().numpy()
        elif isinstance(value, np.ndarray) and value.dtype != object:
            yield name, value


def _is_algorithm(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, Algorithm) and value is not Algorithm


def _a(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return f"{(text.splitlines()[0] if text else type(error).__name__).rstrip('.')}."
