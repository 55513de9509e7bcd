"""What is kept of an answer that has been judged, and for how long."""

import gc
import weakref
from datetime import UTC, datetime, timedelta

from belay_api.wire import Statistics
from belay_operator.rollout.analysis.budget import split
from belay_operator.rollout.analysis.evidence import Better, Comparison
from belay_operator.rollout.analysis.queries import Judgement, judged
from belay_operator.rollout.facts import Reading

NOW = datetime(2026, 5, 4, 10, tzinfo=UTC)
RETURN = Comparison("return", Better.MORE, margin=0.1, relative=True, binary=False)


def test_a_verdict_is_kept_as_long_as_its_answer_and_no_longer() -> None:
    """An answer holds all windows of the trial, and with live traffic there is another several times a second."""
    answer = Reading("asked", NOW, windows=Statistics(outcome="return", at=NOW, etag="1", versions=[]))
    asked = Judgement(RETURN, "b", "a", split(0.01, 1), grace=timedelta(minutes=1), since=None)
    assert judged(asked, answer) is judged(asked, answer)
    gone = weakref.ref(answer)
    del answer
    gc.collect()
    assert gone() is None
