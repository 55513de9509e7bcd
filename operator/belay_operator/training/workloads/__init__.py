"""What runs a training's pods, one file per way, behind the protocol in `workload.py`.

`search_job.py` is what runs before the seeds, where they have settings to wait for. `trainer_pod.py` is what a pod of
ours tells, whatever made it. What only Events tell stands in `belay_operator/job_events`.
"""

from belay_operator.training.workloads.indexed_job import IndexedJob
from belay_operator.training.workloads.search_job import SearchJob
from belay_operator.training.workloads.workload import Workload


def workload(*, searching: bool) -> Workload:
    """Return what runs the pods of a training, or those of its search."""
    return SearchJob() if searching else IndexedJob()
