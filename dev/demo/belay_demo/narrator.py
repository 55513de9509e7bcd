"""Turn the status of a rollout into lines: one whenever something worth telling changed. Pure but for its memory."""

from collections.abc import Iterator, Mapping
from typing import Any


class Narrator:
    """Remembers what was told, so that nothing is told twice."""

    def __init__(self) -> None:
        self._told: dict[str, Any] = {}

    def lines(self, rollout: Mapping[str, Any]) -> Iterator[str]:
        """Yield what is new in this status."""
        status = rollout.get("status", {})
        if self._new("phase", status.get("phase")):
            yield f"phase {status['phase']}"
        step = status.get("step")
        if step and self._new("step", (step["index"], step["kind"])):
            yield f"step {step['index'] + 1}: {step['kind']}"  # counted as the Events count
        weight = status.get("weight", {})
        shown = tuple(weight.get(key) for key in ("desired", "applied"))
        if weight and self._new("weight", shown):
            yield f"candidate's weight: desired {_percent(shown[0])}, accepted by the gateway {_percent(shown[1])}"
        for verdict in status.get("verdicts", []):
            if self._new(f"verdict/{verdict['metric']}", _gist(verdict)):
                yield sentence(verdict)

    def _new(self, topic: str, value: Any) -> bool:
        if value is None or self._told.get(topic) == value:
            return False
        self._told[topic] = value
        return True


def _gist(verdict: Mapping[str, Any]) -> tuple[Any, ...]:
    """What makes a verdict worth telling again: another outcome, ten more episodes, or a quarter of the way to Pass."""
    episodes, limit = verdict.get("candidate", {}).get("episodes", 0), verdict.get("limit", {})
    return verdict["verdict"], episodes // 10, limit.get("inFavour", 0) // 0.25


def sentence(verdict: Mapping[str, Any]) -> str:
    """Return a verdict with its numbers in one line."""
    text = f"{verdict['metric']}: {verdict['verdict']}"
    if "candidate" in verdict and "stable" in verdict:
        sides = (
            f"{side} {verdict[side]['episodes']} episodes, mean {_number(verdict[side].get('mean'))}, "
            f"{verdict[side].get('missing', 0)} missing"
            for side in ("candidate", "stable")
        )
        text += f" | {' | '.join(sides)}"
    if "interval" in verdict:
        low, high = verdict["interval"]
        text += f" | difference {verdict['difference']:+.1f} in [{low:.1f}, {high:.1f}]"
        text += f", fails below {verdict.get('failBelow', 0):g}, passes above {verdict.get('passAbove', 0):g}"
    if verdict["verdict"] != "Pass" and "limit" not in verdict and verdict.get("message"):
        text += f" | {verdict['message']}"
    if limit := verdict.get("limit"):
        went = f"took longer than {limit['bound']:g} s" if "bound" in limit else "failed"
        text += f" | {limit['beyond']} of {limit['requests']} requests {went}"
        text += f", evidence against {limit['against']:.2g}, in favour {limit['inFavour']:.2g} (1 decides)"
    return text


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:g} %"
