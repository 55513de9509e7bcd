"""What runs a training's pods, one file per way, behind the protocol in `workload.py`.

`trainer_pod.py` is what a pod of ours tells, whatever made it. `creation.py` and `starting.py` are the pollers that
`indexed_job.py` reads, of what only Events tell (`event_words.py`).
"""

from belay_api.training import RLTrainingJobSpec
from belay_operator.training.workloads.indexed_job import IndexedJob
from belay_operator.training.workloads.workload import Workload


def workload(spec: RLTrainingJobSpec) -> Workload:
    """Return what runs a training of this spec. The spec is frozen, so it is the same for the job's whole life."""
    return IndexedJob()
