"""`shadow`: the candidate decides about mirrored requests, and answers nobody."""

from typing import Annotated

from pydantic import Field

from belay_api.gates import Confidence
from belay_api.model import Model, rule, rules
from belay_api.rollout.steps.undecided import UndecidedAction
from belay_api.units import Duration, Percent, duration_default

_LIMITS = ("maxDisagreement", "maxDistance")


class ShadowStep(Model):
    """Mirror requests that stable answers to the candidate, whose answers the gateway drops, and compare what the two
    decide. The gateway must make request ids (`x-request-id`) and know RequestMirror. It stands before the first weight
    above 0; a first version is spared it."""

    model_config = {
        "json_schema_extra": rules(
            rule(
                "!(has(self.maxDisagreement) && has(self.maxDistance))",
                "actions are choices or numbers: set maxDisagreement for choices, or maxDistance for numbers, not both",
            ),
            *(
                rule(
                    f"!has(self.{name}) || self.{name}.matches('[1-9]')",
                    f"shadow.{name} is 0, and nobody can show that: state the largest difference that you can bear, "
                    "e.g. 5%",
                )
                for name in _LIMITS
            ),
            *(
                rule(
                    f"!has(self.{name}) || double(self.{name}.replace('%', '')) < 100.0",
                    f"shadow.{name} is 100% or more, and no candidate could fail it: write e.g. 30%, or leave it out "
                    "to be shown the difference alone",
                )
                for name in _LIMITS
            ),
            rule(
                "!has(self.duration) || self.duration.matches('[1-9]')",
                "shadow.duration is nothing, and no request would be compared: write e.g. 10m",
            ),
        )
    }

    percent: Annotated[int, Field(ge=1, le=100)] = 100
    """Percent of the requests that are mirrored; the candidate's pods must bear them. Below 100 the cluster's Gateway
    API must be 1.3 or later."""
    duration: Duration = duration_default("10m")
    """How long at least, counted from when the gateway has accepted the mirror."""
    max_disagreement: Percent | None = None
    """Of a policy that chooses among actions: the largest share of decisions, in the mean over episodes, in which the
    candidate chooses otherwise than stable. Unset: the share is told, and held to nothing."""
    max_distance: Percent | None = None
    """Of a policy whose actions are numbers: the largest mean difference, as a share of the action's range, or of five
    standard deviations of stable's actions where an action has no range. Unset: it is told, and held to nothing."""
    confidence: Confidence = 0.95
    """Of the bounds by which either is kept or broken, however often it is looked; unset: 0.95."""
    min_pairs: Annotated[int, Field(ge=1, le=20_000)] = 100
    """Pairs of decisions without which there is NoData; unset: 100."""
    on_no_data: UndecidedAction = UndecidedAction.HOLD
    """What to do once `duration` is over and there are fewer pairs, or less than nine tenths of the mirrored requests
    were answered. `Hold` waits for them, and says what is missing."""
    on_not_enough_samples: UndecidedAction = UndecidedAction.HOLD
    """What to do once `duration` is over and the pairs do not tell whether the limit is kept. `Hold` waits for more."""
