"""The steps by which a candidate takes over: one file each, and a field here."""

from typing import Annotated

from pydantic import Field

from belay_api.model import Model, alternatives, chosen, exactly_one
from belay_api.rollout.steps.analyze import AnalyzeStep
from belay_api.rollout.steps.approve import ApproveStep
from belay_api.rollout.steps.evaluate_offline import EvaluateOfflineStep
from belay_api.rollout.steps.match import MatchStep
from belay_api.rollout.steps.pause import PauseStep
from belay_api.rollout.steps.shadow import ShadowStep
from belay_api.rollout.steps.together import TogetherStep
from belay_api.rollout.steps.validate import ValidateStep


@exactly_one("a step", "make one list entry of each")
class Step(Model):
    """One entry of a rollout; exactly one of its fields is set, and that field is its kind."""

    validate_: ValidateStep | None = Field(default=None, alias="validate")
    """Play the candidate, and stable beside it: a Job."""
    evaluate_offline: EvaluateOfflineStep | None = None
    """Judge the candidate by logged episodes: a Job."""
    shadow: ShadowStep | None = None
    """Let the candidate decide about mirrored requests, beside stable, and answer nobody."""
    match: MatchStep | None = None
    """Give the candidate a share of the new episodes of requests with given headers, and of no others yet."""
    set_weight: Annotated[int, Field(ge=0, le=100)] | None = None
    """Percent of new episodes that go to the candidate; of users, where `gatewayAPI.assignment` says so."""
    pause: PauseStep | None = None
    """Wait, for a time or for the command `resume`."""
    approve: ApproveStep | None = None
    """Wait for a person: the command `approve`. Guard rails and Fail hold meanwhile."""
    together: TogetherStep | None = None
    """Wait until the candidates of other rollouts are as far. Guard rails and Fail hold meanwhile."""
    analyze: AnalyzeStep | None = None
    """Wait for the verdict; the guard rails and Fail hold at every step, this one also asks for Pass."""

    @property
    def kind(self) -> str:
        """The step's kind as status names it: the one field that is set."""
        return chosen(self)

    @classmethod
    def kinds(cls) -> list[str]:
        """Return every kind a spec can list."""
        return alternatives(cls)
