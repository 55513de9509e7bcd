"""`spec.policy.winnerOf`: which policy shall serve, as far as the experiment has got.

What is recorded of an experiment belongs to its definition. Once it has a winner, that stays the answer for as long as
the spec asks the same, whatever became of the winner since: a rollback of it is told as one.
"""

from collections.abc import Mapping

from belay_api.content import content_hash
from belay_api.rollout.experiment import ExperimentSpec, ExperimentStatus, OnWinner
from belay_api.rollout.status import RLRolloutStatus
from belay_operator.rollout.policy_view import PolicyView


def definition_of(asked: ExperimentSpec) -> str:
    """Return what tells this experiment from another."""
    arms = sorted((arm.policy, arm.weight) for arm in asked.arms)
    return content_hash([arms, asked.metric, asked.error_rate])


def recorded(asked: ExperimentSpec | None, status: RLRolloutStatus) -> ExperimentStatus | None:
    """Return what is on record of the very experiment that is asked for; None: nothing is."""
    found = status.experiment
    return found if found is not None and asked is not None and found.definition == definition_of(asked) else None


def choose(asked: ExperimentSpec, status: RLRolloutStatus, policies: Mapping[str, PolicyView]) -> str:
    """Return the name of the policy to serve: the winner, else stable; empty where there is neither.

    A policy made again under the winner's name with other bytes has won nothing.
    """
    stable = status.stable.policy if status.stable is not None else ""
    found = recorded(asked, status)
    if found is None or found.winner is None or asked.on_winner is OnWinner.HOLD:
        return stable
    won = next(arm for arm in found.arms if arm.policy == found.winner)
    view = policies.get(won.policy)
    return stable if view is not None and view.digest != won.digest else won.policy
