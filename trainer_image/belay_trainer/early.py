"""When a seed ends before its budget does: it is good enough, gets no better, or will come to nothing."""

from belay_api.training import EvaluationSpec


def enough(spec: EvaluationSpec, *, step: int, mean: float | None, without_gain: int) -> str | None:
    """Return why the seed need not train on; None: it should.

    Args:
        step: Timestep of the newest evaluation.
        mean: Its mean return; None: nobody played.
        without_gain: Evaluations in a row, this one included, that were no better than the best before them.
    """
    if spec.target is not None and mean is not None and mean >= spec.target:
        return f"ended at timestep {step}: its evaluation returned {mean:g}, and evaluation.target is {spec.target:g}."
    if spec.patience is not None and without_gain >= spec.patience:
        return (
            f"ended at timestep {step}: {without_gain} evaluations in a row were no better than the best "
            "before, as many as evaluation.patience allows."
        )
    return None


def hopeless(spec: EvaluationSpec, *, step: int, best: float | None) -> str | None:
    """Return why the seed is given up; None: it is not.

    Args:
        step: Timestep of the newest evaluation.
        best: Mean return of the best one so far; None: nobody played.
    """
    limit = spec.stop_loss
    if limit is None or best is None or step < limit.after or best >= limit.return_:
        return None
    return (
        f"given up at timestep {step}: its best evaluation returned {best:g}, and evaluation.stopLoss wants "
        f"{limit.return_:g} from timestep {limit.after} on."
    )
