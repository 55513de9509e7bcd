"""Run the gates of an RLPolicy, and keep the report."""

import logging

from belay_api.judging import ValidationResult, ValidationSpec
from belay_trainer import threads
from belay_trainer.judging.pod import JudgingPod
from belay_trainer.reporting.document import as_json, markdown
from belay_trainer.trained_for import task_of
from belay_trainer.validation.gates import outcome, run_gates
from belay_trainer.validation.measurement import worst
from belay_trainer.validation.report import Validated, document, sentence, whole_page

log = logging.getLogger(__name__)


def validate(pod: JudgingPod, asked: ValidationSpec) -> ValidationResult:
    """Return what came of the gates. Raises: TrainerError; Stopped."""
    threads.take(asked.runtime)
    artifact = pod.artifact()
    task = asked.environment or task_of(artifact, id=None, kwargs=None)
    log.info("RLPolicy %s runs %d gates in %s", pod.config.policy, len(asked.gates), task.id)
    results = run_gates(
        asked.gates,
        artifact,
        task,
        stop=lambda: pod.stop.asked,
        tell=lambda one: log.info("%s: %s", one.name, one.verdict.value),
        copies=asked.vector.count,
    )
    validated = Validated(artifact, task, results)
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
        verdict=worst([one.verdict for one in results]),
        environment=task.id,
        gates=[outcome(one) for one in results],
    )
