"""The journal of a search: one order for everybody, nothing twice, nothing lost that was answered."""

import sqlite3
import threading
from pathlib import Path

import httpx
import pytest
from tests.unit.logbook.support import Process

from belay_api.wire import JournalLines
from belay_logbook import journals
from belay_logbook.errors import TooLarge
from belay_logbook.journals import append_lines, read_lines
from belay_logbook.schema import migrate

UID = "11111111-aaaa"
WRITERS, LINES = 4, 25


def append(client: httpx.Client, name: str, *lines: str, uid: str = UID) -> httpx.Response:
    return client.post(f"/journals/{uid}", json={"id": name, "lines": list(lines)})


def lines(client: httpx.Client, uid: str = UID) -> list[str]:
    found: list[str] = []
    while True:
        page = client.get(f"/journals/{uid}", params={"from": len(found)}).json()
        found += page["lines"]
        assert page["next"] == len(found)
        if page["next"] == page["end"]:
            return found


def test_lines_come_back_in_the_order_in_which_they_were_appended(client: httpx.Client) -> None:
    assert lines(client) == []
    assert append(client, "a", "1", "2").json() == {"lines": [], "next": 2, "end": 2}
    assert append(client, "b", "3").json() == {"lines": [], "next": 3, "end": 3}
    assert lines(client) == ["1", "2", "3"]
    assert client.get(f"/journals/{UID}", params={"from": 1}).json()["lines"] == ["2", "3"]
    assert lines(client, uid="22222222-bbbb") == [], "another job's is another journal"


def test_an_append_that_is_sent_again_changes_nothing(client: httpx.Client) -> None:
    append(client, "a", "1", "2")
    append(client, "b", "3")
    assert append(client, "a", "1", "2").json() == {"lines": [], "next": 3, "end": 3}
    assert lines(client) == ["1", "2", "3"]


def test_a_long_journal_is_read_in_pages(client: httpx.Client) -> None:
    wanted = [str(number) for number in range(2 * journals.PAGE + 1)]
    for first in range(0, len(wanted), 500):
        append(client, f"part {first}", *wanted[first : first + 500])
    assert lines(client) == wanted


def test_what_several_append_at_once_is_all_there_each_in_its_own_order(tmp_path: Path) -> None:
    process = Process(tmp_path).start()

    def write(writer: int) -> None:
        with process.client("ns") as client:
            for number in range(LINES):
                assert append(client, f"{writer}-{number}", f"{writer} {number} a", f"{writer} {number} b").is_success

    threads = [threading.Thread(target=write, args=[writer]) for writer in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    process.kill()
    process.start()
    with process.client("ns") as client:
        found = lines(client)
    assert process.stop() == 0
    for writer in range(WRITERS):
        own = [line for line in found if line.startswith(f"{writer} ")]
        assert own == [f"{writer} {number} {part}" for number in range(LINES) for part in "ab"]
    together = list(zip(found[::2], found[1::2], strict=True))
    assert all(first[:-1] == second[:-1] for first, second in together), "lines of one append stay together"


def test_a_journal_that_was_forgotten_begins_anew(client: httpx.Client) -> None:
    append(client, "a", "1", "2")
    append(client, "b", "theirs", uid="22222222-bbbb")
    for _ in range(2):
        assert client.delete(f"/journals/{UID}").status_code == 204
    assert (lines(client), lines(client, uid="22222222-bbbb")) == ([], ["theirs"])
    assert append(client, "a", "1").json()["end"] == 1


def test_a_full_journal_takes_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journals, "MOST_LINES", 3)
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    append_lines(connection, "ns", UID, JournalLines(id="a", lines=["1", "2"]))
    with pytest.raises(TooLarge, match="the journal has 2, at most 3"):
        append_lines(connection, "ns", UID, JournalLines(id="b", lines=["3", "4"]))
    assert read_lines(connection, "ns", UID, 0).lines == ["1", "2"]


def test_what_cannot_be_appended_or_asked_for_is_refused(client: httpx.Client) -> None:
    answer = append(client, "a", *["x"] * 1001)
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, "lines")
    assert append(client, "a").status_code == 400
    assert client.get(f"/journals/{UID}", params={"from": "-1"}).status_code == 400
