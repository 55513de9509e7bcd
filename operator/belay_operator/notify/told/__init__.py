"""What each kind tells: one file a kind, pure, from its status as the API server has it."""

from belay_operator.notify.told import policy, rollout, training
from belay_operator.notify.told.telling import Telling

TELLING: dict[str, Telling] = {one.kind: one for one in (rollout.TELLING, training.TELLING, policy.TELLING)}
"""By kind."""
REASONS = tuple(sorted({reason for one in TELLING.values() for reason in one.reasons}))
"""Everything that can be told."""
