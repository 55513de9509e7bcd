"""A suite as its author wrote it, and the RLTrainingJob that trains each pair of an algorithm and an environment.

    environments:
      cartpole: {id: CartPole-v1}
      acrobot: {id: Acrobot-v1}
    algorithms:
      ppo: {ppo: {}}
      dqn-slow: {dqn: {learning_rate: 1.0e-4}}
    training:
      budget: {steps: 50000}
      seeds: {count: 5}

`training` is the rest of the spec, the same for all pairs. Each pair becomes a file that `belay-trainer run` and
`kubectl apply` take as well, and every one of them is checked before the first is trained.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from belay_api.gates import baseline
from belay_api.names import API_VERSION
from belay_api.words import did_you_mean
from belay_trainer import files
from belay_trainer.errors import BadConfiguration
from belay_trainer.local.manifest import KIND, Manifest, documents, read_manifest

_PARTS = ("environments", "algorithms", "training")
_OF_PAIRS = ("environment", "algorithm")  # of a spec: what differs from pair to pair


@dataclass(frozen=True, slots=True)
class Pair:
    """One algorithm in one environment."""

    environment: str  # its name in the suite
    algorithm: str
    manifest: Manifest

    @property
    def name(self) -> str:
        """Of the RLTrainingJob, and of its folder."""
        return self.manifest.name


def read_suite(path: Path, jobs: Path) -> list[Pair]:
    """Return the pairs of the suite in a file, by environment, after writing the RLTrainingJob of each.

    Args:
        jobs: Folder for the RLTrainingJobs.
    Raises: BadConfiguration naming the file and the field at fault.
    """
    suite = _parts(path)
    pairs = []
    for environment, task in suite["environments"].items():
        for algorithm, settings in suite["algorithms"].items():
            name = f"{algorithm}-{environment}"
            spec = {**suite["training"], "environment": task, "algorithm": settings}
            job = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name}, "spec": spec}
            file = jobs / f"{name.replace('/', '_')}.yaml"
            files.write_atomically(file, yaml.safe_dump(job, sort_keys=False).encode())
            manifest = read_manifest(file)
            _check_alone(path, manifest)
            pairs.append(Pair(environment, algorithm, manifest))
    if len({pair.name for pair in pairs}) < len(pairs):
        raise BadConfiguration(f"{path}: two pairs would have one name: rename an algorithm or an environment.")
    return pairs


def _check_alone(path: Path, manifest: Manifest) -> None:
    """Raises: BadConfiguration where a training asks for a policy that there is: of which pair would it be?"""
    if manifest.spec.init_from is not None:
        raise BadConfiguration(f"{path}: training.initFrom: all pairs begin anew: leave it out.")
    if (name := baseline(manifest.spec.gates)) is not None:
        raise BadConfiguration(
            f"{path}: training.gates: betterThan: {name} is a policy of one environment; compare with random, or leave "
            "it out."
        )


def _parts(path: Path) -> dict[str, dict[str, Any]]:
    found = documents(path)
    if len(found) != 1 or not isinstance(found[0], dict):
        raise BadConfiguration(f"{path}: wanted one mapping with {', '.join(_PARTS)}.")
    suite: dict[str, dict[str, Any]] = found[0]
    for name in suite:
        if name not in _PARTS:
            raise BadConfiguration(f"{path}: {name} is no part of a suite: {did_you_mean(str(name), _PARTS)}")
    for name in _PARTS:
        if not isinstance(suite.get(name), dict) or not suite[name]:
            raise BadConfiguration(f"{path}: {name} is missing: wanted fields of its own, `name: value`.")
    for name in _OF_PAIRS:
        if name in suite["training"]:
            raise BadConfiguration(f"{path}: training.{name} differs from pair to pair: put it into {name}s.")
    return suite
