"""The queue's promises, against every order of wakes, takes and finishes Hypothesis can think of."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from belay_operator.engine.kind import Priority
from belay_operator.engine.workqueue import PATIENCE, WorkQueue, limits

KEYS = st.sampled_from("abcdef")
PRIORITY = st.sampled_from(Priority)
WORKERS = 4  # at most three may be busy with all but rollbacks, two with the rest
AT_ONCE = {Priority.ROLLBACK: 4, Priority.ROLLOUT: 3, Priority.REST: 2}


class Model(RuleBasedStateMachine):
    """A work queue beside the plainest description of what it must do."""

    @initialize()
    def begin(self) -> None:
        self.queue: WorkQueue[str] = WorkQueue(workers=WORKERS)
        self.now = 0.0
        self.waiting: dict[str, Priority] = {}
        self.busy: dict[str, Priority] = {}  # -> the priority it was taken with
        self.dirty: dict[str, Priority] = {}
        self.due: dict[str, float] = {}
        self.not_before: dict[str, list[float]] = {}

    def want(self, key: str, priority: Priority) -> None:
        at = self.not_before.get(key, [0.0] * 3)[priority]
        if at > self.now:
            self.due[key] = min(at, self.due.get(key, at))
        else:
            self.waiting[key] = min(priority, self.waiting.get(key, Priority.REST))

    @rule(key=KEYS, priority=PRIORITY)
    def add(self, key: str, priority: Priority) -> None:
        self.queue.add(key, self.now, priority=priority)
        if key in self.busy:
            self.dirty[key] = min(priority, self.dirty.get(key, Priority.REST))
        else:
            self.want(key, priority)

    @rule()
    def get(self) -> None:
        key = self.queue.get()
        allowed = {of for of in Priority if sum(1 for taken in self.busy.values() if taken >= of) < AT_ONCE[of]}
        if not allowed & set(self.waiting.values()):
            assert key is None
            return
        assert key in self.waiting, "what is handed out was asked for"
        assert key not in self.busy, "one worker per key"
        self.busy[key] = self.waiting.pop(key)
        assert self.busy[key] in allowed, "some workers are kept for better priorities"

    @precondition(lambda self: self.busy)
    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.busy)))
        self.queue.done(key, self.now)
        del self.busy[key]
        if key in self.dirty:
            self.want(key, self.dirty.pop(key))

    @rule(key=KEYS, after=st.floats(0, 10))
    def requeue_at(self, key: str, after: float) -> None:
        self.queue.requeue_at(key, self.now + after)
        self.due[key] = self.now + after

    @rule(key=KEYS)
    def drop_requeue(self, key: str) -> None:
        self.queue.drop_requeue(key)
        self.due.pop(key, None)

    @rule(key=KEYS, after=st.tuples(*[st.floats(0, 10)] * 3))
    def hold_off(self, key: str, after: tuple[float, ...]) -> None:
        self.not_before[key] = [self.now + one for one in after]
        self.queue.hold_off(key, self.not_before[key])

    @rule(key=KEYS)
    def release(self, key: str) -> None:
        self.queue.release(key)
        self.not_before.pop(key, None)

    @rule(by=st.floats(0, 5))
    def pass_time(self, by: float) -> None:
        self.now += by
        due = self.queue.due(self.now)
        assert sorted(due) == sorted(key for key, at in self.due.items() if at <= self.now)
        for key in due:
            del self.due[key]

    @invariant()
    def counts_agree(self) -> None:
        if not hasattr(self, "queue"):
            return
        assert len(self.queue) == len(self.waiting)
        assert self.queue.busy == len(self.busy)
        assert [self.queue.depth(of) for of in Priority] == [
            sum(1 for priority in self.waiting.values() if priority == of) for of in Priority
        ]
        assert self.queue.next_due() == min(self.due.values(), default=None)


Model.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestWorkQueue = Model.TestCase


def test_rollbacks_come_before_rollouts_before_the_rest() -> None:
    queue: WorkQueue[str] = WorkQueue(workers=1_000)
    for key, priority in [("rest", Priority.REST), ("rollout", Priority.ROLLOUT), ("rollback", Priority.ROLLBACK)]:
        queue.add(key, 0.0, priority=priority)
    assert [queue.get() for _ in range(3)] == ["rollback", "rollout", "rest"]


def test_a_waiting_key_moves_up_and_is_handed_out_once() -> None:
    queue: WorkQueue[str] = WorkQueue(workers=1_000)
    queue.add("first", 0.0, priority=Priority.REST)
    queue.add("urgent", 0.0, priority=Priority.REST)
    queue.add("urgent", 1.0, priority=Priority.ROLLBACK)
    assert [queue.get() for _ in range(3)] == ["urgent", "first", None]


def test_no_storm_of_better_keys_starves_the_rest() -> None:
    queue: WorkQueue[str] = WorkQueue(workers=1_000)
    queue.add("patient", 0.0, priority=Priority.REST)
    served = []
    for number in range(PATIENCE + 1):
        queue.add(f"rollback-{number}", 0.0, priority=Priority.ROLLBACK)
        served.append(queue.get())
    assert "patient" in served


def test_nor_the_rollouts_between_a_storm_of_rollbacks_and_a_crowd_of_the_rest() -> None:
    """Among them is the rollout whose own rollback is not decided yet."""
    queue: WorkQueue[str] = WorkQueue(workers=1_000)
    queue.add("rollout", 0.0, priority=Priority.ROLLOUT)
    served = []
    for number in range(3 * (PATIENCE + 1)):
        queue.add(f"rollback-{number}", 0.0, priority=Priority.ROLLBACK)
        queue.add(f"rest-{number}", 0.0, priority=Priority.REST)
        served.append(queue.get())
    assert "rollout" in served
    assert "rest-0" in served


def test_replaced_times_are_not_kept() -> None:
    """A long promise renewed at every pass must not fill the memory."""
    queue: WorkQueue[str] = WorkQueue(workers=1_000)
    for number in range(10_000):
        queue.requeue_at("key", 86_400.0 + number)
    assert len(queue._heap) < 200
    assert queue.next_due() == 86_400.0 + 9_999


def test_a_key_that_is_held_off_comes_once_when_its_time_has_come_however_often_it_is_added() -> None:
    queue: WorkQueue[str] = WorkQueue(workers=4)
    queue.hold_off("key", [1.0, 2.0, 3.0])
    for _ in range(100):
        queue.add("key", 0.0, priority=Priority.REST)
    assert (queue.get(), queue.due(2.9), queue.next_due()) == (None, [], 3.0)
    assert queue.due(3.0) == ["key"]
    queue.add("key", 3.0, priority=Priority.REST)
    assert (queue.get(), queue.get()) == ("key", None)


def test_a_rollback_is_held_off_for_a_shorter_time() -> None:
    queue: WorkQueue[str] = WorkQueue(workers=4)
    queue.hold_off("key", [1.0, 2.0, 3.0])
    queue.add("key", 0.0, priority=Priority.REST)
    queue.add("key", 0.5, priority=Priority.ROLLBACK)
    assert queue.next_due() == 1.0
    queue.add("key", 1.1, priority=Priority.ROLLBACK)
    assert queue.get() == "key"


def test_workers_are_kept_for_better_priorities_and_one_works_on_anything() -> None:
    assert limits(32) == {Priority.ROLLBACK: 32, Priority.ROLLOUT: 28, Priority.REST: 24}
    assert limits(3) == {Priority.ROLLBACK: 3, Priority.ROLLOUT: 2, Priority.REST: 1}
    assert set(limits(1).values()) == {1}
