"""The spec as far as it can be carried out.

The API server lets specs pass that this operator cannot carry out: a duration of 300 years, a field of a newer CRD, an
analysis that contradicts itself. What keeps traffic safe (the route, a rollback, commands, judging) must not depend on
such a part. So whatever is at fault is left out, as little as possible, and told. The steps and new candidates wait
until the spec is mended; everything else goes on.
"""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from pydantic import ValidationError

from belay_api.model import Model
from belay_api.rollout.analysis import AnalysisSpec
from belay_api.rollout.spec import PolicyRef, RLRolloutSpec
from belay_api.rollout.steps import Step
from belay_operator.rollout import anchor
from belay_operator.rollout.analysis.queries import comparison_of, grace_of, limit_of
from belay_operator.rollout.windows import zone_of

Path = tuple[str | int, ...]
Fault = tuple[Path, str]
"""A field, and what is wrong with it."""

_WHOLE = ("steps", "recipe", "progression")
"""Left out as a whole: a list of steps that lacks one has another meaning."""

Spec = TypeVar("Spec", bound=Model)


@dataclass(frozen=True, slots=True)
class Specification:
    """What can be carried out of a spec."""

    spec: RLRolloutSpec
    unfit: str | None  # every fault, with its field; None: there is none


def read(raw: Mapping[str, Any], *, serving: str | None) -> Specification:
    """Return the spec without the parts at fault.

    Args:
        raw: `spec` as the API server has it.
        serving: The policy to go on with where the spec's own cannot be read; None: there is none.
    Raises: ValueError where what is left says nothing of traffic or of a policy.
    """
    faults: list[str] = []
    if serving is not None and not _is_valid(PolicyRef, raw.get("policy")):
        faults.append(f"spec.policy cannot be read: {raw.get('policy')!r:.80}")
        raw = {**raw, "policy": {"name": serving}}
    spec, found = _without_faults(RLRolloutSpec, raw, _contradictions)
    faults += [f"spec.{_dotted(path)}: {words}" for path, words in found]
    return Specification(spec, "; ".join(faults) or None)


def analysis(raw: Mapping[str, Any]) -> AnalysisSpec:
    """Return `spec.analysis` without the parts at fault: what pollers ask is what decisions judge by."""
    return _without_faults(AnalysisSpec, raw, _analysis_contradictions)[0]


def steps_fault(spec: RLRolloutSpec, steps: Sequence[Step]) -> str | None:
    """Return why steps from elsewhere cannot be carried out with the rest of the spec; None: they can."""
    blind = not spec.analysis.deciding
    for index, step in enumerate(steps):
        if step.analyze is not None and blind:
            return f"steps[{index}]: analyze needs something to judge by: add analysis.metrics without dryRun"
    found = next(_steps_contradictions(spec.model_copy(update={"steps": list(steps)})), None)
    return None if found is None else f"{_dotted(found[0])}: {found[1]}"


def _without_faults(
    model: type[Spec], raw: Mapping[str, Any], contradictions: Callable[[Spec], Iterable[Fault]]
) -> tuple[Spec, list[Fault]]:
    left: dict[str, Any] = copy.deepcopy(dict(raw))
    faults: list[Fault] = []
    while True:
        try:
            spec = model.model_validate(left)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            fault: Fault = (tuple(first["loc"]), first["msg"])
        else:
            found = next(iter(contradictions(spec)), None)
            if found is None:
                return spec, faults
            fault = found
        faults.append(fault)
        if not _cut(left, fault[0]):
            raise ValueError("; ".join(f"spec.{_dotted(path)}: {words}" for path, words in faults))


def _cut(raw: dict[str, Any], path: Path) -> bool:
    """Remove the least that holds the fault: an entry of a list, all steps, else one field. False: nothing is left."""
    holder: Any = raw
    cut: tuple[Any, str | int] | None = None
    for part in path:
        if isinstance(holder, dict) and part in holder:
            cut = (holder, part)
            if part in _WHOLE:
                break
        elif isinstance(holder, list) and isinstance(part, int) and part < len(holder):
            cut = (holder, part)
            break
        else:
            break
        holder = holder[part]
    if cut is None:
        return False
    del cut[0][cut[1]]
    return True


def _contradictions(spec: RLRolloutSpec) -> Iterator[Fault]:
    """Yield what the schema cannot say."""
    for path, words in _analysis_contradictions(spec.analysis):
        yield ("analysis", *path), words
    yield from _windows_contradictions(spec)
    if spec.traffic.by_user:
        yield from _users_contradictions(spec)
    if spec.recipe is None and spec.progression is None:  # see `progression_source`
        yield from _steps_contradictions(spec)


def _steps_contradictions(spec: RLRolloutSpec) -> Iterator[Fault]:
    weight, segment = 0, False
    everybody_met, somebody_met = False, False
    compared = any(metric.compare is not None for metric in spec.analysis.deciding)
    if anchor.is_served(spec) and not (compared and any(step.analyze for step in spec.steps)):
        yield (
            ("analysis", "anchor"),
            "Serve needs an analyze step and a metric with compare and without dryRun, or nothing would be held "
            "against the anchor; add them, or use Approve",
        )
    for index, step in enumerate(spec.steps):
        if spec.traffic.replicas is not None and (step.match is not None or step.shadow is not None):
            yield (
                ("steps", index),
                f"{step.kind} needs a gateway, and traffic.replicas has none: a Service neither reads headers nor "
                "mirrors. Write setWeight, or validate and evaluateOffline before it",
            )
        if spec.traffic.by_user and step.match is not None:
            yield (
                ("steps", index),
                "match gives some requests a share of their own, which traffic.gatewayAPI.assignment: User cannot. "
                "Write setWeight",
            )
        if step.match is not None:
            yield from _match_contradictions(spec, index, late=everybody_met)
        if step.match is not None or step.set_weight is not None:
            weight = step.match.weight if step.match is not None else step.set_weight or 0
            segment = step.match is not None
        somebody_met = somebody_met or weight > 0
        everybody_met = everybody_met or (weight > 0 and not segment)
        if step.shadow is not None and somebody_met:
            yield (
                ("steps", index),
                f"shadow comes after a {'setWeight above 0' if everybody_met else 'match'}, when episodes of the "
                "candidate may be under way that are answered by it; put it before the first",
            )
        if step.analyze is None or 0 < weight < 100:
            continue
        if weight == 0:
            yield (
                ("steps", index),
                "analyze while the candidate has no weight would wait for ever; put a setWeight above 0 before it",
            )
        elif compared and segment:
            yield (
                ("steps", index),
                "analyze while the candidate has all traffic of the matched would wait for ever: stable has no new "
                "episodes of theirs to compare with. Write match.weight, e.g. 50",
            )
        elif compared:
            yield (
                ("steps", index),
                "analyze while the candidate has all traffic would wait for ever: stable has no new episodes to "
                "compare with. Put it before setWeight 100; after the last step, the bake watches the limits",
            )


def _match_contradictions(spec: RLRolloutSpec, index: int, *, late: bool) -> Iterator[Fault]:
    """Yield what a step `match` cannot stand beside."""
    if late:
        yield (
            ("steps", index),
            "match comes after a setWeight above 0, when all meet the candidate already; put it before the first",
        )
    for metric in spec.analysis.metrics:
        if metric.needs_stable and metric.source.logbook is None:
            yield (
                ("steps", index),
                f"match gives the candidate other users than stable, and the metric {metric.name} compares the two by "
                "series that do not tell users apart: it would compare the users. Take the match out, or give the "
                "metric a limit and a query of the candidate alone",
            )


def _users_contradictions(spec: RLRolloutSpec) -> Iterator[Fault]:
    for index, metric in enumerate(spec.analysis.metrics):
        if metric.needs_stable and metric.source.logbook is None:
            yield (
                ("analysis", "metrics", index),
                f"{metric.name} compares two versions by series that are of the same users at each look, because "
                "traffic.gatewayAPI.assignment is User: it would compare the users. Report the outcome to the logbook, "
                "or give the metric a limit and a query of the candidate alone",
            )


def _windows_contradictions(spec: RLRolloutSpec) -> Iterator[Fault]:
    for index, window in enumerate(spec.windows):
        try:
            zone_of(window)
        except ValueError as error:
            yield ("windows", index), f"timeZone: {error}"


def _analysis_contradictions(analysis: AnalysisSpec) -> Iterator[Fault]:
    if analysis.window.total_seconds() < 1:
        yield ("window",), "is below 1s; episodes are grouped by it, use at least 1s"
    names: set[str] = set()
    graces: dict[str, timedelta] = {}
    for index, metric in enumerate(analysis.metrics):
        path = ("metrics", index)
        if metric.name in names:
            yield path, f"the name {metric.name} appears twice; give each metric a name of its own"
        names.add(metric.name)
        logbook, grace = metric.source.logbook, grace_of(metric, analysis)
        if logbook is not None and graces.setdefault(logbook.outcome, grace) != grace:
            yield path, f"another metric of the outcome {logbook.outcome} has another grace; give all of them the same"
        try:
            comparison_of(metric)
            limit_of(metric)
            if metric.source.prometheus is not None:
                metric.source.prometheus.check()
        except ValueError as error:
            yield path, str(error)


def _is_valid(model: type[Model], raw: Any) -> bool:
    try:
        model.model_validate(raw)
    except ValidationError:
        return False
    return True


def _dotted(path: Path) -> str:
    """`steps[0].pause.duration`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
