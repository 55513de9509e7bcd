"""Two hours are two hours: a deadline is the whole job's, over its search, its seeds, pauses and Jobs made anew."""

from datetime import datetime, timedelta
from typing import Any

from tests.unit.training.given import NAME, SEARCH, training_job
from tests.world import START, World, key_of

from belay_api.units import format_instant
from belay_operator.training.observe import KIND

CHILD = f"{NAME}-a1"
BEST = {"trial": 1, "value": 400.0, "settings": {"gamma": 0.99}}


class Course:
    """A training with a deadline of two hours, its operator, and a Job controller that keeps Jobs' own time."""

    def __init__(self, **spec: Any) -> None:
        self.world = World([training_job({"budget": {"steps": 1000, "deadline": "2h"}, **spec})])
        self.key = key_of(self.world.objects["RLTrainingJob", "default", NAME])
        self.now = START
        self.look()

    def look(self) -> None:
        self.world.settle(KIND, self.key, now=self.now)

    def after(self, **time: float) -> "Course":
        self.now += timedelta(**time)
        return self

    def says(self, job: str, **status: Any) -> None:
        self.world.patch("Job", job, {"status": status})
        self.look()

    def starts(self, job: str) -> None:
        self.says(job, startTime=format_instant(self.now), conditions=[_condition("Suspended", False, self.now)])

    def is_paused(self, job: str) -> None:
        self.says(job, conditions=[_condition("Suspended", True, self.now)])

    def ends(self, job: str, kind: str, reason: str = "") -> None:
        ended = _condition(kind, True, self.now) | {"reason": reason}
        self.says(job, conditions=[ended])

    def asks(self, **spec: Any) -> None:
        self.world.patch("RLTrainingJob", NAME, {"spec": spec})
        self.look()

    def limit(self, job: str) -> int | None:
        found: int | None = self.world.objects["Job", "default", job]["spec"].get("activeDeadlineSeconds")
        return found

    @property
    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.world.objects["RLTrainingJob", "default", NAME]["status"]
        return found


def _condition(kind: str, true: bool, at: datetime) -> dict[str, str]:
    return {"type": kind, "status": "True" if true else "False", "lastTransitionTime": format_instant(at)}


def test_what_a_search_takes_is_gone_for_the_seeds() -> None:
    course = Course(search={"trials": 4})
    assert course.limit(SEARCH) == 7200
    course.starts(SEARCH)
    assert course.status["clock"] == {"used": "0s", "since": "2026-05-04T10:00:00Z"}
    course.after(minutes=90).world.patch(
        "RLTrainingJob", NAME, {"status": {"search": {"trials": 4, "finished": 4, "best": BEST}}}
    )
    course.ends(SEARCH, "Complete")
    course.after(seconds=31).look()  # its pods' last words are waited for no longer
    assert course.status["clock"] == {"used": "1h30m"}
    assert course.limit(CHILD) == 1800


def test_a_pause_does_not_count_and_a_resume_does_not_begin_anew() -> None:
    course = Course()
    course.starts(CHILD)
    course.after(minutes=30).asks(suspend=True)
    course.after(minutes=1).is_paused(CHILD)  # until then its pods could run
    assert course.status["clock"] == {"used": "31m"}
    course.after(hours=9).asks(suspend=False)
    assert course.limit(CHILD) == 7200 - 31 * 60
    course.starts(CHILD)
    course.after(minutes=20).look()
    assert course.status["clock"] == {"used": "31m", "since": "2026-05-04T19:31:00Z"}
    assert course.limit(CHILD) == 7200 - 31 * 60, "Kubernetes counts from the resume: the number stands"
    course.after(minutes=69).ends(CHILD, "Failed", "DeadlineExceeded")
    assert course.status["clock"] == {"used": "2h"}
    ready = next(c for c in course.status["conditions"] if c["type"] == "Ready")
    assert (ready["reason"], "spec.budget.deadline: 2h passed" in ready["message"]) == ("DeadlineExceeded", True)


def test_a_resume_that_nobody_saw_the_pause_of_begins_nothing_anew() -> None:
    course = Course()
    course.starts(CHILD)
    course.after(minutes=30).starts(CHILD)
    assert course.status["clock"] == {"used": "30m", "since": "2026-05-04T10:30:00Z"}
    assert course.limit(CHILD) == 5400


def test_a_job_that_is_made_again_gets_what_is_left() -> None:
    course = Course()
    course.starts(CHILD)
    course.after(minutes=30).world.remove("Job", CHILD)
    course.look()
    assert course.limit(CHILD) == 5400


def test_a_deadline_that_is_raised_in_a_pause_counts_what_was_used() -> None:
    course = Course()
    course.starts(CHILD)
    course.after(hours=2).asks(suspend=True)
    course.is_paused(CHILD)
    assert course.limit(CHILD) == 1, "Kubernetes says that it has passed"
    course.asks(budget={"deadline": "3h"}, suspend=False)
    assert course.limit(CHILD) == 3600


def test_the_clock_runs_without_a_deadline_and_limits_nothing() -> None:
    course = Course(budget={"steps": 1000})
    course.starts(CHILD)
    course.after(minutes=30).ends(CHILD, "Complete")
    assert (course.status["clock"], course.limit(CHILD)) == ({"used": "30m"}, None)
