"""A training's search as an Indexed Job of its own, before the one of the seeds: an index is a worker of the study.

RLTrainingJob ──owns──▶ Job `<name>-s<attempt>` ──owns──▶ pods, which share a journal
                               └ over once every worker has nothing left to do

A worker that fails for good leaves its trials to the others, so the Job's failure is not yet the search's.
"""

from typing import Any

from belay_api.searched import workers, workers_at_once
from belay_api.training import RLTrainingJobSpec
from belay_operator.training.observed import Observed
from belay_operator.training.workloads.indexed_job import IndexedJob


class SearchJob(IndexedJob):
    """See `Workload`."""

    searching = True

    def count(self, spec: RLTrainingJobSpec) -> int:
        """Return how many workers there are."""
        return max(1, workers(spec))

    def at_once(self, spec: RLTrainingJobSpec) -> int:
        """Return how many of them are at work at once."""
        return max(1, workers_at_once(spec))

    def ends(self, observed: Observed) -> dict[str, Any]:
        """Return nothing: the last workers are waited for, for they may have the best trial."""
        return {}
