"""Where curves go beside the logbook: trackers of other makers."""

from typing import Annotated, Literal

from pydantic import Field

from belay_api.model import Model

Text = Annotated[str, Field(min_length=1, max_length=256)]


class MLflowTracking(Model):
    """One run of MLflow for each seed; needs `mlflow-skinny` in `runtime.packages`, or in the image."""

    uri: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    """Address of the tracking server, such as `https://mlflow.example.com`; unset: `MLFLOW_TRACKING_URI` of
    `runtime.env`. User, password and token are variables of MLflow's own, from a Secret."""
    experiment: Text | None = None
    """Experiment, made if it does not exist; unset: the job's name."""


class WandbTracking(Model):
    """One run of Weights & Biases for each seed, in a group of the job's name; needs `wandb` in `runtime.packages`, or
    in the image, and `WANDB_API_KEY` from a Secret in `runtime.env`."""

    project: Text
    """Project of the runs."""
    entity: Text | None = None
    """Whose project it is; unset: the key's default."""
    mode: Literal["online", "offline"] = "online"
    """`offline` writes files for `wandb sync`; in a pod they go with it, so it is for `belay-trainer run`."""


class TrackingSpec(Model):
    """Trackers that are told every metric by timestep. One that does not answer neither delays nor ends a training."""

    mlflow: MLflowTracking | None = None
    """MLflow."""
    wandb: WandbTracking | None = None
    """Weights & Biases."""
