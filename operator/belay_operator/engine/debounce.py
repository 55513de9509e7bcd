"""Debounce a status that only tells how far something has come, while the next word is on its way.

A policy that gets its pods changes five times within a second: wanted, created, scheduled, verified, ready. Each would
be a write, and each write a pass of everybody who looks at the policy. Only a plan that says of itself that nobody acts
on its status waits; what it does to the world is done at once, and so is the next status that matters.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from belay_operator.engine.plan import Key, Plan

LONGEST = timedelta(seconds=2)  # a person who watches hardly notices, and pods that are slow are still told of


class Debounce:
    """Remembers since when each object has something to tell; a restart only begins the moment anew."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since: dict[Key, float] = {}

    def filter(self, key: Key, plan: Plan) -> Plan:
        """Return `plan`, without its status while that may wait; then it asks to be made again when it may not."""
        if plan.status is None or not plan.debounce:
            self._since.pop(key, None)
            return plan
        now = self._clock()
        left = LONGEST - timedelta(seconds=now - self._since.setdefault(key, now))
        if left <= timedelta():
            del self._since[key]
            return plan
        again = left if plan.requeue_after is None else min(left, plan.requeue_after)
        return replace(plan, status=None, requeue_after=again)

    def forget(self, key: Key) -> None:
        """Drop what is known of an object that is gone."""
        self._since.pop(key, None)
