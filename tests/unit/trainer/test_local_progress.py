"""What is shown of a run: arithmetic, words, bars in a terminal, lines elsewhere, exit codes."""

import io
from datetime import timedelta

import pytest
from trainer_configs import make_config

from belay_api.training import TrainingReport
from belay_api.wire import RunEvaluation, RunProgress
from belay_trainer.local import seeds as local_seeds
from belay_trainer.local.display import Bars, Lines, display_for
from belay_trainer.local.progress import Phase, SeedState, clock, number, seed_state, time_left, words
from belay_trainer.local.seeds import exit_code, places

EVALUATION = RunEvaluation(step=2000, mean=187.25, std=20.0, episodes=20)


def _beat(step: int, *, rate: float | None = 500.0, evaluated: RunEvaluation | None = EVALUATION) -> RunProgress:
    return RunProgress(
        job="j",
        uid="local",
        index=0,
        seed=0,
        step=step,
        total=4000,
        best_return=201.0 if evaluated else None,
        steps_per_second=rate,
        evaluations=[evaluated] if evaluated else [],
    )


def _report(outcome: str, **rest: object) -> TrainingReport:
    return TrainingReport(outcome=outcome, index=0, seed=0, **rest)


DONE = _report("Succeeded", step=4096, return_=480.0, best_step=3072)

STATES: dict[str, tuple[dict[str, object], Phase, int, str]] = {
    "in the queue": ({"at_work": False, "heartbeat": None, "report": None}, Phase.WAITS, 0, "waits"),
    "without a word": ({"at_work": True, "heartbeat": None, "report": None}, Phase.BEGINS, 0, "begins"),
    "before an evaluation": (
        {"at_work": True, "heartbeat": _beat(1000, evaluated=None), "report": None},
        Phase.TRAINS,
        1000,
        "500 steps/s, 0:06 left",
    ),
    "before its rate is known": (
        {"at_work": True, "heartbeat": _beat(0, rate=None, evaluated=None), "report": None},
        Phase.TRAINS,
        0,
        "trains",
    ),
    "half": (
        {"at_work": True, "heartbeat": _beat(2000), "report": None},
        Phase.TRAINS,
        2000,
        "return 187.2, best 201.0, 500 steps/s, 0:04 left",
    ),
    "in its last evaluation": (
        {"at_work": True, "heartbeat": _beat(4000), "report": None},
        Phase.TRAINS,
        4000,
        "return 187.2, best 201.0, 500 steps/s, 0:00 left",
    ),
    "after its last evaluation": (
        {
            "at_work": True,
            "heartbeat": _beat(4000, evaluated=EVALUATION.model_copy(update={"step": 4096})),
            "report": None,
        },
        Phase.MEASURES,
        4000,
        "return 187.2, best 201.0, measures its best policy",
    ),
    "done": (
        {"at_work": False, "heartbeat": _beat(4000), "report": DONE},
        Phase.ENDED,
        4000,
        "return 480.0 at timestep 3,072",
    ),
    "done before": (
        {"at_work": False, "heartbeat": None, "report": DONE},
        Phase.ENDED,
        4000,
        "return 480.0 at timestep 3,072",
    ),
    "failed": (
        {"at_work": False, "heartbeat": _beat(2000), "report": _report("Diverged", message="loss is nan")},
        Phase.ENDED,
        2000,
        "Diverged: loss is nan",
    ),
}


@pytest.mark.parametrize("case", STATES)
def test_a_seed_is_shown_as_it_stands(case: str) -> None:
    told, phase, step, said = STATES[case]
    state = seed_state(7, 4000, **told)
    assert (state.phase, state.step, words(state)) == (phase, step, said)


def test_time_left_is_what_is_left_over_the_rate() -> None:
    state = seed_state(0, 4000, at_work=True, heartbeat=_beat(1000, rate=250.0), report=None)
    assert time_left(state) == timedelta(seconds=12)


@pytest.mark.parametrize(
    ("value", "text"),
    [(187.3333, "187.3"), (-1234.5, "-1,234"), (0.01234, "0.0123"), (0.0, "0.0"), (-9.876, "-9.88"), (None, "?")],
)
def test_a_return_has_the_digits_that_mean_something(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(28.4, "0:28"), (59.6, "1:00"), (3599.7, "1:00:00"), (93789, "26:03:09")]
)
def test_a_clock(seconds: float, text: str) -> None:
    assert clock(timedelta(seconds=seconds)) == text


class Terminal(io.StringIO):
    """Where bars are drawn."""

    def isatty(self) -> bool:
        return True


def _states(step: int) -> list[SeedState]:
    return [seed_state(seed, 4000, at_work=True, heartbeat=_beat(step + 1000 * seed), report=None) for seed in (0, 1)]


def test_a_terminal_gets_a_bar_per_seed() -> None:
    stream = Terminal()
    display = display_for(stream)
    assert isinstance(display, Bars)
    display.show(_states(1000))
    display.show(_states(2000))
    display.close()
    drawn = stream.getvalue()
    for seed, percent in ((0, 50), (1, 75)):
        assert f"seed {seed}  {percent}%|" in drawn
    assert "return 187.2, best 201.0, 500 steps/s" in drawn


def test_a_pipe_gets_a_line_when_something_happened() -> None:
    stream = io.StringIO()
    display = display_for(stream)
    assert isinstance(display, Lines)
    display.show(_states(1000))
    display.show(_states(1200))  # no evaluation since
    display.close()
    lines = stream.getvalue().splitlines()
    assert lines == [
        "seed 0: timestep 1,000 of 4,000: return 187.2, best 201.0, 500 steps/s, 0:06 left",
        "seed 1: timestep 2,000 of 4,000: return 187.2, best 201.0, 500 steps/s, 0:04 left",
    ]


@pytest.mark.parametrize(
    ("codes", "required", "code"),
    [
        ([0, 0], 2, 0),
        ([0, 4], 1, 0),
        ([0, 4], 2, 4),
        ([4, 1], 1, 1),
        ([3, 143], 1, 3),
        ([0, 143], 2, 143),
        ([0], 2, 143),  # the other one was stopped before it began
        ([1, 0], 2, 1),
        ([-9, 0], 2, 1),  # killed
    ],
)
def test_a_run_ends_as_its_seeds_did(codes: list[int], required: int, code: int) -> None:
    assert exit_code(dict(enumerate(codes)), count=2, required=required) == code


@pytest.mark.parametrize(
    ("spec", "asked_for", "wanted"),
    [
        ({"seeds": {"count": 3}}, None, 3),
        ({"seeds": {"count": 9}}, None, 4),  # cores
        ({"seeds": {"count": 9}}, 6, 6),
        ({"seeds": {"count": 9, "parallelism": 2}}, 6, 2),
        ({"seeds": {"count": 9}, "runtime": {"threads": 2}}, None, 2),
        ({"seeds": {"count": 9}, "runtime": {"threads": 16}}, None, 1),
    ],
)
def test_as_many_seeds_are_at_work_as_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch, spec: dict[str, object], asked_for: int | None, wanted: int
) -> None:
    monkeypatch.setattr(local_seeds, "cores", lambda: 4)
    assert places(make_config(**spec).spec, asked_for) == wanted
