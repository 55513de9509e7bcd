"""Imports as people run them, and what a serving pod then does with what came out."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from belay_api.artifact import Manifest, parse_manifest, verify
from belay_handler.acting import Actor
from belay_handler.networks import load_network
from belay_trainer.__main__ import main

CARTPOLE = ("--observation-space", "box:4", "--action-space", "discrete:2")


@dataclass
class Imports:
    """Runs the command; `told` is what it said."""

    root: Path
    capsys: Any
    caplog: Any
    told: str = ""
    printed: str = ""
    made: int = field(default=0)

    def run(self, *arguments: str | Path) -> int:
        """Return the exit code."""
        self.caplog.clear()
        self.capsys.readouterr()
        code = main(["import", *map(str, arguments)])
        captured = self.capsys.readouterr()
        self.printed, self.told = captured.out, self.caplog.text + captured.err
        return code

    def artifact(self, *arguments: str | Path) -> tuple[Path, Manifest]:
        """Return the folder and the manifest of an import that succeeds."""
        self.made += 1
        folder = self.root / f"artifact-{self.made}"
        code = self.run(*arguments, "--family", "some", "--out", folder, "--uri", "pvc://policies/some")
        assert code == 0, self.told
        digest = self.printed.split("digest: ")[1].strip()
        return folder, verify(folder, wanted=digest)

    def refused(self, *arguments: str | Path) -> str:
        """Return what is said of an import that fails for what was given; nothing is left behind."""
        folder = self.root / "refused"
        code = self.run(*arguments, "--family", "some", "--out", folder)
        assert code == 3, self.told
        assert not folder.exists()
        assert self.printed == ""
        return self.told


def served(folder: Path, manifest: Manifest, observations: np.ndarray, *, size: int = 8) -> np.ndarray:
    """Return the actions that a serving pod gives, asked for `size` observations at a time."""
    manifest = parse_manifest(manifest.canonical(), wanted=manifest.digest())
    actor = Actor(manifest, load_network(manifest, folder), np.random.default_rng(0))
    answered: list[Any] = []
    for start in range(0, len(observations), size):
        batch = observations[start : start + size]
        answered += actor.act(batch, [True] * len(batch))
    return np.asarray(answered)


def seen_in(environment: gymnasium.Env[Any, Any], count: int) -> np.ndarray:
    """Return what random actions lead to."""
    environment.action_space.seed(0)
    found = [environment.reset(seed=0)[0]]
    while len(found) < count:
        observation, _, terminated, truncated, _ = environment.step(environment.action_space.sample())
        found.append(environment.reset()[0] if terminated or truncated else observation)
    return np.stack(found)
