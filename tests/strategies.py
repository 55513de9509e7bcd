"""Hypothesis strategies that the property tests of all kinds share."""

from datetime import datetime, timedelta

from hypothesis import strategies as st
from tests.accepted import accepted_rollout_specs, rollout_specs
from tests.world import START

__all__ = ["accepted_rollout_specs", "crashes", "finite_returns", "instants", "later", "rollout_specs"]

crashes = st.one_of(st.none(), st.integers(0, 4))
"""After how many effects of a plan the operator dies; None: it carries all of them out."""

instants = st.integers(0, 24 * 3600).map(lambda seconds: START + timedelta(seconds=seconds))
"""Moments within a day of START, to the second."""

finite_returns = st.floats(-1e6, 1e6, allow_nan=False, allow_infinity=False)
"""Returns of an episode or a policy."""


def later(moment: datetime, seconds: float) -> datetime:
    """Return the moment so many seconds later."""
    return moment + timedelta(seconds=seconds)
