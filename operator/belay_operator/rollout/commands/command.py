"""What a command is: a function of what is observed, which answers with a move or with why there is none."""

from collections.abc import Callable
from datetime import datetime

from belay_operator.rollout.move import Move
from belay_operator.rollout.observed import Command, Observed

Refusal = str
"""Why a command cannot be carried out, and what to do instead."""

Action = Callable[[Command, Observed, datetime], Move | Refusal]
