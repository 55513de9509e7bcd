"""What happened last: how stable has done since its promotion, how rollouts ended, commands."""

import textwrap

from belay_cli.rollout.page import Page, Rollout, digest

_NEWEST = 3


def lines(rollout: Rollout, page: Page) -> list[str]:
    """Stable since its promotion, what is not tried again, and the newest of what is on record."""
    parts = [_watch(rollout, page), _rejected(rollout, page), _last(rollout, page)]
    made: list[str] = []
    for part in filter(None, parts):
        made += ([""] if made else []) + part
    return made


def _watch(rollout: Rollout, page: Page) -> list[str]:
    """Stable since its promotion."""
    made = []
    for one in rollout.status.watch:
        if one.reference is None:
            continue
        held = f"{one.metric}: mean {one.reference.mean:g} over {one.reference.episodes:,} episodes when promoted"
        worse = f"; worse {page.lasting(one.degraded_since)}" if one.degraded_since else ""
        made += page.wrap(held + worse)
    return [page.paint("Stable since its promotion", "bold"), *made] if made else []


def _rejected(rollout: Rollout, page: Page) -> list[str]:
    found = rollout.status.rejected_digests
    if not found:
        return []
    names = ", ".join(map(digest, found[-_NEWEST:]))
    more = f" and {len(found) - _NEWEST} before" if len(found) > _NEWEST else ""
    return page.wrap(f"Not tried again without the command retry: {names}{more}", indent=0, hanging=2)


def _last(rollout: Rollout, page: Page) -> list[str]:
    status = rollout.status
    told = [(one.ended_at, f"{one.outcome}: {one.policy}{_because(one.message)}") for one in status.history]
    told += [
        (one.at, f"command {one.action}@{one.id}{'' if one.message is None else f', refused: {one.message}'}")
        for one in status.commands
    ]
    newest = sorted(told, key=lambda one: one[0], reverse=True)[: 2 * _NEWEST]
    if not newest:
        return []
    made = [page.paint("Lately", "bold")]
    for at, words in newest:
        made += [f"  {page.ago(at):<11}  {textwrap.shorten(words, page.columns - 15, placeholder=' …')}"]
    return made


def _because(message: str) -> str:
    return f" ({message})" if message else ""
