"""Curves to MLflow: one run for each seed, found again by a tag."""

import contextlib
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

IDENTITY = "belay.run"  # tag: MLflow chooses the ids of its runs itself
MOST_PARAMS, LONGEST_PARAM = 100, 500  # what one call and one value may have, at every version
_NOT_ALLOWED = re.compile(r"[^A-Za-z0-9_\-./: ]")  # in the name of a parameter
PATIENCE = (408, 425, 429)  # answers that ask for it, such as one to too many requests


class MLflow:
    """See `child.Client`."""

    def __init__(self, opening: Mapping[str, Any]) -> None:
        self._settings, self._run = opening["settings"], opening["run"]
        self._client: MlflowClient | None = None
        self._id = ""
        self._told: dict[str, int] = {}  # newest timestep by metric
        self._described = False

    def open(self) -> None:
        """Find the seed's run and what it has been told, or make one."""
        client = self._client = MlflowClient(self._settings.get("uri"))
        experiment = self._experiment(client)
        wanted = f"tags.`{IDENTITY}` = '{self._run['id']}'"
        found = client.search_runs([experiment], wanted, max_results=1)
        if found:
            self._id, self._described = found[0].info.run_id, bool(found[0].data.params)
            for name in found[0].data.metrics:
                self._told[name] = max(one.step for one in client.get_metric_history(self._id, name))
            client.update_run(self._id, status="RUNNING")
            return
        tags = {IDENTITY: self._run["id"], "belay.job": self._run["group"]}
        self._id = client.create_run(experiment, tags=tags, run_name=self._run["name"]).info.run_id

    def describe(self) -> None:
        """Tell the configuration as parameters, unless an earlier life has."""
        if self._described:
            return
        told = {_NOT_ALLOWED.sub("_", name): str(value) for name, value in _flat(self._run["config"])}
        params = [Param(name, value[:LONGEST_PARAM]) for name, value in told.items()]
        self._opened().log_batch(self._id, params=params[:MOST_PARAMS])

    def record(self, step: int, metrics: Mapping[str, float]) -> None:
        """Tell what is new: MLflow keeps a point that is told twice twice."""
        now = round(time.time() * 1000)
        new = {name: value for name, value in metrics.items() if step > self._told.get(name, -1)}
        if new:
            self._opened().log_batch(self._id, metrics=[Metric(name, value, now, step) for name, value in new.items()])
            self._told.update(dict.fromkeys(new, step))

    def refuses(self, error: Exception) -> bool:
        """Whether the server has answered, and its answer is no."""
        if not isinstance(error, MlflowException):
            return False
        status = error.get_http_status_code()
        return 400 <= status < 500 and status not in PATIENCE

    def close(self) -> None:
        """Say that the run is over; a seed that resumes takes it up again."""
        self._opened().set_terminated(self._id)

    def _opened(self) -> MlflowClient:
        if self._client is None:
            raise RuntimeError("a row before open(): there is no run yet")
        return self._client

    def _experiment(self, client: MlflowClient) -> str:
        name = self._settings.get("experiment") or self._run["group"]
        found = client.get_experiment_by_name(name)
        if found is None:
            with contextlib.suppress(MlflowException):  # another seed made it meanwhile
                return client.create_experiment(name)
            found = client.get_experiment_by_name(name)
        if found is None:
            raise ConnectionError(f"experiment {name} can neither be found nor made")
        return found.experiment_id


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the leaves of a configuration by their paths, such as `algorithm.ppo.gamma`."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _flat(item, f"{path}.{key}".lstrip("."))
    else:
        yield path, value
