"""A receiver that cannot be used stops the start, with its name and what to write instead."""

import json
from pathlib import Path
from typing import Any

import pytest

from belay_operator.notify.receivers import Credentials, Receiver
from belay_operator.settings import BadSetting, from_environment


def read(*receivers: dict[str, Any]) -> tuple[Receiver, ...]:
    return from_environment({"BELAY_NOTIFICATIONS": json.dumps(receivers)}).receivers


def test_nobody_is_notified_unless_somebody_is_named() -> None:
    assert from_environment({}).receivers == ()
    assert from_environment({"BELAY_NOTIFICATIONS": "[]"}).receivers == ()


def test_what_the_chart_writes() -> None:
    (one,) = read(
        {"name": "oncall", "format": "pagerduty", "secret": "pagerduty", "severity": "warning", "reasons": []}
    )
    assert (one.name, str(one.format), str(one.severity)) == ("oncall", "pagerduty", "warning")


URL = {"url": "https://hooks.example.com/belay"}


@pytest.mark.parametrize(
    ("receiver", "words"),
    [
        ({"name": "a"}, "receiver a: Value error, there is no address: give url, or in secret the name"),
        ({**URL}, "receiver number 1: name"),
        ({"name": "A b", **URL}, "receiver A b: name"),
        ({"name": "a", "url": "ftp://x"}, "receiver a: url"),
        ({"name": "a", "url": "https://user:pw@example.com/"}, "receiver a: url"),
        ({"name": "a", "format": "teams", **URL}, "receiver a: format"),
        ({"name": "a", "format": "pagerduty", **URL}, "PagerDuty wants the key routing-key of a Secret"),
        ({"name": "a", "severity": "critical", **URL}, "receiver a: severity"),
        ({"name": "a", "reasons": ["Promotd"], **URL}, "'Promotd' is never told; did you mean 'Promoted'"),
        ({"name": "a", "token": "x", **URL}, "receiver a: token"),
    ],
)
def test_a_wrong_receiver_is_named(receiver: dict[str, Any], words: str) -> None:
    with pytest.raises(BadSetting) as raised:
        read(receiver)
    assert words in str(raised.value)
    assert "BELAY_NOTIFICATIONS" in str(raised.value)


def test_two_of_one_name_and_no_json_are_refused() -> None:
    with pytest.raises(BadSetting, match="two receivers are called a"):
        read({"name": "a", **URL}, {"name": "a", **URL})
    with pytest.raises(BadSetting, match="BELAY_NOTIFICATIONS: wanted a JSON list"):
        from_environment({"BELAY_NOTIFICATIONS": "[{"})


def test_credentials_are_the_files_of_a_mounted_secret(tmp_path: Path) -> None:
    """As the kubelet lays them out: links into a folder that is swapped when the Secret changes."""
    one, folder = Receiver(name="a", secret="s"), tmp_path / "a"
    assert Credentials.read(one, tmp_path).keys == {}
    for number, text in enumerate(("first", "second")):
        (folder / f"..{number}").mkdir(parents=True)
        (folder / f"..{number}" / "token").write_text(f"{text}\n")
    (folder / "..data").symlink_to("..0")
    (folder / "token").symlink_to("..data/token")
    assert Credentials.read(one, tmp_path).keys == {"token": "first"}
    (folder / "..data").unlink()
    (folder / "..data").symlink_to("..1")
    assert Credentials.read(one, tmp_path).keys == {"token": "second"}
