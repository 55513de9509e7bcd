"""From a trained policy to an artifact: what serving pods run, proved to act as the policy did.

The exported network takes a batch of raw observations, preprocessing included, and answers what a head reads. So a
server needs to know neither the library nor the algorithm. That of a policy that remembers takes what is remembered
beside each observation, and answers what is remembered then.
"""

import json
import platform
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from belay_api.artifact import (
    MANIFEST,
    ONNX_FILE,
    TORCHSCRIPT_FILE,
    TRAINING_FILE,
    ArtifactInvalid,
    EvaluationReport,
    Lineage,
    Manifest,
    file_entries,
)
from belay_api.content import settled
from belay_api.dataset import Floor, OfflineEstimate
from belay_api.outcomes import KnownOutcome
from belay_api.spaces import array_space, space_model
from belay_api.version import VERSION
from belay_heads import Head, head_of
from belay_heads.masked import allowed
from belay_heads.observations import blank, numbers, parts
from belay_trainer import gpu, states
from belay_trainer.config import Run
from belay_trainer.critic import Critic, write_critic
from belay_trainer.environments import Environment
from belay_trainer.errors import BadConfiguration, TrainerError
from belay_trainer.evaluate import Policy, Stopped
from belay_trainer.learners.learner import Learner
from belay_trainer.masks import METHOD, arguments
from belay_trainer.randomness import untouched
from belay_trainer.threads import onnx_session

ONNX, TORCHSCRIPT, CONFIG = ONNX_FILE, TORCHSCRIPT_FILE, "config.json"
OPSET = 17
INPUT, OUTPUT = "observation", "output"
STATE, NEXT_STATE = "state", "next_state"  # of a policy that remembers
EPISODES = 4  # played whole through the exported networks
TIMESTEPS = 2_000  # after which no further one of them begins, and one that goes on is left
TOLERANCE = 1e-4  # absolute and relative, of float32 sums in another order

ONNX_DTYPES = {  # as serving has them
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
}

Network = Callable[..., Any]
"""Observations (batch, *observation) -> outputs; or observations and states (batch, *state) -> outputs, next states."""


class ExportFailed(TrainerError):
    """What was exported does not act as the policy does; nothing is published."""


@dataclass(frozen=True, slots=True)
class Evaluations:
    """How the policy, with the weights it has now, did."""

    measured: EvaluationReport | None  # where nothing was chosen; None: nobody played it
    selection: EvaluationReport | None  # where it was chosen; None: nobody played it
    step: int  # timestep of it
    estimate: OfflineEstimate | None = None  # None: it was played
    floor: Floor | None = None  # None: it learned in an environment, or is behaviour cloning


def export(
    learner: Learner,
    run: Run,
    *,
    environment: Environment,
    evaluations: Evaluations,
    folder: Path,
    outcomes: Mapping[str, KnownOutcome] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Manifest:
    """Write the artifact of a policy into the empty `folder` and return its manifest.

    Args:
        environment: A copy that was not trained in: whole episodes are played in it, and its spaces and cap go into
            the manifest.
        outcomes: What is known of returns and lengths, by name.
        stop: Asked before every timestep that is played.
    Raises: ExportFailed when a network in the folder would act differently from the policy; Stopped.
    """
    networks = learner.networks()
    observation, action = space_model(environment.observation_space), array_space(environment.action_space)
    write_networks(networks.actor, np.stack([blank(observation)] * 2), folder, state=networks.state)
    head = head_of(networks.output, action)
    first_seed = evaluations.measured.first_seed if evaluations.measured else 0
    check_agreement(learner.policy, head, folder, environment, first_seed=first_seed, state=networks.state, stop=stop)
    if networks.value is not None:
        write_critic(Critic(networks.value).eval(), environment, folder)
    learner.save(folder / TRAINING_FILE)
    (folder / CONFIG).write_text(json.dumps(settled(run.spec), sort_keys=True, indent=1) + "\n")
    task = environment.spec
    packages = (*learner.packages, "gymnasium", "numpy")
    manifest = Manifest(
        algorithm=learner.algorithm,
        environment=run.spec.played_in.id if run.spec.played_in else None,
        wrappers=run.spec.played_in.wrappers if run.spec.played_in else [],
        observation=observation,
        action=action,
        output=networks.output,
        state=states.described(networks.state),
        normaliser=networks.normaliser,
        max_episode_steps=task.max_episode_steps if task else None,
        evaluation=evaluations.measured,
        selection=evaluations.selection,
        estimate=evaluations.estimate,
        floor=evaluations.floor,
        outcomes=dict(outcomes or {}),
        lineage=Lineage(
            seed=run.seed,
            step=evaluations.step,
            config_hash=run.config.config_hash,
            packages={"belay": VERSION, "python": platform.python_version()}
            | {name: version(name) for name in packages}
            | run.packages,
            code=run.code,
            gpu=gpu.name(),
            dataset=f"sha256:{learner.from_dataset.data.sha256}" if learner.from_dataset else None,
            initial=run.config.initial.digest if run.config.initial is not None else None,
        ),
        files=file_entries(folder),
    )
    (folder / MANIFEST).write_bytes(manifest.canonical())
    return manifest


def rehearse(learner: Learner, environment: Environment) -> None:
    """Export the untrained policy: what cannot be served is told in the first seconds, not after the last timestep.

    Raises: BadConfiguration.
    """
    space, nothing = environment.observation_space, blank(space_model(environment.observation_space))
    with untouched(), tempfile.TemporaryDirectory(prefix="rehearsal-") as name:
        try:
            networks = learner.networks()
            write_networks(networks.actor, np.stack([nothing] * 2), Path(name), state=networks.state)
            head = head_of(networks.output, array_space(environment.action_space))
            everything = np.ones((1, head.width), dtype=np.bool_) if head.masks else None
            state = states.beginning(networks.state)
            check_step(learner.policy, head, loaded(Path(name)), nothing, masks=everything, state=state)
        except (ExportFailed, ArtifactInvalid, RuntimeError, ValueError, TypeError, LookupError) as error:
            raise BadConfiguration(
                f"environment.id: a policy for actions {environment.action_space} and observations {space} cannot be "
                f"exported: {str(error).splitlines()[0]} Flatten them in a wrapper of the environment."
            ) from error


def check_agreement(
    policy: Policy,
    head: Head,
    folder: Path,
    environment: Environment,
    *,
    first_seed: int,
    state: Sequence[int] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Play whole episodes with the exported networks' actions, and check that the policy takes the same ones.

    What is remembered is what the network says that is served: at every timestep all begin with that, and must also
    remember alike.

    Args:
        environment: A copy that was not trained in, so that nothing is taken for an observation that only the
            trainer's own copies show.
        first_seed: Reset seed of the first episode.
        state: Shape of what is remembered; None: nothing is.
        stop: Asked before every timestep.
    Raises: ExportFailed; Stopped when `stop` says so.
    """
    networks, steps, found = loaded(folder), 0, parts(space_model(environment.observation_space))
    for episode in range(EPISODES):
        if steps >= TIMESTEPS:
            return
        observation, _ = environment.reset(seed=first_seed + episode)
        ended, remembered = False, states.beginning(state)
        while not ended and steps < 2 * TIMESTEPS:
            if stop():
                raise Stopped
            masks, seen = arguments([environment]).get(METHOD), numbers(observation, found)
            action, remembered = check_step(policy, head, networks, seen, masks=masks, state=remembered)
            observation, _, terminated, truncated, _ = environment.step(action)
            ended = bool(terminated or truncated)
            steps += 1


def check_step(
    policy: Policy,
    head: Head,
    networks: Mapping[str, Network],
    observation: np.ndarray,
    *,
    masks: np.ndarray | None = None,
    state: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the greedy action at one observation, and what is remembered then, after checking that all agree on both.

    Args:
        observation: As networks take it.
        masks: What is allowed, (1, outputs); None: everything.
        state: What was remembered before, (1, *state); None: the policy does not remember.
    Raises: ExportFailed.
    """
    batch = np.stack([observation])
    told = ({} if masks is None else {METHOD: masks}) | ({} if state is None else {STATE: state})
    wanted, remembered = policy.predict(batch, deterministic=True, **told)
    answers = {name: states.asked(network, batch, state) for name, network in networks.items()}
    outputs = {name: found.reshape(1, head.width) for name, (found, _) in answers.items()}
    reference, next_state = next(iter(outputs.values())), next(iter(answers.values()))[1]
    for name, (_, found) in answers.items():
        if state is not None and not np.allclose(found, remembered, rtol=TOLERANCE, atol=TOLERANCE):
            raise ExportFailed(f"{name} remembers otherwise than the policy: nothing is published.")
    for name, output in outputs.items():
        if not np.allclose(output, reference, rtol=TOLERANCE, atol=TOLERANCE):
            worst = float(np.abs(output - reference).max())
            raise ExportFailed(f"{name} differs from the other network by up to {worst:.3g}: nothing is published.")
        if not _same_action(head, output if masks is None else allowed(output, masks), np.asarray(wanted)):
            raise ExportFailed(f"{name} chooses another action than the policy's predict: nothing is published.")
    return np.asarray(head.greedy(reference if masks is None else allowed(reference, masks)))[0], next_state


def loaded(folder: Path) -> dict[str, Network]:
    """Return the exported networks as serving runs them, by file name: those that are there."""
    readers = {ONNX: load_onnx, TORCHSCRIPT: load_torchscript}
    return {name: read(folder / name) for name, read in readers.items() if (folder / name).exists()}


def load_onnx(path: Path) -> Network:
    """Return a network of arrays, which are brought to the dtypes of its inputs, on one thread."""
    session = onnx_session(str(path))
    taken = [(one.name, ONNX_DTYPES[one.type]) for one in session.get_inputs()]
    answered = [one.name for one in session.get_outputs()]

    def through_onnx(*given: np.ndarray) -> Any:
        feed = {name: one.astype(dtype, copy=False) for (name, dtype), one in zip(taken, given, strict=True)}
        found = session.run(answered, feed)
        return found[0] if len(found) == 1 else tuple(found)

    return through_onnx


def load_torchscript(path: Path) -> Network:
    """Return a network of tensors."""
    script = torch.jit.load(str(path), map_location="cpu").eval()

    def through_script(*given: np.ndarray) -> Any:
        with torch.inference_mode():
            found = script(*(torch.from_numpy(one) for one in given))
        return tuple(one.numpy() for one in found) if isinstance(found, tuple) else found.numpy()

    return through_script


def write_networks(
    network: torch.nn.Module, example: np.ndarray, folder: Path, *, state: Sequence[int] | None = None
) -> None:
    """Write a network as ONNX and as TorchScript.

    Args:
        example: A batch of observations of the right shape and dtype.
        state: Shape of what it remembers; None: it takes observations alone.
    """
    with torch.no_grad():
        traced = torch.jit.trace(network, _examples(example, state))
        torch.jit.freeze(traced).save(str(folder / TORCHSCRIPT))
    write_onnx(network, example, folder, state=state)


def write_onnx(
    network: torch.nn.Module, example: np.ndarray, folder: Path, *, state: Sequence[int] | None = None
) -> None:
    """Write a network as ONNX alone; the rest as in `write_networks`."""
    remembers = state is not None
    inputs, outputs = [INPUT, STATE][: 1 + remembers], [OUTPUT, NEXT_STATE][: 1 + remembers]
    with torch.no_grad():
        torch.onnx.export(
            network,
            _examples(example, state),
            str(folder / ONNX),
            input_names=inputs,
            output_names=outputs,
            dynamic_axes={name: {0: "batch"} for name in (*inputs, *outputs)},
            opset_version=OPSET,
            dynamo=False,
        )


def _examples(example: np.ndarray, state: Sequence[int] | None) -> tuple[torch.Tensor, ...]:
    given = (example,) if state is None else (example, states.beginning(state, len(example)))
    return tuple(torch.from_numpy(one) for one in given)


def _same_action(head: Head, output: np.ndarray, wanted: np.ndarray) -> bool:
    chosen = head.greedy(output)
    if chosen.dtype.kind == "f":
        return bool(np.allclose(chosen, wanted, rtol=TOLERANCE, atol=TOLERANCE))
    if np.array_equal(chosen, wanted):
        return True
    # Of two that are equal up to rounding either may win.
    if head.stochastic:
        best, other = (head.log_propensity(output, action)[0] for action in (chosen, wanted))
        return bool(best - other <= TOLERANCE * (1 + np.abs(output[np.isfinite(output)]).max()))
    # An output that is the action itself has no second.
    scores = output.reshape(-1)
    return bool(scores.size > 1 and scores.max() - scores[int(wanted[0])] <= TOLERANCE * (1 + abs(scores.max())))
