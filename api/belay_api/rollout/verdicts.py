"""The last look at each metric, with its evidence."""

from typing import Annotated

from pydantic import Field

from belay_api.model import StatusModel
from belay_api.reasons import Verdict
from belay_api.rollout.compare import RangeOrigin
from belay_api.rollout.outcome import Action
from belay_api.units import Instant


class SampleStatus(StatusModel):
    """One side of a comparison."""

    episodes: int
    """Episodes that count: where users are assigned, the first of each user."""
    mean: float | None = None
    """Mean outcome over them."""
    missing: int = 0
    """Episodes that did not end within grace of their start."""
    late: int | None = None
    """Of the missing, those that were reported all the same, after grace; unset: none."""


class LimitStatus(StatusModel):
    """The evidence on a limit, and up to where requests are counted in it."""

    bound: float | None = None
    """Of a latency: requests that took longer than this, in seconds, are beyond; unset: those that failed. It is the
    smallest bound of the pods' histogram that is not below the limit, so that beyond is certain."""
    share: float | None = None
    """Of the requests judged last (those of `tolerates`), the share beyond; unset: none were judged yet."""
    requests: int = 0
    """Judged at the present weight."""
    beyond: int = 0
    """Of them, beyond."""
    against: float
    """Evidence that more lie beyond than the limit allows, since the candidate's first weight; 1 fails."""
    in_favour: float
    """How far the evidence is that it is kept, at the present weight; 1 passes. It says that fewer lie beyond than five
    times what the limit allows, or 5 %."""
    stakes: list[float]
    """`against` by stake, smallest first: each finds breaches of another size soonest."""
    weight: float = 0
    """Percent: the weight that the last requests judged were under; 0: none yet."""
    weight_since: Instant | None = None
    """When that weight was accepted."""
    counting: Instant
    """When the operator began to count: `scrape` belongs to this, and another operator counts anew."""
    scrape: int
    """Number of the scrape up to which requests are judged."""


class AnchorVerdict(StatusModel):
    """The same metric against the anchor. It withholds Pass and fails nobody."""

    policy: str
    """Name of the anchor's RLPolicy."""
    verdict: Verdict
    """Pass, NoData, ProviderDown or NotEnoughSamples."""
    message: str = ""
    """The verdict as a sentence."""
    withholds: bool | None = None
    """True: the metric would pass but for this."""
    anchor: SampleStatus | None = None
    """The anchor's episodes at the present weight."""
    difference: float | None = None
    """Candidate minus anchor, per window, weighted by the candidate's counts."""
    interval: Annotated[list[float], Field(max_length=2)] | None = None
    """Bounds of the difference, valid at every look: [low, high]."""
    pass_above: float | None = None
    """The lower bound above this passes (below it, where less is better)."""


class CovariateStatus(StatusModel):
    """What was known of an episode before the policy acted, and is taken off its outcome: stable's critic of the first
    observation."""

    explains: float
    """The share of the outcome's variance that it takes away, 0 to 1, by the windows so far."""


class FollowedStatus(StatusModel):
    """What followed a verdict that stayed away."""

    verdict: Verdict
    """NoData, ProviderDown or NotEnoughSamples."""
    action: Action
    """`Continue`: the step under way then goes on without a Pass of this metric; `Extend`: it got more time."""
    times: int = 1
    """How often in this step it got more time."""
    step: int
    """Index of the step that was under way; it holds for that one."""
    at: Instant
    """When."""


class MetricVerdict(StatusModel):
    """The last look at one metric, with its evidence. Running numbers are written at most every few seconds."""

    metric: str
    """Name in spec.analysis.metrics."""
    definition: str | None = None
    """Hash of what the metric measured and was judged by; a metric defined otherwise under its name begins anew."""
    verdict: Verdict
    """Pass, Fail, NoData, ProviderDown or NotEnoughSamples."""
    message: str = ""
    """The verdict as a sentence."""
    dry_run: bool | None = None
    """True: nothing rests on it. A Fail stands, as the rollback would that it did not bring about."""
    followed: FollowedStatus | None = None
    """The last thing that followed a verdict of this metric other than Fail and Pass: more time, or going on without
    it; unset: nothing of that."""
    candidate: SampleStatus | None = None
    """The candidate's episodes."""
    stable: SampleStatus | None = None
    """Stable's episodes of the same windows."""
    difference: float | None = None
    """Candidate minus stable, per window, weighted by the candidate's counts."""
    interval: Annotated[list[float], Field(max_length=2)] | None = None
    """Bounds of the difference, valid at every look: [low, high]."""
    fail_below: float | None = None
    """The upper bound below this fails (above it, where less is better)."""
    pass_above: float | None = None
    """The lower bound above this passes (below it, where less is better)."""
    range: Annotated[list[float], Field(max_length=2)] | None = None
    """Of a comparison: the stated errors hold while every outcome lies between, [low, high]: as declared, certain from
    the task, or taken from what was seen before."""
    range_from: Annotated[list[RangeOrigin], Field(max_length=2)] | None = None
    """Where either end of it comes from, [low, high]: Declared, Outcome, Task or Seen."""
    anchor: AnchorVerdict | None = None
    """Of a comparison: the candidate against the anchor, while that is served; the last look of it afterwards."""
    covariate: CovariateStatus | None = None
    """Of a comparison: set while outcomes are judged less what stable's critic expected of them; unset: as they are."""
    grace_too_short: bool | None = None
    """True: most of the time more than 1 % of the reported episodes were late, not shown to be on the candidate's side
    alone. So nothing is decided, and no step ends."""
    limit: LimitStatus | None = None
    """Of a limit: how far the evidence is."""
    query: str | None = None
    """What was asked, of whom."""
    since: Instant | None = None
    """When this verdict was first reached."""
    evidence_since: Instant | None = None
    """The weight change after which everything was measured that counts for Pass; unset: no such evidence yet."""
    at: Instant
    """When the numbers were measured."""
