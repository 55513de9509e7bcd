"""The notifier against receivers on loopback: what arrives, how often, after which crash, and whom it holds up."""

import asyncio
import base64
import hashlib
import hmac
import logging
import ssl
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from tests.unit.notify.given import NOW, ago, ended, ready, rollout, version
from tests.unit.notify.receiver import HANG, QUICK, SYSTEM, Cluster, Listener, cluster, listening, notifying
from tests.world import World

from belay_operator.engine.metrics import REGISTRY
from belay_operator.notify.delivery import End, send
from belay_operator.notify.notifier import TRIES, Timing
from belay_operator.notify.receivers import Receiver

pytestmark = pytest.mark.asyncio
BEGUN = rollout(candidate=version("b", ago(-600)))
"""Told by any notifier: its instant is after the start of each."""


def hook(listener: Listener, name: str = "hook", **more: Any) -> Receiver:
    return Receiver(name=name, url=listener.url, **more)


def count(result: str, receiver: str = "hook") -> float:
    return REGISTRY.get_sample_value("belay_notifications_total", {"receiver": receiver, "result": result}) or 0.0


async def settled(context: Cluster) -> None:
    """Wait until nothing waits any more, as far as is written down."""
    await context.until(lambda: all(not queue for queue in context.ledger["waiting"].values()))


def promotions(numbers: Iterable[int]) -> list[dict[str, Any]]:
    return [
        rollout(f"r{number}", f"uid-{number}", history=[ended("b", "Promoted", started=ago(600), at=ago(-600))])
        for number in numbers
    ]


async def test_what_is_new_arrives_once_signed_and_in_order(tmp_path: Path) -> None:
    (tmp_path / "hook").mkdir()
    key = b"0" * 32
    (tmp_path / "hook" / "signing-key").write_text(f"whsec_{base64.b64encode(key).decode()}\n")
    async with listening() as listener, cluster(World([BEGUN])) as context:
        async with notifying(context, hook(listener, secret="s"), folder=tmp_path):
            await listener.until(lambda: listener.told == ["RolloutStarted"])
            context.put({**BEGUN, "status": {**BEGUN["status"], "conditions": [ready("ApprovalNeeded")]}})
            await listener.until(lambda: len(listener.requests) == 2)
            await settled(context)
        assert listener.told == ["RolloutStarted", "ApprovalNeeded"]
        for headers, body in listener.requests:
            content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
            signature = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
            assert headers["webhook-signature"] == f"v1,{signature}"
        assert [headers["webhook-id"] for headers, _ in listener.requests] == [one["id"] for one in listener.events]


@pytest.mark.parametrize("answers", [(500,), (503, 503), (404,), (429,), (401, 403), (302,)])
async def test_a_receiver_that_is_not_well_is_asked_again_with_the_same_event(answers: tuple[int, ...]) -> None:
    failed = count("failed")
    async with listening(*answers) as listener, cluster(World([BEGUN])) as context, notifying(context, hook(listener)):
        await listener.until(lambda: len(listener.requests) == len(answers) + 1)
        await settled(context)
    assert (
        len(
            {
                headers.get("webhook-id", event["id"])
                for (headers, _), event in zip(listener.requests, listener.events, strict=True)
            }
        )
        == 1
    )
    assert len({body for _, body in listener.requests}) == 1
    assert count("failed") - failed == len(answers)


async def test_an_event_that_is_called_wrong_is_given_up_and_the_next_one_goes_out() -> None:
    refused, sent = count("refused"), count("sent")
    both = rollout(candidate=version("b", ago(-600)), conditions=[ready("Holding")])
    async with listening(400) as listener, cluster(World([both])) as context, notifying(context, hook(listener)):
        await listener.until(lambda: listener.told == ["RolloutStarted", "Holding"])
        await settled(context)
    assert (count("refused") - refused, count("sent") - sent) == (1, 1)


async def test_an_event_that_a_receiver_chokes_on_does_not_hold_up_the_others_for_ever() -> None:
    both = rollout(candidate=version("b", ago(-600)), conditions=[ready("Holding")])
    async with (
        listening(*[500] * TRIES) as listener,
        cluster(World([both])) as context,
        notifying(context, hook(listener)),
    ):
        await listener.until(lambda: "Holding" in listener.told)
    assert listener.told == ["RolloutStarted"] * TRIES + ["Holding"]


async def test_who_asks_to_be_left_alone_is() -> None:
    """By both forms of the header; a wish beyond reason is not heard."""
    event = {"id": "e", "data": {}}
    far = (datetime.now(UTC) + timedelta(seconds=100)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    answers = [
        (429, {"Retry-After": "7"}),
        (503, {"Retry-After": far}),
        (503, {"Retry-After": "99999999"}),
        (503, {"Retry-After": "soon"}),
    ]
    async with listening(*answers) as listener, cluster(World()) as context:
        tries = [await send(context.http, hook(listener), event, datetime.now(UTC), Path("/nowhere")) for _ in answers]
    assert all(one.end is End.DOWN for one in tries)
    asked = [one.retry_after for one in tries]
    assert asked[0] == timedelta(seconds=7)
    assert timedelta(seconds=90) < asked[1] <= timedelta(seconds=100)
    assert asked[2:] == [timedelta(hours=1), timedelta()]


async def test_killed_between_the_decision_and_the_delivery_the_next_operator_tells_the_same_event() -> None:
    async with listening(HANG) as listener, cluster(World([BEGUN])) as context:
        async with notifying(context, hook(listener)):
            await listener.until(lambda: len(listener.requests) == 1)
        assert len(context.ledger["waiting"]["hook"]) == 1
        async with notifying(context, hook(listener)):
            await listener.until(lambda: len(listener.requests) == 2)
            await settled(context)
    assert listener.events[0] == listener.events[1]


async def test_killed_before_the_ledger_was_written_nothing_was_sent_and_the_next_operator_tells_it() -> None:
    """A receiver that comes back meanwhile is sent what is written down, and no more."""
    holding, sent = rollout("r", "uid-9", conditions=[ready("Holding")]), count("sent")
    async with listening(*[503] * 10_000) as listener, cluster(World([holding])) as context:
        async with notifying(context, hook(listener)):
            await listener.until(lambda: listener.requests)
            context.away = True
            context.put(BEGUN)
            await context.until(lambda: context.refused)
            listener.answers.clear()
            while count("sent") == sent:  # noqa: ASYNC110 metrics wake nobody
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.2)  # for what must not come
        assert set(listener.told) == {"Holding"}, "a situation would come again under another id"
        context.away = False
        async with notifying(context, hook(listener)):
            await listener.until(lambda: "RolloutStarted" in listener.told)


async def test_killed_after_the_delivery_and_before_it_was_recorded_the_same_id_comes_again() -> None:
    async with listening() as listener, cluster(World([BEGUN])) as context:
        slow = Timing(QUICK.first, QUICK.longest, between_writes=timedelta(minutes=1))
        async with notifying(context, hook(listener), timing=slow):
            await listener.until(lambda: len(listener.requests) == 1)
        async with notifying(context, hook(listener)):
            await listener.until(lambda: len(listener.requests) == 2)
            await settled(context)
        async with notifying(context, hook(listener)):
            context.put(rollout("other", "uid-9", conditions=[ready("Holding")]))
            await listener.until(lambda: len(listener.requests) == 3)
    assert listener.events[0]["id"] == listener.events[1]["id"]
    assert listener.told[2] == "Holding", "and not a third time"


async def test_what_ended_while_no_operator_ran_is_told() -> None:
    async with listening() as listener, cluster(World([rollout(conditions=[ready("ApprovalNeeded")])])) as context:
        async with notifying(context, hook(listener)):
            await listener.until(lambda: listener.told == ["ApprovalNeeded"])
            await settled(context)
        context.remove("RLRollout", "cartpole")
        async with notifying(context, hook(listener)):
            await listener.until(lambda: len(listener.requests) == 2)
    assert listener.events[1]["type"] == "dev.belay.rollout.approval_needed.ended"


async def test_a_receiver_that_hangs_holds_up_neither_the_others_nor_what_is_taken_up() -> None:
    """By order and not by time: everything else is through while the first request still hangs."""
    both = listening(HANG), listening()
    async with both[0] as hanging, both[1] as quick, cluster(World([BEGUN])) as context:
        receivers = hook(hanging, "hanging"), hook(quick, "quick")
        async with notifying(context, *receivers):
            await hanging.until(lambda: hanging.requests)
            for body in promotions(range(50)):
                context.put(body)
            await quick.until(lambda: len(quick.requests) == 51)
            await context.until(lambda: not context.ledger["waiting"]["quick"])
            assert len(hanging.requests) == 1
            assert len(context.ledger["waiting"]["hanging"]) == 51
    assert len({event["id"] for event in quick.events}) == 51


async def test_nobody_at_an_address_is_one_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """And the address, which may be a secret, stands in none."""
    async with listening() as listener:
        gone = Receiver(name="hook", url=f"{listener.url}/secret")
    with caplog.at_level(logging.INFO, logger="belay_operator.notify"):
        failed = count("failed")
        async with cluster(World([BEGUN])) as context, notifying(context, gone):
            while count("failed") - failed < 4:  # noqa: ASYNC110 metrics wake nobody
                await asyncio.sleep(0.01)
    said = [record.getMessage() for record in caplog.records if "cannot be notified" in record.getMessage()]
    assert len(said) == 1
    assert "/secret" not in caplog.text


async def test_a_secret_that_is_missing_is_said_once_and_counts_once_it_is_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with listening() as listener, cluster(World([BEGUN])) as context:
        failed = count("failed")
        async with notifying(context, Receiver(name="hook", secret="chat"), folder=tmp_path):
            while count("failed") - failed < 2:  # noqa: ASYNC110 metrics wake nobody
                await asyncio.sleep(0.01)
            (tmp_path / "hook").mkdir()
            (tmp_path / "hook" / "url").write_text(listener.url)
            await listener.until(lambda: listener.told == ["RolloutStarted"])
    assert caplog.text.count("Secret chat is not there, or has no key url") == 1


async def test_what_is_older_than_a_day_is_given_up() -> None:
    expired = count("expired")
    async with listening(HANG) as listener, cluster(World([BEGUN])) as context:
        async with notifying(context, hook(listener)):
            await listener.until(lambda: listener.requests)
        context.now = lambda: NOW + timedelta(days=1, hours=1)  # type: ignore[method-assign]
        async with notifying(context, hook(listener)):
            await settled(context)
    assert len(listener.requests) == 1
    assert count("expired") - expired == 1


async def test_a_ledger_that_somebody_spoilt_is_begun_anew_and_said(caplog: pytest.LogCaptureFixture) -> None:
    spoilt = {
        "kind": "ConfigMap",
        "metadata": {"namespace": SYSTEM, "name": "belay-notifications"},
        "data": {"ledger.json": "{"},
    }
    async with (
        listening() as listener,
        cluster(World([spoilt, rollout(conditions=[ready("Holding")])])) as context,
        notifying(context, hook(listener)),
    ):
        await listener.until(lambda: listener.told == ["Holding"])
    assert "ConfigMap belay-notifications cannot be read" in caplog.text


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    made = tmp_path / "c.pem", tmp_path / "k.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-out", str(made[0]), "-keyout", str(made[1])]
    subprocess.run(command, check=True, capture_output=True)
    return made


async def test_a_receiver_of_an_own_authority_is_trusted_by_its_certificate_and_by_no_other(
    tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(*certificate)
    listener, app = Listener(), web.Application()
    app.router.add_post("/hook", listener.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=serving).start()
    receiver = Receiver(name="hook", url=f"https://localhost:{runner.addresses[0][1]}/hook", secret="s")
    (tmp_path / "hook").mkdir()
    try:
        async with cluster(World()) as context:
            event, now = {"id": "e", "data": {}}, datetime.now(UTC)
            assert (await send(context.http, receiver, event, now, tmp_path)).end is End.DOWN
            (tmp_path / "hook" / "ca.crt").write_text("no certificate")
            refused = await send(context.http, receiver, event, now, tmp_path)
            assert "key ca.crt of Secret s is no certificate" in refused.words
            (tmp_path / "hook" / "ca.crt").write_text(certificate[0].read_text())
            assert (await send(context.http, receiver, event, now, tmp_path)).end is End.SENT
    finally:
        await runner.cleanup()
