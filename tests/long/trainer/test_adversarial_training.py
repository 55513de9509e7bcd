"""Does a policy that was trained beside an adversary return more in the worst case? A minute of CPU."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from trainer_configs import make_config

from belay_trainer.config import Run
from belay_trainer.served import ServedPolicy, read_artifact
from belay_trainer.session import train_and_publish
from belay_trainer.stop import Stop
from belay_trainer.student import welch

EPSILON = 0.5  # standard deviations, of a number whose standard deviation is 1
SEEDS = 4
BY_CHANCE = 0.01
SETTINGS = {"n_steps": 64, "batch_size": 64, "learning_rate": 0.01, "gamma": 0.5, "ent_coef": 0.02}


class Returns(NamedTuple):
    """What a policy returns in an episode on average, worked out and not played."""

    undisturbed: float
    worst: float  # whatever of all that is within EPSILON it is shown


def test_adversarial_training_returns_more_in_the_worst_case_and_less_without(tmp_path: Path) -> None:
    """At the same budget. What meets an attack is a margin, and a margin costs where nobody attacks."""
    found = {
        name: [_returns(_published(tmp_path / f"{name}-{seed}", seed, **spec)) for seed in range(SEEDS)]
        for name, spec in (("plain", {}), ("robust", {"adversary": {"epsilon": EPSILON}}))
    }
    plain, robust = (np.array(found[name]) for name in ("plain", "robust"))
    assert _by_chance(robust[:, 1], plain[:, 1]) < BY_CHANCE, found
    assert _by_chance(plain[:, 0], robust[:, 0]) < BY_CHANCE, found


def _published(root: Path, seed: int, **more: Any) -> Path:
    """Train and publish one policy, whose checkpoint is chosen among eight, and return its artifact."""
    config = make_config(
        environment={"id": "tasks:Brink-v0"},
        algorithm={"ppo": SETTINGS},
        budget={"steps": 8192},
        evaluation={"every": 1024, "episodes": 50, "finalEpisodes": 5},
        checkpoint={"every": 8192},
        **more,
    )
    root.mkdir()
    run = Run(config, index=0, seed=seed)
    report = train_and_publish(run, work_dir=root, pvc_dir=root, initial_dir=root, logbook=None, stop=Stop())
    assert report.artifact is not None
    return root / report.artifact.uri.removeprefix("pvc://policies/")


def _returns(folder: Path) -> Returns:
    """Return what a policy of tasks:Brink returns, from its action at every height, which is N(0, 1)."""
    heights = np.linspace(-4.0, 4.0, 801)
    shares = np.exp(-(heights**2) / 2)
    shares /= shares.sum()
    actions, _ = ServedPolicy(read_artifact(folder)).predict(heights[:, None].astype(np.float32), deterministic=True)
    acts = actions == 1
    near = np.abs(heights[:, None] - heights) <= EPSILON + 1e-9
    always, ever = (acts | ~near).all(axis=1), (acts & near).any(axis=1)
    above = heights > 0
    return Returns(
        undisturbed=10 * float((shares * np.where(above, acts, -4.0 * acts)).sum()),
        worst=10 * float((shares * np.where(above, always, -4.0 * ever)).sum()),
    )


def _by_chance(higher: np.ndarray, lower: np.ndarray) -> float:
    errors = [float(one.std(ddof=1)) / len(one) ** 0.5 for one in (higher, lower)]
    return welch(float(higher.mean() - lower.mean()), errors, [len(higher), len(lower)])
