"""How often a digest has been put to the test, so that no error is spent twice on one candidate.

A digest that is taken up again (after a retry, or because it had been superseded) is another test of the same
candidate, and so is a metric that is edited while the candidate is on trial. Each has its part of the stated errors.
"""

from belay_api.content import content_hash
from belay_api.rollout.analysis import AnalysisSpec
from belay_api.rollout.status import RLRolloutStatus, TrialsStatus

KEEP_TRIALS = 20


def trial_of(status: RLRolloutStatus) -> int:
    """Return the how manieth test of the candidate this is, from 1 on."""
    own = _own(status)
    return own.count if own is not None else 1


def begun(status: RLRolloutStatus, analysis: AnalysisSpec) -> list[TrialsStatus]:
    """Return the record once a further test of the candidate has begun."""
    if status.candidate is None or status.stable is None:
        return status.trials  # a first version is compared with nothing
    own, digest = _own(status), status.candidate.digest
    again = TrialsStatus(digest=digest, count=own.count + 1 if own else 1, judged_by=judged_by(analysis))
    return [*(one for one in status.trials if one.digest != digest), again][-KEEP_TRIALS:]


def redefined(status: RLRolloutStatus, analysis: AnalysisSpec) -> bool:
    """Whether the candidate is judged by something else than when its test began."""
    own = _own(status)
    return own is not None and own.judged_by != judged_by(analysis)


def judged_by(analysis: AnalysisSpec) -> str:
    """Return what tells what a digest is judged by from what it was judged by before an edit."""
    compared = [metric.judged_by() for metric in analysis.deciding if metric.compare is not None]
    return content_hash([compared, str(analysis.grace), str(analysis.window), analysis.false_rollback_rate])


def _own(status: RLRolloutStatus) -> TrialsStatus | None:
    candidate = status.candidate
    return None if candidate is None else next((t for t in status.trials if t.digest == candidate.digest), None)
