"""Where the steps of a rollout come from when `spec.steps` does not list them, and whether they can be carried out."""

from pydantic import ValidationError

from belay_api.content import content_hash
from belay_api.reasons import RolloutReason
from belay_api.rollout.spec import RLRolloutSpec
from belay_api.rollout.status import ProgressionStatus, RLRolloutStatus
from belay_api.rollout.steps import Step
from belay_operator.engine.kind import Reader
from belay_operator.rollout.progression import Progression
from belay_operator.rollout.specification import steps_fault
from belay_operator.rollout.wait import Wait

KIND_NAME = "RLProgression"


def declared(spec: RLRolloutSpec, namespace: str, reader: Reader) -> Progression | None:
    """Return what the spec asks for now; None: it lists its steps itself."""
    if spec.progression is not None:
        return _named(spec, spec.progression.name, namespace, reader)
    if spec.recipe is None:
        return None
    told = ProgressionStatus(
        source=f"recipe {spec.recipe.kind}",
        asked=content_hash({"recipe": spec.recipe.said()}),
        steps=[step.dump() for step in spec.recipe.steps()],
    )
    return _read(spec, told)


def kept(spec: RLRolloutSpec, status: RLRolloutStatus) -> Progression | None:
    """Return what is recorded; None: nothing is."""
    return None if status.progression is None else _read(spec, status.progression)


def _named(spec: RLRolloutSpec, name: str, namespace: str, reader: Reader) -> Progression:
    asked, body = content_hash({"progression": name}), reader.get(KIND_NAME, namespace, name)
    if body is None:
        words = f"spec.progression: there is no {KIND_NAME} {name} in this namespace"
        if not reader.serves(KIND_NAME):
            words = f"spec.progression: this cluster does not know {KIND_NAME}; install the CRDs of this Belay"
        return Progression(asked, fault=Wait(RolloutReason.PROGRESSION_NOT_FOUND, words))
    source, steps = f"{KIND_NAME} {name}", (body.get("spec") or {}).get("steps")
    if not steps:  # which would be all traffic at once
        return Progression(asked, fault=_unfit(f"{source}: spec.steps cannot be read"))
    told = ProgressionStatus(source=source, asked=asked, generation=body["metadata"].get("generation"), steps=steps)
    return _read(spec, told)


def _read(spec: RLRolloutSpec, told: ProgressionStatus) -> Progression:
    """The steps, and what of them cannot be carried out: together with the rest of the spec, or at all."""
    try:
        steps = tuple(Step.model_validate(step) for step in told.steps)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        return Progression(told.asked, recorded=told, fault=_unfit(f"{told.source}: {where}: {first['msg']}"))
    found = steps_fault(spec, steps)
    return Progression(told.asked, steps, told, None if found is None else _unfit(f"{told.source}: {found}"))


def _unfit(words: str) -> Wait:
    return Wait(RolloutReason.INVALID_SPEC, words, stalled=True)
