"""Which seed of which training this pod is: the mounted configuration and the pod's completion index."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from belay_api import names
from belay_api.searched import workers
from belay_api.training import RLTrainingJobSpec, TrainingConfig
from belay_trainer.errors import BadConfiguration
from belay_trainer.seal import read_key


@dataclass(frozen=True, slots=True)
class Run:
    """One seed of one training job."""

    config: TrainingConfig
    index: int  # place in the Indexed Job
    seed: int  # seeds.first + index
    key: bytes | None = field(default=None, repr=False)  # the job's; None: this pod was given none
    code: str | None = None  # digest of the modules in `runtime.code`; None: there are none
    packages: Mapping[str, str] = field(default_factory=dict)  # versions of what `runtime.packages` brought, by name

    @property
    def spec(self) -> RLTrainingJobSpec:
        """The job's spec."""
        return self.config.spec


def read_run(job_file: Path, index: str | None, key_file: Path) -> Run:
    """Return what this pod has to train.

    Args:
        index: The completion index as the Job controller wrote it; None: there is none.
    Raises: BadConfiguration when a file or the index is missing or not as this version understands them.
    """
    place = read_index(index)
    try:
        config = TrainingConfig.model_validate_json(job_file.read_bytes())
    except OSError as error:
        raise BadConfiguration(
            f"{job_file} cannot be read: {error}. Run the trainer through an RLTrainingJob."
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadConfiguration(
            f"{where}: {first['msg']}. Trainer and operator must be of one version: check runtime.image."
        ) from error
    if config.spec.search is None and place >= config.spec.seeds.count:
        raise BadConfiguration(f"{names.INDEX_ENV} is {place}, but seeds.count is {config.spec.seeds.count}.")
    if config.spec.search is not None and place >= workers(config.spec):
        raise BadConfiguration(f"{names.INDEX_ENV} is {place}, but {workers(config.spec)} pods search.")
    return Run(config, index=place, seed=config.spec.seeds.first + place, key=read_key(key_file))


def read_index(index: str | None) -> int:
    """Return the completion index as a number. Raises: BadConfiguration when it is none."""
    if index is None or not index.isdecimal():
        raise BadConfiguration(f"{names.INDEX_ENV} is {index!r}, wanted a number: run the trainer in an Indexed Job.")
    return int(index)
