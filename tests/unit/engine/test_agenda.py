"""The queue's promises, against every order of wakes, takes and finishes Hypothesis can think of."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from belay_operator.engine.agenda import PATIENCE, Agenda

KEYS = st.sampled_from("abcdef")
PRIORITY = st.integers(0, 2)
REST_AT_ONCE = 2


class Model(RuleBasedStateMachine):
    """An agenda beside the plainest description of what it must do."""

    @initialize()
    def begin(self) -> None:
        self.agenda: Agenda[str] = Agenda(rest_at_once=REST_AT_ONCE)
        self.now = 0.0
        self.waiting: dict[str, int] = {}
        self.busy: dict[str, int | None] = {}
        self.taken: dict[str, int] = {}  # busy key -> the priority it was taken with
        self.alarms: dict[str, float] = {}

    @rule(key=KEYS, priority=PRIORITY)
    def wake(self, key: str, priority: int) -> None:
        self.agenda.wake(key, self.now, priority=priority)
        if key in self.busy:
            dirty = self.busy[key]
            self.busy[key] = priority if dirty is None else min(dirty, priority)
        else:
            self.waiting[key] = min(priority, self.waiting.get(key, 2))

    @rule()
    def take(self) -> None:
        key = self.agenda.take()
        full = sum(1 for priority in self.taken.values() if priority == 2) >= REST_AT_ONCE
        if not [priority for priority in self.waiting.values() if not (full and priority == 2)]:
            assert key is None
            return
        assert key in self.waiting, "what is handed out was asked for"
        assert key not in self.busy, "one worker per key"
        self.taken[key] = self.waiting.pop(key)
        assert not (full and self.taken[key] == 2), "some workers are not for the rest"
        self.busy[key] = None

    @precondition(lambda self: self.busy)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.busy)))
        self.agenda.finish(key, self.now)
        dirty = self.busy.pop(key)
        del self.taken[key]
        if dirty is not None:
            self.waiting[key] = dirty

    @rule(key=KEYS, after=st.floats(0, 10))
    def alarm(self, key: str, after: float) -> None:
        self.agenda.alarm(key, self.now + after)
        self.alarms[key] = self.now + after

    @rule(key=KEYS)
    def silence(self, key: str) -> None:
        self.agenda.silence(key)
        self.alarms.pop(key, None)

    @rule(by=st.floats(0, 5))
    def pass_time(self, by: float) -> None:
        self.now += by
        due = self.agenda.due(self.now)
        assert sorted(due) == sorted(key for key, at in self.alarms.items() if at <= self.now)
        for key in due:
            del self.alarms[key]

    @invariant()
    def counts_agree(self) -> None:
        if not hasattr(self, "agenda"):
            return
        assert len(self.agenda) == len(self.waiting)
        assert self.agenda.busy == len(self.busy)
        assert [self.agenda.depth(level) for level in range(3)] == [
            sum(1 for priority in self.waiting.values() if priority == level) for level in range(3)
        ]
        assert self.agenda.next_alarm() == min(self.alarms.values(), default=None)


Model.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestAgenda = Model.TestCase


def test_rollbacks_come_before_rollouts_before_the_rest() -> None:
    agenda: Agenda[str] = Agenda()
    for key, priority in [("rest", 2), ("rollout", 1), ("rollback", 0)]:
        agenda.wake(key, 0.0, priority=priority)
    assert [agenda.take() for _ in range(3)] == ["rollback", "rollout", "rest"]


def test_a_waiting_key_moves_up_and_is_handed_out_once() -> None:
    agenda: Agenda[str] = Agenda()
    agenda.wake("first", 0.0)
    agenda.wake("urgent", 0.0)
    agenda.wake("urgent", 1.0, priority=0)
    assert [agenda.take() for _ in range(3)] == ["urgent", "first", None]


def test_no_storm_of_better_keys_starves_the_rest() -> None:
    agenda: Agenda[str] = Agenda()
    agenda.wake("patient", 0.0, priority=2)
    served = []
    for number in range(PATIENCE + 1):
        agenda.wake(f"rollback-{number}", 0.0, priority=0)
        served.append(agenda.take())
    assert "patient" in served


def test_nor_the_rollouts_between_a_storm_of_rollbacks_and_a_crowd_of_the_rest() -> None:
    """Among them is the rollout whose own rollback is not decided yet."""
    agenda: Agenda[str] = Agenda()
    agenda.wake("rollout", 0.0, priority=1)
    served = []
    for number in range(3 * (PATIENCE + 1)):
        agenda.wake(f"rollback-{number}", 0.0, priority=0)
        agenda.wake(f"rest-{number}", 0.0, priority=2)
        served.append(agenda.take())
    assert "rollout" in served
    assert "rest-0" in served


def test_replaced_alarms_are_not_kept() -> None:
    """A long promise renewed at every pass must not fill the memory."""
    agenda: Agenda[str] = Agenda()
    for number in range(10_000):
        agenda.alarm("key", 86_400.0 + number)
    assert len(agenda._heap) < 200
    assert agenda.next_alarm() == 86_400.0 + 9_999
