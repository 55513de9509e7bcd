"""Run the gates of an RLPolicy, and keep the report."""

import logging

from belay_api.gates import Gate
from belay_api.judging import GatesSpec, ValidationResult
from belay_trainer import threads
from belay_trainer.errors import BadConfiguration
from belay_trainer.judging.pod import JudgingPod
from belay_trainer.reporting.document import as_json, markdown
from belay_trainer.served import Artifact
from belay_trainer.trained_for import config_of, task_of
from belay_trainer.validation.against import Compared, compare
from belay_trainer.validation.gates import outcome, run_gates
from belay_trainer.validation.report import Validated, document, sentence, whole_page
from belay_trainer.validation.subject import Subject

log = logging.getLogger(__name__)


def validate(pod: JudgingPod, asked: GatesSpec) -> ValidationResult:
    """Return what came of the gates. Raises: TrainerError; Stopped."""
    threads.take(asked.runtime)
    artifact, against = pod.artifact(), pod.config.against
    task = asked.environment or task_of(artifact, id=None, kwargs=None)
    gates, other = _gates(pod, asked, artifact), pod.other()
    log.info("RLPolicy %s runs %d gates in %s", pod.config.policy, len(gates), task.id)
    compared: list[Compared] = []

    def beside(subject: Subject) -> None:
        if against is not None and other is not None:
            log.info("RLPolicy %s is compared with RLPolicy %s", pod.config.policy, against.policy)
            compared.append(compare(subject, other, against))

    results = run_gates(
        gates,
        artifact,
        task,
        stop=lambda: pod.stop.asked,
        tell=lambda one: log.info("%s: %s", one.name, one.verdict.value),
        copies=asked.vector.count,
        then=beside,
        beside=pod.baseline(),
    )
    validated = Validated(artifact, task, results, next(iter(compared), None))
    log.info("%s", sentence(validated))
    told = document(validated, pictured=False)
    reports = pod.keep(
        {
            "html": lambda: whole_page(validated),
            "json": lambda: as_json(told),
            "markdown": lambda: markdown(told).encode(),
        }
    )
    return ValidationResult(
        digest=artifact.digest,
        question=pod.config.question,
        reports=reports,
        verdict=validated.verdict,
        environment=task.id,
        gates=[outcome(one) for one in results],
        compared=validated.compared.result if validated.compared is not None else None,
    )


def _gates(pod: JudgingPod, asked: GatesSpec, artifact: Artifact) -> list[Gate]:
    """Return the gates to run: those asked for, else those that the policy was trained with.

    Raises: BadConfiguration when there are none and the policy is held to nothing else.
    """
    if asked.gates is not None:
        return asked.gates
    trained = config_of(artifact)
    found = [] if trained is None else trained.gates
    held = pod.config.against is not None and pod.config.against.max_regression is not None
    if not found and not held and not pod.config.spared:
        raise BadConfiguration(
            f"RLPolicy {pod.config.policy} was trained without gates, and neither the step nor spec.validation of the "
            "policy lists any: write gates there, such as gates: [{performance: {minReturn: 450}}], or hold the step "
            "to maxRegression."
        )
    return found
