"""What is known of the arms of an experiment: each is judged as a candidate is, and shown to be better or not.

An arm takes the candidate's place in a rollout that is otherwise the same, with its part of the stated errors. So its
verdicts are those that a candidate with these episodes would have. Fail and Pass say whether it is worse. That it is
**better** is the same bet with the sides exchanged: stable is worse than the arm. Its error is divided by the number of
arms (Bonferroni) and spent over all looks together, and a digest that is tried again has less of it. An arm that passes
nothing wins nothing, however much better its mean is: of one that falls silent in its worst episodes only the good ones
are seen, and what is missing is part of Pass. An arm is not better while stable is shown to miss more of its episodes:
Pass bears a difference that a margin could hide behind, and better is by anything at all. Nor is there a Pass while the
starts of any arm are not in the share that it has (`situations/sample_ratio_off`).

Not held against the anchor: the winner is, once it is the candidate.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from belay_api.reasons import EventReason, Verdict
from belay_api.rollout.analysis import AnchorUse
from belay_api.rollout.experiment import ArmOutcome, ArmStatus, ExperimentSpec, ExperimentStatus, ShareChange
from belay_api.rollout.margin import Margin
from belay_api.rollout.status import RLRolloutStatus, VersionStatus, WeightStatus
from belay_operator.rollout import arms, verdicts
from belay_operator.rollout.analysis.budget import Budget, share_of_trial
from belay_operator.rollout.analysis.queries import Criterion, judged
from belay_operator.rollout.analysis.starts import StartSides, WeightChange
from belay_operator.rollout.facts import Reading
from belay_operator.rollout.move import Move, changed, instant, note
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.trials import trial_of

SELECTED = Margin(0.03, relative=False)  # of stable's episodes: so many of its best, and an equal arm looks 2 % better
SUSPICION = 0.2  # how often an arm is held up, at any look, where stable does not miss more: it takes nothing from it


def as_candidate(status: RLRolloutStatus, experiment: ExperimentStatus, arm: ArmStatus) -> RLRolloutStatus:
    """Return the status of the rollout in which this arm is the candidate, and nothing else is on trial."""
    began = experiment.started_at
    return changed(
        status,
        candidate=VersionStatus(policy=arm.policy, digest=arm.digest, since=experiment.begun_at),
        weight=WeightStatus(desired=arm.weight, applied=arm.weight, since=began),
        analysis_started_at=began,
        weight_changes=[change.at for change in experiment.changes],
        verdicts=arm.verdicts,
    )


def look(arm: ArmStatus, asked: ExperimentSpec | None, observed: Observed, now: datetime) -> ArmStatus:
    """Return the arm with this pass's verdicts, and whether it is shown to be better.

    Args:
        asked: None: the spec cannot be read, so nothing is better.
    Raises: ValueError where the experiment has not started.
    """
    experiment = observed.status.experiment
    if experiment is None or experiment.started_at is None:
        raise ValueError("an experiment that has not started has nothing to look at")
    read_for = observed.recorded.experiment
    if read_for is None or read_for.started_at != experiment.started_at:
        return arm  # the comparison has just begun, and what was read is of one before
    of, readings = len(experiment.arms), observed.arms.get(arm.policy, {})
    analysis = observed.spec.analysis
    # The anchor is held against the winner, once that is the candidate.
    own = analysis.model_copy(
        update={"false_rollback_rate": analysis.false_rollback_rate / of, "anchor": AnchorUse.APPROVE}
    )
    view = replace(
        observed,
        spec=observed.spec.model_copy(update={"analysis": own}),
        status=as_candidate(observed.status, experiment, arm),
        readings=readings,
    )
    found = verdicts.looks(view, analysis.metrics, now)
    metric = next((one for one in analysis.metrics if asked is not None and one.name == asked.metric), None)
    reading = readings.get(metric.name) if metric is not None else None
    if asked is None or metric is None or reading is None:
        return arm.model_copy(update={"verdicts": list(found)})
    better = is_better(verdicts.judgement_of(metric, view), reading, asked, arms=of, trial=trial_of(view.status))
    return arm.model_copy(update={"verdicts": list(found), "better": better or None})


def starts_of(experiment: ExperimentStatus, arm: ArmStatus) -> StartSides:
    """Return whose starts tell whether an arm gets its share: its own beside stable's."""
    weights = {one.policy: one.weight for one in experiment.arms}

    def share(change: ShareChange) -> float | None:
        if arm.policy not in change.arms:
            return None
        rest = 100 - sum(weights[name] for name in change.arms)
        return arm.weight / (arm.weight + rest)

    return StartSides(
        arm.policy,
        experiment.stable,
        tuple(WeightChange(change.at, change.asked_at, share(change)) for change in experiment.changes),
    )


def is_better(asked: Criterion | None, reading: Reading, experiment: ExperimentSpec, *, arms: int, trial: int) -> bool:
    """Return whether stable is shown to be worse than the arm, and not to miss more of its episodes.

    Args:
        asked: What is asked of the arm in the candidate's place; None: the metric compares nothing.
        arms: Among how many the error is divided.
        trial: The how manieth test of the arm this is, from 1 on.
    """
    if asked is None:
        return False
    error = share_of_trial(trial) * experiment.error_rate / arms
    exchanged = replace(
        asked,
        candidate=asked.stable,
        stable=asked.candidate,
        comparison=replace(asked.comparison, max_regret=None),
        spend=Budget(outcome=error, missing=None, wrong_promotion=asked.spend.wrong_promotion),
    )
    if judged(exchanged, reading).verdict is not Verdict.FAIL:
        return False
    # Where more of stable's episodes are missing, the best of them may be, and the arm only looks better.
    silent = replace(
        exchanged,
        comparison=replace(exchanged.comparison, missing_margin=SELECTED),
        spend=replace(exchanged.spend, outcome=None, missing=SUSPICION),
    )
    return judged(silent, reading).verdict is not Verdict.FAIL


def failure(arm: ArmStatus, observed: Observed) -> str | None:
    """Return what the arm fails by, as a sentence; None: nothing that decides."""
    deciding = {metric.name for metric in observed.spec.analysis.deciding}
    failed = (v for v in arm.verdicts if v.verdict is Verdict.FAIL and v.metric in deciding)
    return next((f"{verdict.metric}: {verdict.message}" for verdict in failed), None)


def winner(found: Sequence[ArmStatus], asked: ExperimentSpec, observed: Observed) -> ArmStatus | None:
    """Return the arm that wins by the last look; None: none is shown to be better."""
    able = [arm for arm in found if arm.outcome is None and arm.better and _passes(arm, observed)]
    metrics = {metric.name: metric for metric in observed.spec.analysis.metrics}
    compare = metrics[asked.metric].compare if asked.metric in metrics else None
    less = compare is not None and compare.max_increase is not None
    return max(able, key=lambda arm: (_gain(arm, asked.metric, less=less), arm.policy), default=None)


def over(observed: Observed, now: datetime, message: str, *, won: str | None = None) -> Move:
    """Return the end of the experiment under way; its result stays, and its arms leave (see `experiment_over`).

    Raises: ValueError where none is under way.
    """
    status, experiment = observed.status, arms.running(observed.status)
    if experiment is None:
        raise ValueError("no experiment is under way")
    ended = experiment.model_copy(
        update={
            "arms": [_ended(arm, won) for arm in experiment.arms],
            "decided_at": instant(now),
            "winner": won,
            "message": message,
        }
    )
    return Move(changed(status, experiment=ended), (note(EventReason.EXPERIMENT_ENDED, message),))


def _ended(arm: ArmStatus, won: str | None) -> ArmStatus:
    if arm.outcome is not None:
        return arm
    if arm.policy == won:
        outcome, words = ArmOutcome.WINNER, "better than stable, and not worse by any other metric"
    elif won is not None and arm.better:
        outcome, words = ArmOutcome.BETTER, f"better than stable, and {won} has won"
    else:
        outcome, words = ArmOutcome.UNDECIDED, "not shown to be better than stable"
    return arm.model_copy(update={"outcome": outcome, "message": words})


def _passes(arm: ArmStatus, observed: Observed) -> bool:
    """Whether every metric that decides has passed."""
    passed = {verdict.metric for verdict in arm.verdicts if verdict.verdict is Verdict.PASS}
    return all(metric.name in passed for metric in observed.spec.analysis.metrics if not metric.dry_run)


def _gain(arm: ArmStatus, metric: str, *, less: bool) -> float:
    """How much better its mean is; less: less is better."""
    difference = next((verdict.difference for verdict in arm.verdicts if verdict.metric == metric), None)
    return -math.inf if difference is None else -difference if less else difference
