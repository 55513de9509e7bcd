"""How long does the exported network take for one observation, on one core, as serving pods load it?

The network and its head alone: a server adds its own time. Timings are of this machine while it was measured, and two
validations of one policy differ in them.
"""

import time
from collections.abc import Callable
from datetime import timedelta

import numpy as np

from belay_api.environment import EnvironmentSpec
from belay_api.gates import LatencyGate
from belay_api.reasons import Verdict
from belay_trainer.environments import Environment
from belay_trainer.evaluate import Stopped
from belay_trainer.validation.bounds import Floats, quantile_bounds
from belay_trainer.validation.check import CheckResult
from belay_trainer.validation.measurement import Measurement
from belay_trainer.validation.subject import Subject

TITLE = "Latency"
CALLS = 2_000
WARM_UP = 100  # calls; the first ones allocate
FEWEST = 700  # calls after which time may end it: of fewer, p99 has no upper bound at the highest confidence there is
LONGEST_S = 20.0  # a network too slow for CALLS is asked as often as it answers by then, and FEWEST times at least, or
MOST_S = 300.0  # until then
MS = 1000.0


def fit(settings: LatencyGate, environment: Environment, task: EnvironmentSpec) -> None:
    """See `Check`: every network can be asked."""


def measure(settings: LatencyGate, subject: Subject) -> CheckResult:
    """See `Check`."""
    observation = subject.observation
    seconds = time_calls(lambda: subject.policy.predict(observation), stop=subject.stop)
    limits = (("p50", 0.5, settings.p50), ("p99", 0.99, settings.p99))
    found = [
        judge(name, seconds, share=share, limit=limit, confidence=settings.confidence)
        for name, share, limit in limits
        if limit is not None
    ]
    note = (
        f"{len(seconds)} calls with one observation, {subject.policy.file} on one thread: p50 "
        f"{np.quantile(seconds, 0.5) * MS:.3g} ms, p99 {np.quantile(seconds, 0.99) * MS:.3g} ms, slowest "
        f"{seconds.max() * MS:.3g} ms."
    )
    return CheckResult(tuple(found), (note,))


def time_calls(call: Callable[[], object], *, stop: Callable[[], bool], calls: int = CALLS) -> Floats:
    """Return the seconds that each call took, without the first ones. Raises: Stopped."""
    taken: list[float] = []
    began = time.monotonic()
    for number in range(WARM_UP + calls):
        if stop():
            raise Stopped
        start = time.perf_counter()
        call()
        if number >= WARM_UP:
            taken.append(time.perf_counter() - start)
        spent = time.monotonic() - began
        if taken and (spent > MOST_S or (spent > LONGEST_S and len(taken) >= FEWEST)):
            break
    return np.array(taken)


def judge(name: str, seconds: Floats, *, share: float, limit: timedelta, confidence: float) -> Measurement:
    """Hold a quantile to its limit.

    Args:
        seconds: Of each call.
        share: Of calls that are to take no longer.
    """
    low, high = (bound * MS for bound in quantile_bounds(seconds, share=share, alpha=1 - confidence))
    most, value = limit.total_seconds() * MS, float(np.quantile(seconds, share)) * MS
    verdict = Verdict.PASS if high <= most else Verdict.FAIL if low > most else Verdict.NOT_ENOUGH_SAMPLES
    sure, kept = f"with {100 * confidence:g} % confidence", f"{name} {most:g} ms"
    why = "it is too near" if np.isfinite(high) else "so few calls have no upper bound, and there was no time for more"
    words = {
        Verdict.PASS: f"at most {high:.3g} ms {sure}: {kept} is kept.",
        Verdict.FAIL: f"at least {low:.3g} ms {sure}: {kept} is not kept.",
        Verdict.NOT_ENOUGH_SAMPLES: f"which does not tell whether {kept} is kept: {why}.",
    }[verdict]
    return Measurement(
        f"latency {name}",
        verdict,
        f"latency {name}: {value:.3g} ms over {len(seconds)} calls, {words}",
        value=value,
        low=low if np.isfinite(low) else None,
        high=high if np.isfinite(high) else None,
        limit=most,
        unit="ms",
    )
