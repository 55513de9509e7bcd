"""One task per question that rollouts want asked, begun and ended as they change."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable, Mapping
from typing import Any, TypeVar

from belay_operator.engine.source import PollerContext

Question = TypeVar("Question", bound=Hashable)


async def follow(
    context: PollerContext,
    topic: str,
    *,
    wanted: Callable[[Mapping[str, Any]], frozenset[Question]],
    ask: Callable[[PollerContext, Question], Coroutine[Any, Any, None]],
    gather_s: float = 0.0,
) -> None:
    """Keep a task for each question, until cancelled. Who wants none any more has his fact of `topic` forgotten.

    Args:
        wanted: What is to be asked for a rollout; one that cannot be read is for its own reconcile to tell.
        ask: Asks one question until cancelled. Only a bug ends it: the engine sees it, and starts us again.
        gather_s: Seconds to wait after a change: what is written at one time is followed at one time.
    """
    tasks: dict[Question, asyncio.Task[None]] = {}
    held: dict[tuple[str, str], frozenset[Question]] = {}
    with context.changes("RLRollout") as changes:
        async with asyncio.TaskGroup() as group:
            while True:
                for name in changes.take():
                    rollout = context.get("RLRollout", *name)
                    before = held.pop(name, frozenset())
                    asked = frozenset() if rollout is None else wanted(rollout)
                    for question in before - asked:
                        tasks.pop(question).cancel()
                    for question in asked - before:
                        tasks[question] = group.create_task(ask(context, question), name=f"{topic}-{name[1]}")
                    if asked:
                        held[name] = asked
                    elif before:
                        context.put(topic, *name, None)
                await changes.wait()
                await asyncio.sleep(gather_s)
