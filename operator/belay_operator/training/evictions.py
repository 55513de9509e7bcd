"""What the kubelet's evictions cost: a retry each, also where the Job takes them for a disruption.

A Job cannot tell an eviction for want of memory or disk from a drain: both carry the condition DisruptionTarget, and a
pod that could still save ends with the code of one that was asked to go. So it makes the next pod, which may fill the
same disk, without end. They are counted here instead, and a Job that cannot succeed any more is given no time.
"""

from belay_api.attempts import MOST_ATTEMPTS
from belay_api.reasons import AttemptEnd
from belay_api.searched import workers
from belay_api.training import RLTrainingJobSpec, RLTrainingJobStatus, SeedPhase, SeedStatus
from belay_operator.training.observed import Observed


def evictions(observed: Observed, seed: SeedStatus) -> int:
    """Return how many pods of a seed the kubelet evicted, as far as its Job does not count them."""
    view = observed.workload.seed(seed.index)
    visible = {life.pod for life in view.lives}
    # Some clean up after evictions. Of a pod that is gone nobody knows whether its Job counted it as well.
    gone = {
        one.pod for one in observed.status.history or () if one.seed == seed.seed and one.reason == AttemptEnd.EVICTED
    }
    return len({*view.evictions, *(gone - visible)})


def used_up(spec: RLTrainingJobSpec, seed: SeedStatus) -> bool:
    """Whether a seed has had more retries than it may have; a Job alone makes no pod for that."""
    return seed.retries > spec.failure.retries_per_seed


def hopeless(spec: RLTrainingJobSpec, status: RLTrainingJobStatus) -> bool:
    """Whether evictions have left so little that the Job cannot succeed, which it does not know."""
    most = spec.failure.retries_per_seed
    if spec.search is not None and status.searched_at is None:
        evicted = sum(one.reason == AttemptEnd.EVICTED for one in status.history or ())
        return evicted > min(most * workers(spec), MOST_ATTEMPTS - 1)  # of all its workers, of which the last are known
    required = spec.seeds.count if spec.seeds.required is None else spec.seeds.required
    failed = [seed for seed in status.seeds if seed.phase == SeedPhase.FAILED]
    return len(failed) > spec.seeds.count - required and any(used_up(spec, seed) for seed in failed)
