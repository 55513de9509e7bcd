"""`kubectl belay rollout`: what a person on call reads of statuses that the operator's own decisions have written.

Each view stands as text in `rollouts/`; `--refresh` rewrites them, and the diff is the review.
"""

import copy
import json
import re
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.logbook.support import ROOT
from tests.unit.rollout import (
    test_anchor,
    test_experiment,
    test_group,
    test_judged_steps,
    test_match,
    test_shadow,
    test_users,
    test_watch,
)
from tests.unit.rollout.stage import Stage
from tests.unit.rollout.test_stories import BAD, under_analysis
from tests.world import START

from belay_api.rollout.status import RLRolloutStatus
from belay_cli.errors import Failed, Missing
from belay_cli.main import main
from belay_cli.rollout import command
from belay_cli.rollout.bar import Interval, Scale, draw, gauge
from belay_cli.rollout.page import Page, Rollout
from belay_cli.rollout.sections.steps import describe
from belay_cli.rollout.view import render
from belay_cli.terminal import Paint, in_ascii, paint

from .conftest import FakeKubectl

FOLDER = Path(__file__).parent / "rollouts"
NOW = START + timedelta(minutes=2)
FEW = {"a": (40, 480.0, 40.0), "b": (40, 470.0, 60.0)}


def analysing() -> Stage:
    stage = under_analysis()
    stage.scrape("b", rate=50.0, seconds=10)
    stage.episodes("return", FEW)
    return stage.go(seconds=1)


def rolling_back() -> Stage:
    stage = under_analysis()
    stage.scrape("b", rate=50.0)
    stage.episodes("return", BAD)
    stage.later(seconds=1)
    stage.passes()
    return stage


def rolled_back() -> Stage:
    stage = rolling_back().go(seconds=1)
    stage.later(seconds=2)
    stage.scrape("b", rate=0.0)
    return stage.go(seconds=1)


def race() -> Stage:
    stage = test_experiment.competing("b:20", "c", "d")
    stage.go(minutes=30)
    equal, better, worse = test_experiment.EQUAL, test_experiment.BETTER, test_experiment.WORSE
    stage.episodes("return", {"a": equal, "b": better, "c": equal, "d": worse})
    return stage.go(seconds=1)


def won() -> Stage:
    return race().go(minutes=31)


def shadow() -> Stage:
    stage = test_shadow.staged().go(minutes=5)
    choices = [("0", "0", 290), ("1", "1", 181), ("1", "0", 17), ("0", "1", 8), ("1", "error", 4)]
    told = [{"stable": stable, "candidate": candidate, "pairs": pairs} for stable, candidate, pairs in choices]
    test_shadow.hears(stage, cells=told)
    return stage


def matched() -> Stage:
    return test_match.matched()


def by_user() -> Stage:
    stage = test_users.begun({"setWeight": 50}, {"analyze": {}})
    stage.episodes("return", FEW)
    return stage.go(seconds=1)


def grouped() -> Stage:
    stage = Stage("a", "b", **test_group.GROUP).go()
    stage.world.put(test_group.rollout("other", candidate=test_group.TRIAL, group=test_group.TAKEN))
    stage.wants("b")
    stage.go().later(minutes=5)
    return stage


def judged() -> Stage:
    stage = test_judged_steps.staged(test_judged_steps.VALIDATE)
    test_judged_steps.passes_gates(stage)
    return stage.go(seconds=5)


def degraded() -> Stage:
    stage = test_watch.promoted()
    for mean, windows in ((478.0, 6), (380.0, 12), (380.0, 13)):
        test_watch.plays(stage, mean, windows=windows)
    return stage


def anchored() -> Stage:
    stage = test_anchor.serving("c")
    test_anchor.analyzed(stage, "c")
    stage.episodes("return", {"a": (400, 480.0, 40.0), "b": (400, 440.0, 40.0), "c": (400, 440.0, 40.0)})
    return stage.go(seconds=1)


def held() -> Stage:
    stage = under_analysis()
    stage.command("pause@night-1")
    stage.go(seconds=5)
    stage.command("approve@2")
    return stage.go(seconds=70)


def first() -> Stage:
    stage = Stage("a")
    stage.passes()
    return stage


STORIES: dict[str, Callable[[], Stage]] = {
    "by_user": by_user,
    "first": first,
    "analysing": analysing,
    "held": held,
    "rolling_back": rolling_back,
    "rolled_back": rolled_back,
    "race": race,
    "won": won,
    "shadow": shadow,
    "matched": matched,
    "grouped": grouped,
    "judged": judged,
    "degraded": degraded,
    "anchored": anchored,
}


def found(stage: Stage) -> dict[str, Any]:
    """The object as kubectl gets it."""
    return copy.deepcopy(stage.world.objects["RLRollout", "default", "cartpole"])


def view(stage: Stage, *, columns: int = 80, colours: bool = False) -> str:
    return render(command.read(found(stage)), Page(columns, stage.now + timedelta(seconds=3), Paint(colours)))


@pytest.mark.parametrize("story", STORIES)
def test_a_view(story: str, refresh: bool) -> None:
    text = view(STORIES[story]()) + "\n"
    path = FOLDER / f"{story}.txt"
    if refresh:
        path.write_text(text)
    assert text == path.read_text()
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text
    assert "?" not in in_ascii(text.replace("?", "")), "every sign has another in ASCII"


def test_every_file_is_the_view_of_a_story() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(STORIES)


@pytest.fixture(scope="module")
def withdrawn() -> dict[str, Any]:
    """A rollout that was taken back, as the API server has it."""
    return found(rolled_back())


def test_colours_change_no_character(withdrawn: dict[str, Any]) -> None:
    def text(*, colours: bool) -> str:
        return render(command.read(withdrawn), Page(80, NOW, Paint(colours)))

    painted = text(colours=True)
    assert "\x1b[31mFail\x1b[0m" in painted
    assert re.sub(r"\x1b\[\d+m", "", painted) == text(colours=False)


@pytest.mark.parametrize("columns", [40, 60, 120])
def test_it_is_as_wide_as_the_terminal(withdrawn: dict[str, Any], columns: int) -> None:
    told = copy.deepcopy(withdrawn)
    told["status"]["stable"]["policy"] = "cartpole-long-training-of-the-summer-7f3a9c"
    lines = render(command.read(told), Page(columns, NOW, Paint(False))).splitlines()
    assert max(map(len, lines)) <= max(columns, len("  stable  100 %  ") + 43), "a name is never cut"


def test_one_that_nobody_has_looked_at_says_so() -> None:
    text = render(command.read({"metadata": {"name": "r", "namespace": "n"}, "spec": {}}), Page(80, NOW, Paint(False)))
    assert "The operator has not looked at it yet" in text
    assert "bake 1h, with all traffic" in text, "the default, where the spec says nothing"


def test_a_spec_of_a_newer_belay_is_shown_and_one_that_was_edited_since_is_said(withdrawn: dict[str, Any]) -> None:
    told = copy.deepcopy(withdrawn)
    told["spec"]["traffic"]["gatewayAPI"]["preview"] = {"hostnames": ["next.example.org"]}
    told["spec"] |= {"later": {"x": 1}, "steps": [{"levitate": {"height": "3m", "by": [{"rope": 1}, "hand"]}}]}
    told["status"]["later"] = {"x": 1}
    told["metadata"]["generation"] += 1
    text = render(command.read(told), Page(80, NOW, Paint(False)))
    assert "1  levitate height 3m, by (rope) and hand" in text
    assert "The spec was changed since" in text
    assert "Preview at next.example.org" in text


def test_nothing_is_decided_again(withdrawn: dict[str, Any]) -> None:
    """Numbers that would fail stand beside the verdict that the operator wrote."""
    told = copy.deepcopy(withdrawn)
    told["status"]["verdicts"][0]["verdict"] = "Pass"
    text = render(command.read(told), Page(80, NOW, Paint(False)))
    assert "return  Pass" in text
    assert "-248 ··[" in text


def test_where_stable_is_lost_no_share_is_made_up(withdrawn: dict[str, Any]) -> None:
    told = copy.deepcopy(withdrawn)
    told["status"]["stable"]["lostAt"] = "2026-05-04T10:01:00Z"
    text = render(command.read(told), Page(80, NOW, Paint(False)))
    assert "  stable  ?  a  sha256:aaaaaaaaaaaa  LOST 1m ago" in text


def test_of_a_cost_more_is_worse(withdrawn: dict[str, Any]) -> None:
    told = copy.deepcopy(withdrawn)
    told["status"]["verdicts"][0] |= {"interval": [-3.0, 9.0], "difference": 2.0, "failBelow": 0.0, "passAbove": 5.0}
    text = render(command.read(told), Page(80, NOW, Paint(False)))
    assert "[ ] right of 0 fails, left of P (5) passes" in text


def test_what_pods_give_where_they_are_the_weight() -> None:
    pods = {"candidate": 1, "stable": 3, "percent": 25}
    status = {"weight": {"desired": 5, "applied": 5, "pods": pods}, "stable": {"policy": "a", "digest": "sha256:a"}}
    told = {"metadata": {"name": "r", "namespace": "n"}, "spec": {}, "status": status}
    told["status"]["stable"]["since"] = "2026-05-04T10:00:00Z"
    text = render(command.read(told), Page(200, NOW, Paint(False)))
    assert "1 of the candidate beside 3 of stable give it 25 % of new connections" in text


def test_an_interval_on_its_scale() -> None:
    scale = Scale.over([-10.0, 0.0, 10.0], columns=25)
    line = draw(Interval(-8.0, -4.0, -1.0), scale, {"0": 0.0, "P": -5.0})
    assert len(line) == 25
    assert [line.index(sign) for sign in "[P●]0"] == [3, 6, 7, 11, 12]
    assert draw(Interval(1.0, 1.0, 1.0), Scale.over([1.0, 1.0], columns=12), {}) == "·····●······"
    assert (gauge(-1, 4), gauge(0.5, 4), gauge(7, 4)) == ("░░░░", "██░░", "████")


def test_steps_in_a_line() -> None:
    assert describe({"pause": {}}) == "pause"
    assert describe({"pause": {"duration": "30m"}}) == "pause for 30m"
    headers = [{"name": "x-group", "value": "staff"}, {"name": "x-site", "value": "b"}]
    assert (
        describe({"match": {"headers": headers, "weight": 5}}) == "match headers x-group: staff and x-site: b, weight 5"
    )


def test_it_is_read_with_the_readers_own_kubectl(
    kubectl_alone: FakeKubectl,
    withdrawn: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kubectl_alone.set(get={"out": json.dumps(withdrawn)})
    assert main(["rollout", "cartpole", "--context", "there", "--width", "80"]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("cartpole  RolledBack   namespace default\n")
    assert printed.err == ""
    assert kubectl_alone.calls == [
        "--context there config view --minify -o jsonpath={..namespace}",
        "--context there get rlrollouts.belay.dev cartpole --namespace team-a -o json",
    ]


CANNOT = {
    "unknown": (
        'Error from server (NotFound): rlrollouts.belay.dev "x" not found',
        "kubectl belay: there is no RLRollout x in the namespace team-a: `kubectl get rlrollouts -A` lists all",
    ),
    "no CRD": (
        'error: the server doesn\'t have a resource type "rlrollouts"',
        "kubectl belay: this cluster has no RLRollouts, because Belay is not installed in it: install it, or name "
        "another cluster with --context",
    ),
    "forbidden": (
        'Error from server (Forbidden): rlrollouts.belay.dev "x" is forbidden: User "eve" cannot get resource',
        'kubectl belay: Error from server (Forbidden): rlrollouts.belay.dev "x" is forbidden: User "eve" cannot get '
        "resource: somebody has to give you `get` on rlrollouts.belay.dev there",
    ),
    "away": (
        'E1130 memcache.go:265] "Unhandled Error" err="dial tcp"\nE1130 memcache.go:265] "Unhandled Error"\n'
        "The connection to the server 127.0.0.1:1 was refused - did you specify the right host or port?",
        "kubectl belay: The connection to the server 127.0.0.1:1 was refused - did you specify the right host or port?",
    ),
}


@pytest.mark.parametrize("case", CANNOT)
def test_what_cannot_be_read_is_one_sentence(
    kubectl_alone: FakeKubectl, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    words, wanted = CANNOT[case]
    kubectl_alone.set(get={"err": words, "code": 1})
    assert main(["rollout", "x"]) == 1
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", wanted + "\n")


def test_a_status_of_a_newer_operator_names_what_it_cannot_read(withdrawn: dict[str, Any]) -> None:
    told = copy.deepcopy(withdrawn)
    told["status"]["phase"] = "Levitating"
    with pytest.raises(Failed, match=r"status\.phase of cartpole cannot be read .* Install the plugin of the operator"):
        command.read(told)


class Reads:
    """What one read after the other finds."""

    def __init__(self, *found: Any) -> None:
        self._found = iter(found)

    def __call__(self) -> Rollout:
        found = next(self._found)
        if isinstance(found, BaseException):
            raise found
        return Rollout({"name": "r", "namespace": "n", "resourceVersion": found}, {}, RLRolloutStatus())


@pytest.fixture
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("belay_cli.rollout.command.PERIOD_S", 0.0)


def follow(*reads: Any) -> None:
    command.follow(Reads(*reads), lambda rollout: f"version {rollout.metadata['resourceVersion']}")


@pytest.mark.usefixtures("no_wait")
def test_watched_into_a_file_it_is_written_at_each_change(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt):
        follow("1", "1", Failed("away"), "2", "2", KeyboardInterrupt())
    assert capsys.readouterr().out == "version 1\n\nversion 2\n\n"


@pytest.mark.usefixtures("no_wait")
def test_watched_on_a_terminal_it_stands_through_an_outage_and_ends_with_the_rollout(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    with pytest.raises(Missing, match="gone"):
        follow("1", Failed("away"), "1", Missing("gone"))
    views = capsys.readouterr().out.split("\x1b[H\x1b[2J")[1:]
    assert views[0] == "version 1\n" == views[2]
    assert re.fullmatch(r"version 1\n\nNot read any more since \d\d:\d\d:\d\d UTC: away\n", views[1])


@pytest.mark.parametrize(
    ("name", "value", "wanted"), [("NO_COLOR", "1", False), ("TERM", "dumb", False), ("X", "", True)]
)
def test_colours_are_for_terminals_whose_owner_wants_them(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, wanted: bool
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert not paint().wanted, "no terminal"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv(name, value)
    assert paint().wanted is wanted


def test_the_guide_shows_what_is_printed() -> None:
    text = (FOLDER / "analysing.txt").read_text()
    assert f"$ kubectl belay rollout cartpole\n{text}```" in (ROOT / "docs" / "guides" / "operate.md").read_text()
