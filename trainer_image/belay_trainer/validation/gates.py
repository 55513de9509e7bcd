"""All gates of a policy: are they such that can be measured, and what came of each."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from belay_api.environment import EnvironmentSpec
from belay_api.gates import LONGEST, Gate, GateOutcome, Validation, baseline
from belay_api.reasons import Verdict
from belay_api.spaces import BoxSpace, Space, space_model
from belay_trainer import environments
from belay_trainer.environments import Environment
from belay_trainer.errors import BadConfiguration, Diverged
from belay_trainer.randomness import untouched
from belay_trainer.served import Artifact
from belay_trainer.validation.check import Check, CheckResult
from belay_trainer.validation.checks import (
    constraints,
    dynamics,
    edge_cases,
    latency,
    performance,
    robustness,
    worst_case,
)
from belay_trainer.validation.measurement import Measurement, worst
from belay_trainer.validation.subject import Subject

CHECKS: dict[str, Check] = {
    "performance": performance,
    "constraints": constraints,
    "robustness": robustness,
    "worstCase": worst_case,
    "edgeCases": edge_cases,
    "dynamics": dynamics,
    "latency": latency,
}
"""By the kind of the gate, as a resource spells it; in the order of the checklist."""


@dataclass(frozen=True, slots=True)
class GateResult:
    """What came of one gate."""

    name: str  # its kind, with its place among several of that kind
    gate: Gate
    measured: CheckResult

    @property
    def title(self) -> str:
        """The kind for people."""
        return CHECKS[self.gate.kind].TITLE

    @property
    def verdict(self) -> Verdict:
        """Pass where every measurement passed, else the gravest."""
        return worst([one.verdict for one in self.measured.measurements])


def check_gates(gates: Sequence[Gate], environment: Environment, task: EnvironmentSpec) -> None:
    """Check that every gate can be measured, before anything is trained for it. Raises: BadConfiguration."""
    for name, gate in named(gates):
        try:
            CHECKS[gate.kind].fit(settings_of(gate), environment, task)
        except BadConfiguration as error:
            raise BadConfiguration(f"gates: {name}: {error}") from error


def check_baseline(gates: Sequence[Gate], beside: object | None) -> None:
    """Check that a policy which gates compare with is at hand. Raises: BadConfiguration."""
    if (name := baseline(gates)) is not None and beside is None:
        raise BadConfiguration(
            f"gates: performance: betterThan: RLPolicy {name} is not at hand here. On your machine name the folder of "
            "its artifact with --against; a step of a rollout compares with stable, by maxRegression, and needs gates "
            "of its own."
        )


def check_playable(gates: Sequence[Gate], beside: Artifact, environment: Environment) -> None:
    """Check that the policy which gates compare with can be played there. Raises: BadConfiguration."""
    try:
        check_spaces(beside, environment)
    except BadConfiguration as error:
        raise BadConfiguration(f"gates: performance: betterThan {baseline(gates)}: {error}") from error


def run_gates(
    gates: Sequence[Gate],
    artifact: Artifact,
    task: EnvironmentSpec,
    *,
    stop: Callable[[], bool] = lambda: False,
    tell: Callable[[GateResult], None] = lambda _: None,
    copies: int | None = None,
    then: Callable[[Subject], None] = lambda _: None,
    beside: Artifact | None = None,
) -> list[GateResult]:
    """Return what came of every gate: all are run, whatever comes of the first.

    Args:
        stop: Asked before every timestep.
        tell: Hears of each as it ends.
        copies: Of the environment, played side by side; None: the usual number. At most twice as many exist at once.
        then: Gets the policy after the last gate, with the episodes that were played of it.
        beside: The artifact of the RLPolicy that gates compare with; None: they compare with none.
    Raises: BadConfiguration, Stopped.
    """
    costs = list(dict.fromkeys(costs_of(gates).values()))
    check_baseline(gates, beside)
    subject = Subject(artifact, task, stop=stop, costs=costs, copies=copies, baseline=beside)
    results = []
    try:
        environments.check_wrappers(subject.environment)
        with untouched():
            environments.try_out(subject.environment)
        check_spaces(artifact, subject.environment)
        if beside is not None:
            check_playable(gates, beside, subject.environment)
        check_gates(gates, subject.environment, task)
        for name, gate in named(gates):
            results.append(GateResult(name, gate, _measured(gate, subject)))
            subject.end_gate()
            tell(results[-1])
        then(subject)
    finally:
        subject.close()
    return results


def summary(results: Sequence[GateResult]) -> Validation:
    """Return what came of all gates, as a report and a status tell it."""
    failed = next((one for one in results if one.verdict is not Verdict.PASS), None)
    return Validation(passed=failed is None, gates=len(results), failure=None if failed is None else outcome(failed))


def outcome(result: GateResult) -> GateOutcome:
    """Return what came of one gate, by its gravest measurement."""
    gravest = next(one for one in result.measured.measurements if one.verdict is result.verdict)
    message = gravest.message
    return GateOutcome(
        gate=result.name,
        verdict=gravest.verdict,
        measured=gravest.value,
        limit=gravest.limit,
        message=message if len(message) <= LONGEST else message[: LONGEST - 1] + "…",
    )


def named(gates: Sequence[Gate]) -> list[tuple[str, Gate]]:
    """Return the gates with their names: the kind, and the place among several of one kind."""
    kinds, seen = Counter(gate.kind for gate in gates), Counter[str]()
    found = []
    for gate in gates:
        kind = gate.kind
        found.append((f"{kind}[{seen[kind]}]" if kinds[kind] > 1 else kind, gate))
        seen[kind] += 1
    return found


def costs_of(gates: Sequence[Gate]) -> dict[str, str]:
    """Return the keys of `info` that gates count, by the field that names each."""
    return {
        f"gates: {name}: costs[{place}]": key
        for name, gate in named(gates)
        if gate.constraints is not None
        for place, key in enumerate(gate.constraints.costs)
    }


def settings_of(gate: Gate) -> Any:
    """Return what was asked of a gate."""
    return next(value for _, value in gate if value is not None)


def check_spaces(artifact: Artifact, environment: Environment) -> None:
    """Check that the policy can be played there. Raises: BadConfiguration."""
    environments.check_spaces(environment)
    wanted = (artifact.manifest.observation, artifact.manifest.action)
    found = (space_model(environment.observation_space), space_model(environment.action_space))
    if [_size(one) for one in found] != [_size(one) for one in wanted]:
        raise BadConfiguration(
            f"environment: its observations are {found[0]} and its actions {found[1]}, the policy is for {wanted[0]} "
            f"and {wanted[1]}."
        )


def _size(space: Space) -> tuple[object, ...]:
    """What must be equal: bounds of a later version of a task may differ."""
    return (tuple(space.shape), space.dtype) if isinstance(space, BoxSpace) else (str(space),)


def _measured(gate: Gate, subject: Subject) -> CheckResult:
    try:
        return CHECKS[gate.kind].measure(settings_of(gate), subject)
    except Diverged as error:
        return CheckResult((Measurement(gate.kind, Verdict.FAIL, f"{gate.kind}: {error}"),))
