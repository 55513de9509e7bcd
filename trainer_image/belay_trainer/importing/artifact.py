"""From a policy that was found to an artifact: written, proved to act as what was found, measured where it can be."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from belay_api.artifact import MANIFEST, EvaluationReport, Manifest, file_entries
from belay_api.environment import EnvironmentSpec
from belay_api.outcomes import KnownOutcome
from belay_api.training import EvaluationSpec
from belay_heads import Head, head_of
from belay_trainer import environments, states
from belay_trainer.critic import Critic, write_critic
from belay_trainer.errors import BadConfiguration
from belay_trainer.evaluate import Evaluator
from belay_trainer.export import TOLERANCE, Network, check_agreement, check_step, loaded
from belay_trainer.importing import spaces
from belay_trainer.importing.found import Found
from belay_trainer.masks import Masking

OBSERVATIONS = 256  # made up, at which what is written must act as what was found
BATCH = 7  # no size that anything was exported with
RANDOM_BUDGET = 1_000_000  # timesteps of a training whose random episodes these would be: as many as begin in 50,000


@dataclass(frozen=True, slots=True)
class _Measured:
    report: EvaluationReport | None = None
    outcomes: dict[str, KnownOutcome] | None = None
    cap: int | None = None  # most timesteps of an episode


def write_artifact(found: Found, folder: Path, *, task: EnvironmentSpec | None, episodes: int) -> Manifest:
    """Write the artifact into the empty `folder` and return its manifest.

    Args:
        task: Where it acts; it is measured there. None: nobody said, and the artifact holds no evaluation.
        episodes: To measure it in.
    Raises: BadConfiguration, Diverged; ExportFailed when a network in the folder would act otherwise.
    """
    head = head_of(found.output, found.action)
    found.write(folder)
    made_up = spaces.observations(
        found.observation, count=spaces.enough(found.observation, OBSERVATIONS), normaliser=found.normaliser
    )
    networks = _loaded(found, head, folder, made_up[:BATCH])
    masks = _some_masks(head, len(made_up)) if head.masks else None
    state = states.beginning(found.state)
    for place, observation in enumerate(made_up):
        under = None if masks is None else masks[place : place + 1]
        _, state = check_step(found.policy, head, networks, observation, masks=under, state=state)
    measured = _Measured() if task is None else _measure(found, head, folder, task, episodes)
    manifest = Manifest(
        algorithm=found.algorithm,
        environment=task.id if task else None,
        observation=found.observation,
        action=found.action,
        output=found.output,
        state=states.described(found.state),
        normaliser=found.normaliser,
        max_episode_steps=measured.cap,
        evaluation=measured.report,
        outcomes=measured.outcomes or {},
        lineage=None,
        imported=found.imported,
        files=file_entries(folder),
    )
    (folder / MANIFEST).write_bytes(manifest.canonical())
    return manifest


def _loaded(found: Found, head: Head, folder: Path, observations: np.ndarray) -> dict[str, Network]:
    """Return the networks in the folder after asking them as serving pods do, for several observations at once.

    Raises: BadConfiguration when they cannot be asked, or answer otherwise than to each observation alone.
    """
    source, count = found.imported.source, len(observations)
    made_up = _some_states(found, count)
    try:
        networks = loaded(folder)
        answers = {
            name: (
                states.asked(network, observations, made_up)[0].reshape(count, head.width),
                [
                    states.asked(network, one[None], None if made_up is None else made_up[place, None])[0]
                    for place, one in enumerate(observations)
                ],
            )
            for name, network in networks.items()
        }
    except Exception as error:  # onnxruntime and torch each raise a family of their own
        raise BadConfiguration(
            f"{source} cannot be asked for {count} observations at once, which serving pods do: "
            f"{str(error).strip().splitlines()[0]} Export it with a batch of any size, `dynamic_axes` in "
            "torch.onnx.export."
        ) from error
    for name, (together, each) in answers.items():
        alone = np.reshape(each, (count, head.width))
        if not np.allclose(together, alone, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True):
            raise BadConfiguration(
                f"{source} answers otherwise to {count} observations at once than to each alone ({name}): it must "
                "not mix the observations of a batch."
            )
    return networks


def _some_masks(head: Head, count: int) -> np.ndarray:
    """Return made-up masks (count, outputs), the same at every call; the first of each choice is always allowed."""
    masks = np.random.default_rng(0).integers(0, 2, (count, head.width)).astype(np.bool_)
    masks[:, np.cumsum([0, *head.masks[:-1]])] = True
    return masks


def _some_states(found: Found, count: int) -> np.ndarray | None:
    """Return made-up memories (count, *state), each another one; None: it does not remember."""
    if found.state is None:
        return None
    return np.random.default_rng(0).uniform(-1, 1, (count, *found.state)).astype(np.float32)


def _measure(found: Found, head: Head, folder: Path, task: EnvironmentSpec, episodes: int) -> _Measured:
    """Play with what was written, then measure; from where a training's last evaluation starts."""
    maker = environments.maker(task)
    make = (lambda: Masking(maker())) if head.masks else maker
    environment = make()
    spec = EvaluationSpec(final_episodes=episodes)
    evaluator = Evaluator.fresh(make, task, spec)
    try:
        check_agreement(found.policy, head, folder, environment, first_seed=spec.first_seed, state=found.state)
        evaluation = evaluator(found.policy, step=found.imported.timesteps)
        random = evaluator.random(seed=0, budget=RANDOM_BUDGET)
    finally:
        evaluator.close()
    if found.value is not None:
        write_critic(Critic(found.value).eval(), environment, folder)
    environment.close()
    played = evaluation.played
    both = (played, random or played)
    reach = {name: (min(one[name].min for one in both), max(one[name].max for one in both)) for name in played}
    return _Measured(evaluation.report, evaluator.known(played, random=random, reach=reach), evaluator.cap)
