"""What each receiver is sent; signatures are held against other people's numbers and code."""

import base64
import json
import subprocess
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.unit.notify.given import NOW, ago, alarm, ended, ready, rollout

from belay_operator.notify.formats import WRITES
from belay_operator.notify.formats.request import Incomplete, Request
from belay_operator.notify.ledger import Ledger
from belay_operator.notify.receivers import Credentials, Format, Receiver
from belay_operator.notify.signing import BadKey, keys_of, signed

NAME = ("RLRollout", "default", "cartpole")
KEY = base64.b64encode(b"k" * 32).decode()


def events(*bodies: Any) -> list[dict[str, Any]]:
    ledger = Ledger([], datetime(2026, 1, 1, tzinfo=UTC))
    return [event for body in bodies for event in ledger.take_up(NAME, body, NOW)]


def written(form: str, event: dict[str, Any], **keys: str) -> Request:
    receiver = Receiver(name="r", format=form, url="https://r.example.com/in", secret="s")  # type: ignore[arg-type]
    return WRITES[Format(form)](event, receiver, Credentials(keys), NOW)


def test_every_format_is_written() -> None:
    assert set(WRITES) == set(Format)


def test_an_event_is_a_cloud_event() -> None:
    (_, event) = events(rollout(history=[ended("b", "RolledBack", started=ago(60), at=ago(10))]))
    request = written("cloudevents", event, token="t")
    said = json.loads(request.body)
    assert {name: said[name] for name in ("specversion", "source", "type", "subject", "time", "datacontenttype")} == {
        "specversion": "1.0",
        "source": "/apis/belay.dev/v1alpha1/namespaces/default/rlrollouts/cartpole",
        "type": "dev.belay.rollout.rolled_back",
        "subject": "default/cartpole",
        "time": ago(10),
        "datacontenttype": "application/json",
    }
    assert said["id"] == event["id"]
    assert "." not in said["id"], "what is signed is joined by dots"
    assert said["data"]["message"] == "b was taken back: return: 430 < 480"
    assert said["data"]["policy"] == "b"
    assert request.headers == {
        "Content-Type": "application/cloudevents+json; charset=utf-8",
        "Authorization": "Bearer t",
    }


def test_a_signature_is_the_one_of_standard_webhooks() -> None:
    """The numbers of its own libraries' tests."""
    body, at = b'{"test": 2432232314}', datetime.fromtimestamp(1614265330, UTC)
    headers = signed("msg_p5jXN8AQM9LWM0D4loKWxJek", body, keys_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), at)
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def by_openssl(key: bytes, content: bytes) -> str:
    command = ["openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{key.hex()}", "-binary"]
    return base64.b64encode(subprocess.run(command, input=content, capture_output=True, check=True).stdout).decode()


def test_while_a_key_is_exchanged_both_sign() -> None:
    (event,) = events(rollout(conditions=[ready("Holding")]))
    other = base64.b64encode(b"q" * 24).decode()
    request = written("cloudevents", event, **{"signing-key": f"whsec_{KEY}\n{other}"})
    content = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.body
    assert request.headers["webhook-signature"].split(" ") == [
        f"v1,{by_openssl(b'k' * 32, content)}",
        f"v1,{by_openssl(b'q' * 24, content)}",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "is empty"), ("whsec_***", "no base64"), (base64.b64encode(b"short").decode(), "5 bytes, wanted 24 to 64")],
)
def test_a_key_that_is_none_is_named(text: str, words: str) -> None:
    with pytest.raises(BadKey, match=words):
        keys_of(text)
    (event,) = events(rollout(conditions=[ready("Holding")]))
    with pytest.raises(Incomplete, match=f"Secret s: .*{words}"):
        written("cloudevents", event, **{"signing-key": text})


def test_slack_is_told_in_its_own_words() -> None:
    began, over = events(
        rollout(conditions=[ready("Holding", "return: <no answer> & no end")]),
        rollout(conditions=[ready("Healthy", "b serves all traffic", true=True)]),
    )
    assert json.loads(written("slack", began).body) == {
        "text": ":large_orange_circle: *Holding* RLRollout `default/cartpole`\nreturn: &lt;no answer&gt; &amp; no end"
    }
    assert json.loads(written("slack", over).body) == {
        "text": ":white_check_mark: *Holding is over* RLRollout `default/cartpole`\nnow Healthy: b serves all traffic"
    }


def test_a_situation_opens_one_alert_of_pagerduty_and_its_end_resolves_it() -> None:
    worse = [alarm("Degraded", "StableWorse")]
    began, changed, over = (
        json.loads(written("pagerduty", event, **{"routing-key": "R" * 32}).body)
        for event in events(
            rollout(conditions=worse), rollout(conditions=[{**worse[0], "message": "another"}]), rollout(conditions=[])
        )
    )
    assert [one["event_action"] for one in (began, changed, over)] == ["trigger", "trigger", "resolve"]
    assert {one["dedup_key"] for one in (began, changed, over)} == {"uid-1/StableWorse"}
    assert began["routing_key"] == "R" * 32
    assert began["payload"]["severity"] == "error"
    assert began["payload"]["summary"] == "StableWorse RLRollout default/cartpole: so it is"


def test_what_happened_is_an_alert_of_its_own_however_often_it_comes() -> None:
    history = [ended("b", "RolledBack", started=ago(60), at=ago(10))]
    (_, first), (_, again) = events(rollout(history=history)), events(rollout(history=history))
    keys = [json.loads(written("pagerduty", one, **{"routing-key": "R"}).body)["dedup_key"] for one in (first, again)]
    assert keys == [first["id"], first["id"]]


def test_what_a_secret_lacks_is_named() -> None:
    (event,) = events(rollout(conditions=[ready("Holding")]))
    bare = Receiver(name="r", format="slack", secret="s")  # type: ignore[arg-type]
    with pytest.raises(Incomplete, match="Secret s is not there, or has no key url"):
        WRITES[Format.SLACK](event, bare, Credentials({}), NOW)
    with pytest.raises(Incomplete, match="key url of Secret s is no http"):
        WRITES[Format.SLACK](event, bare, Credentials({"url": "hooks.example.com"}), NOW)
    with pytest.raises(Incomplete, match="no key routing-key"):
        written("pagerduty", event)
