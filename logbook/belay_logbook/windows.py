"""Where the windows of an answer begin and end: by the clock, and at the instants that the caller cuts at."""

from bisect import bisect_right
from collections.abc import Iterable

from belay_logbook.sealed import KeptWindow, Question


class Windows:
    """The windows of one question, cut."""

    def __init__(self, question: Question, cuts_ms: Iterable[int]) -> None:
        """Set up the windows of a question; a cut where a window begins anyway changes nothing."""
        self._question = question
        self._cuts = sorted(cut for cut in set(cuts_ms) if question.window(cut)[0] != cut)
        self._torn = {question.window(cut)[0] for cut in self._cuts}
        self._parts = {self.around(at) for cut in self._cuts for at in (cut - 1, cut)}

    def around(self, at_ms: int) -> tuple[int, int]:
        """Return start and end of the window around an instant."""
        start, end = self._question.window(at_ms)
        if start in self._torn:
            place = bisect_right(self._cuts, at_ms)
            start = max([start, *self._cuts[:place]])
            end = min([end, *self._cuts[place:]])
        return start, end

    def uncut(self, chapters: Iterable[KeptWindow]) -> list[KeptWindow]:
        """Return the chapters that no cut lies in."""
        return [it for it in chapters if not any(it.start_ms <= torn < it.end_ms for torn in self._torn)]

    def among(self, kept: Iterable[KeptWindow]) -> list[KeptWindow]:
        """Return what is kept of these windows; the others are what looks with other cuts made."""
        length, torn, parts = self._question.window_ms, self._torn, self._parts  # a look asks of hundreds
        return [
            it
            for it in kept
            if (it.end_ms - it.start_ms == length and it.start_ms not in torn) or (it.start_ms, it.end_ms) in parts
        ]
