"""One episode of a policy as a moving picture.

The policy acts through its exported network and its head, as it does in service, and takes its best action each time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from belay_api.environment import EnvironmentSpec
from belay_api.spaces import space_model
from belay_heads.observations import numbers, parts
from belay_trainer import environments, masks, states
from belay_trainer.environments import Environment
from belay_trainer.errors import BadConfiguration
from belay_trainer.masks import Masking
from belay_trainer.served import Artifact, ServedPolicy

RGB = "rgb_array"  # Gymnasium's render mode that returns pictures, (height, width, 3) of bytes
PICTURES_S = 15  # a second, at most
MOST_PICTURES = 600  # 40 seconds; what follows is not played
WIDTH = 320  # pixels at most: mail and reports take no megabytes
USUAL_FPS = 30  # where the environment does not say how many timesteps are a second


@dataclass(slots=True)
class Recorded:
    """What can be seen in a recording."""

    seed: int  # reset seed of the episode
    timesteps: int = 0
    return_: float = 0.0  # of the timesteps that were played
    ended: bool = False  # False: the recording is full, and the episode goes on


def record(artifact: Artifact, task: EnvironmentSpec, path: Path, *, seed: int) -> Recorded:
    """Play one episode and write it.

    Args:
        path: A file that ends in .gif, .webp or .png (an animated one), which decides the format.
        seed: Of the reset.
    Raises: BadConfiguration where the environment cannot be made, or draws no pictures.
    """
    with environments.maker(task)() as plain:
        modes = plain.metadata.get("render_modes") or ()
        if RGB not in modes:
            raise BadConfiguration(
                f"environment.id: {task.id} draws no pictures: its render_modes are {list(modes)}, and {RGB!r} is not "
                "among them."
            )
    drawn = task.model_copy(update={"kwargs": task.kwargs | {"render_mode": RGB}})
    recorded = Recorded(seed)
    policy, made = ServedPolicy(artifact), environments.maker(drawn)()
    with Masking(made) if artifact.head.masks else made as environment:
        fps = environment.metadata.get("render_fps") or USUAL_FPS
        stride = max(1, round(fps / PICTURES_S))
        pictures = _played(policy, environment, recorded, stride=stride)
        next(pictures).save(
            path, save_all=True, append_images=pictures, duration=round(1000 * stride / fps), loop=0
        )  # which plays the episode: it asks for the pictures one by one
    return recorded


def played(recorded: Recorded) -> str:
    """Return in words what was played."""
    what = "return" if recorded.ended else "the episode goes on; return so far"
    return f"{recorded.timesteps:,} timesteps, {what} {recorded.return_:.4g}"


def _played(
    policy: ServedPolicy, environment: Environment, recorded: Recorded, *, stride: int
) -> Iterator[Image.Image]:
    """Play, and yield a picture of the beginning, of every `stride`-th timestep and of the end."""
    found = parts(space_model(environment.observation_space))
    observation, _ = environment.reset(seed=recorded.seed)
    state: np.ndarray | None = None  # what is remembered of the episode
    yield _picture(environment)
    for _ in range(1, MOST_PICTURES):
        for _ in range(stride):
            seen, allowed = numbers(observation, found)[None], masks.arguments([environment])
            actions, answered = policy.predict(seen, **allowed, **states.arguments([state]))
            (state,) = states.of_each(answered, 1)
            observation, reward, terminated, truncated, _ = environment.step(actions[0])
            recorded.timesteps += 1
            recorded.return_ += float(reward)
            recorded.ended = bool(terminated or truncated)
            if recorded.ended:
                break
        yield _picture(environment)
        if recorded.ended:
            return


def _picture(environment: Environment) -> Image.Image:
    drawn: Any = environment.render()
    picture = Image.fromarray(np.asarray(drawn, dtype=np.uint8))
    if picture.width <= WIDTH:
        return picture
    return picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)))
