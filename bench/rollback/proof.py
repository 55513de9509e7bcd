"""When did the episodes, as the logbook got them, first prove the regression?

Computed afterwards by the operator's own rule: the first moment at which what had been reported and had passed its
grace was enough for Fail, and not withheld because too many reports came late.
"""

import bisect
import statistics
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from played import Reported

from belay_api.reasons import Verdict
from belay_api.rollout.spec import RLRolloutSpec
from belay_api.wire import EarlierStatistics, Statistics, VersionStatistics, WindowStatistics
from belay_operator.rollout.analysis.queries import Criterion, budget, comparison_of, judged
from belay_operator.rollout.facts import Reading

EARLIER = 100  # episodes before the trial that a look tells of


class NoProof(Exception):
    """The operator saw a regression that its own judge does not see in the same episodes."""


def proof(
    reported: Iterable[Reported],
    spec: RLRolloutSpec,
    *,
    stable: str,
    candidate: str,
    since: float,
    until: float,
    trial: int = 1,
) -> float:
    """Return the first instant up to `until` at which the episodes prove the regression.

    Args:
        since: When the trial began; what began before is only known, as a look of the logbook tells it.
        trial: The how manieth of the candidate's digest.
    Raises: NoProof.
    """
    grace, window = spec.analysis.grace.total_seconds(), spec.analysis.window.total_seconds()
    [metric] = [metric for metric in spec.analysis.metrics if metric.compare is not None]
    comparison, spend = comparison_of(metric), budget(spec.analysis, metric, trial=trial)
    if comparison is None:
        raise ValueError(f"metric {metric.name} is not compared")
    asked = Criterion(comparison, candidate, stable, spend, spec.analysis.grace, since=None)

    def countable_at(episode: Reported) -> float:
        return max(episode.began + grace, episode.sent)

    known = [episode for episode in reported if episode.began < since and episode.sent <= episode.began + grace]
    episodes = sorted((episode for episode in reported if episode.began >= since), key=countable_at)
    instants = [countable_at(episode) for episode in episodes]
    for instant in instants[: bisect.bisect_right(instants, until)]:
        counted = episodes[: bisect.bisect_right(instants, instant)]
        sides = [
            VersionStatistics(
                version=side,
                windows=list(_windows([e for e in counted if e.version == side], window, grace)),
                earlier=_earlier([e.value for e in known if e.version == side]),
            )
            for side in (candidate, stable)
        ]
        at = datetime.fromtimestamp(instant, UTC)
        look = Reading("replayed", at, windows=Statistics(outcome="return", at=at, etag="", versions=sides))
        if judged(asked, look).verdict is Verdict.FAIL:
            return instant
    raise NoProof(f"{len(episodes)} episodes, none of them enough until {datetime.fromtimestamp(until, UTC)}")


def _earlier(values: list[float]) -> EarlierStatistics | None:
    last = values[-EARLIER:]
    if not last:
        return None
    mean = statistics.fmean(last)
    m2 = sum((value - mean) ** 2 for value in last)
    return EarlierStatistics(count=len(last), mean=mean, m2=m2, min=min(last), max=max(last))


def _windows(episodes: list[Reported], window: float, grace: float) -> Iterator[WindowStatistics]:
    for index in sorted({e.began // window for e in episodes}):
        inside = [e for e in episodes if e.began // window == index]
        values = [e.value for e in inside if e.sent <= e.began + grace]
        late = len(inside) - len(values)
        mean = statistics.fmean(values) if values else None
        yield WindowStatistics(
            start=datetime.fromtimestamp(index * window, UTC),
            count=len(values),
            missing=late,
            late=late,
            mean=mean,
            m2=sum((value - mean) ** 2 for value in values) if mean is not None else 0.0,
            min=min(values, default=None),
            max=max(values, default=None),
        )
