"""What a training has cost so far: what its pods hold of the cluster, times how long, times a rate.

Status has a sum per seed and the instant up to which it is counted. Pods of a seed follow one another, so that instant
says for each pod how much of its life is in the sum already: nothing is counted twice, however often the operator looks
or begins anew, and a sum never shrinks when a pod is removed. What a pod held between the last look and its removal,
while no operator was there, is not known and not counted.

Pods at work are counted by whole minutes of the clock: each further digit would be a write at every look.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

from belay_api.cost import CostSpec, JobCost, Rates, SeedCost, Usage, WorkerCost
from belay_api.training import BestSeed, RLTrainingJobSpec, RLTrainingJobStatus, SeedStatus
from belay_operator.engine.plan import Settings
from belay_operator.training.observed import Life, Observed

_HOUR_S = 3600.0
_GIB = float(1 << 30)
_DIGITS = 6  # significant, of a price
_SOONEST = timedelta(seconds=1)  # a budget that is all but spent is not looked at without a rest
_LATEST = timedelta(days=1)  # one that lasts for ages is looked at now and then
_NEVER = datetime.min.replace(tzinfo=UTC)


def rates_of(spec: CostSpec, installation: Rates) -> Rates:
    """Return what a job pays: its own rates, and the installation's where it has none and no currency of its own."""
    own = {name: value for name, value in spec.model_dump(include=set(Rates.model_fields)).items() if value is not None}
    base = Rates() if spec.currency is not None else installation
    return base.model_copy(update=own)


def is_priced(rates: Rates) -> bool:
    """Whether anything has a price."""
    return any((rates.cpu_hour, rates.gpu_hour, rates.memory_gib_hour))


def is_spent(spec: RLTrainingJobSpec, status: RLTrainingJobStatus, settings: Settings) -> bool:
    """Whether the job has cost what it may, as status has it."""
    budget = spec.cost.budget
    if budget is None:
        return False
    rates = rates_of(spec.cost, settings.rates)
    return _price(Costs.of(status).total, rates) >= budget


@dataclass(frozen=True, slots=True)
class Costs:
    """What everything has cost that ran for a job."""

    seeds: list[SeedStatus]  # each with its cost
    search: list[WorkerCost]  # by place, of those that ran

    @classmethod
    def of(cls, status: RLTrainingJobStatus) -> Self:
        """Return what status says."""
        return cls(status.seeds, status.search_costs or [])

    @property
    def any(self) -> bool:
        """Whether anything ran."""
        return bool(self.search) or any(seed.cost is not None for seed in self.seeds)

    @property
    def total(self) -> Usage:
        """All together."""
        return _sum([*(seed.cost for seed in self.seeds if seed.cost is not None), *self.search])


def costs(observed: Observed, seeds: list[SeedStatus], now: datetime) -> Costs:
    """Return what each seed, and each place of the search, has cost; to the second where that spends the budget."""
    minute = _at(observed, seeds, now.replace(second=0, microsecond=0))
    if observed.spec.cost.budget is None or observed.spent:
        return minute
    exact = _at(observed, seeds, now)
    return exact if _left(observed, exact) <= 0 else minute


def job_cost(observed: Observed, found: Costs, best: BestSeed | None) -> JobCost | None:
    """Return what the job has cost; None: it never ran.

    Args:
        best: None: there is no result yet.
    """
    if not found.any:
        return None
    rates, total = rates_of(observed.spec.cost, observed.settings.rates), found.total
    price = _price(total, rates) if is_priced(rates) else None
    gain = 0.0
    if best is not None and best.return_ is not None and best.random is not None:
        gain = best.return_ - best.random.mean
    return JobCost(
        **total.model_dump(exclude={"price"}),
        price=None if price is None else _rounded(price),
        currency=None if price is None else rates.currency,
        price_per_point=_rounded(price / gain) if price is not None and gain > 0 else None,
    )


def time_left(observed: Observed, status: RLTrainingJobStatus, now: datetime) -> timedelta | None:
    """Return when to look at the budget again, as long as pods are at work: when it is spent, or in a day."""
    if observed.spec.cost.budget is None or observed.spent:
        return None
    rates = rates_of(observed.spec.cost, observed.settings.rates)
    alive = [life for view in observed.workload.seeds.values() for life in view.lives if not life.over]
    per_s = sum(_price(_usage(life.requests, seconds=1.0), rates) for life in alive)
    if per_s <= 0:
        return None
    left_s = _left(observed, _at(observed, status.seeds, now)) / per_s
    return max(_SOONEST, timedelta(seconds=min(left_s, _LATEST.total_seconds())))


def _left(observed: Observed, found: Costs) -> float:
    rates = rates_of(observed.spec.cost, observed.settings.rates)
    budget = observed.spec.cost.budget or 0.0
    return budget - _price(found.total, rates)


def _at(observed: Observed, seeds: list[SeedStatus], now: datetime) -> Costs:
    before = observed.status.search_costs or []
    if not observed.searching:
        counted = [_counted(observed, seed.index, seed.cost, now) for seed in seeds]
        priced = [seed.model_copy(update={"cost": cost}) for seed, cost in zip(seeds, counted, strict=True)]
        return Costs(priced, before)
    known: dict[int, SeedCost] = {one.index: one for one in before}
    places = sorted({*known, *observed.workload.seeds})
    search = {index: _counted(observed, index, known.get(index), now) for index in places}
    return Costs(seeds, [WorkerCost(**{**dict(one), "index": i}) for i, one in search.items() if one is not None])


def _counted(observed: Observed, index: int, cost: SeedCost | None, now: datetime) -> SeedCost | None:
    """Return a cost with what the pods of that index held since it was counted last, to their end or `now`."""
    rates = rates_of(observed.spec.cost, observed.settings.rates)
    for life in observed.workload.seed(index).lives:
        if not life.requests:
            continue
        until = cost.counted_until if cost is not None else _NEVER
        start, end = max(life.began_at, until), _end(life, now)
        if end > start:
            held = _usage(life.requests, seconds=(end - start).total_seconds())
            total = _sum([held] if cost is None else [cost, held])
            cost = SeedCost(**total.model_dump(exclude={"price"}), counted_until=end)
    if cost is None:
        return None
    price = _rounded(_price(cost, rates)) if is_priced(rates) else None
    return cost.model_copy(update={"price": price})


def _end(life: Life, now: datetime) -> datetime:
    if not life.over:
        return now
    return life.began_at if life.ended_at is None else life.ended_at


def _usage(requests: Mapping[str, float], *, seconds: float) -> Usage:
    gpus = sum(pieces for resource, pieces in requests.items() if _is_gpu(resource))
    return Usage(
        cpu_seconds=requests.get("cpu", 0.0) * seconds,
        gpu_seconds=gpus * seconds,
        memory_gib_hours=requests.get("memory", 0.0) / _GIB * seconds / _HOUR_S,
    )


def _is_gpu(resource: str) -> bool:
    """Whether a resource is a GPU or a part of one.

    >>> [_is_gpu(name) for name in ("nvidia.com/gpu", "nvidia.com/mig-1g.10gb", "gpu.intel.com/i915", "google.com/tpu")]
    [True, True, True, False]
    """
    return "gpu" in resource or "/mig-" in resource


def _sum(usages: Sequence[Usage]) -> Usage:
    return Usage(
        cpu_seconds=round(sum(usage.cpu_seconds for usage in usages), 3),
        gpu_seconds=round(sum(usage.gpu_seconds for usage in usages), 3),
        memory_gib_hours=round(sum(usage.memory_gib_hours for usage in usages), 9),
    )


def _price(usage: Usage, rates: Rates) -> float:
    by_hour = usage.cpu_seconds * (rates.cpu_hour or 0.0) + usage.gpu_seconds * (rates.gpu_hour or 0.0)
    return by_hour / _HOUR_S + usage.memory_gib_hours * (rates.memory_gib_hour or 0.0)


def _rounded(price: float) -> float:
    return float(f"{price:.{_DIGITS}g}")
