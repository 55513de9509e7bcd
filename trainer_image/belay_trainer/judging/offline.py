"""Judge an RLPolicy by logged episodes, and keep the report."""

from dataclasses import asdict
from pathlib import Path

from belay_api.judging import Between, OfflineEvaluationSpec, OfflineResult
from belay_trainer import threads
from belay_trainer.judging.pod import JudgingPod
from belay_trainer.ope.evaluate import EvaluationRequest, evaluate
from belay_trainer.ope.judge import Interval
from belay_trainer.ope.plot import draw
from belay_trainer.ope.report import document
from belay_trainer.reporting.document import as_json, markdown, page

PICTURE = "report.png"
LONGEST = 512  # characters of a reason


def evaluate_offline(pod: JudgingPod, asked: OfflineEvaluationSpec) -> OfflineResult:
    """Return what the log says. Raises: TrainerError."""
    threads.take(asked.runtime)
    artifact = pod.artifact()
    judgement, subject = evaluate(
        EvaluationRequest(
            artifact=artifact,
            dataset=Path(asked.dataset.path),
            name=f"RLPolicy {pod.config.policy}",
            greedy=asked.actions == "greedy",
            estimators=() if asked.estimator is None else (asked.estimator.value,),
            discount=asked.discount,
            confidence=asked.confidence,
            seed=asked.seed,
            least_effective=asked.min_effective_samples,
            max_regression=asked.max_regression,
        )
    )
    picture = pod.work_dir / PICTURE
    drawn = {PICTURE: picture.read_bytes()} if draw(judgement, picture) else {}
    told, plain = (document(judgement, subject, picture=name) for name in (PICTURE if drawn else None, None))
    reports = pod.keep(
        {
            "html": lambda: page(told, drawn).encode(),
            "json": lambda: as_json(plain),
            "markdown": lambda: markdown(plain).encode(),
        }
    )
    headline = judgement.headline
    return OfflineResult(
        digest=artifact.digest,
        question=pod.config.question,
        reports=reports,
        judged=headline is not None,
        reason=None if judgement.reason is None else judgement.reason[:LONGEST],
        estimator=None if headline is None else headline.estimator,
        return_=None if headline is None else _between(headline.found),
        logged=_between(judgement.logged),
        margin=_between(judgement.margin),
        verdict=judgement.verdict,
        effective_episodes=None if headline is None else headline.effective,
        episodes=judgement.episodes,
        dataset=subject.dataset_digest,
    )


def _between(found: Interval | None) -> Between | None:
    return None if found is None else Between(**asdict(found))
