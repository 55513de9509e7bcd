"""Checkpoints are for the pods of their own job: every role at every route of the store."""

import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from tests.unit.logbook.support import MASTER, ROOT

from belay_api.job_keys import job_key, prove
from belay_api.names import PROOF_HEADER
from belay_logbook.app import Logbook, make_app
from belay_logbook.auth import MAY, Action, Gate, KeyFile, Role
from belay_logbook.db import Database
from belay_logbook.errors import Unauthorized
from belay_logbook.settings import Settings
from belay_logbook.tokenreview import Account

NAMESPACE = "team-a"
VICTIM, OTHER = "11111111-aaaa", "22222222-bbbb"
OPERATOR = "system:serviceaccount:belay-system:belay-operator"
SERVING = "cartpole-7f3a9c-5d8f7b6c9-x2x9z"


class Tokens:
    """A token is `<namespace>/<pod>`, in place of the API server's word; tests/api/test_logbook_auth.py has that."""

    async def account(self, token: str) -> Account:
        if token == "operator":
            return Account(OPERATOR, None)
        namespace, _, pod = token.partition("/")
        if not namespace:
            raise Unauthorized("unknown")
        return Account(f"system:serviceaccount:{namespace}:default", pod or None)


@dataclass
class Pod:
    """Somebody with a token, and perhaps the key of a job."""

    client: httpx.AsyncClient
    token: str
    uid: str | None = None
    key: bytes | None = None
    clock: timedelta = timedelta(0)

    async def ask(self, method: str, path: str, *, body: bytes = b"", **headers: str) -> httpx.Response:
        path = path if path.startswith("/v1") else f"/v1/namespaces/{NAMESPACE}{path}"
        headers["Authorization"] = f"Bearer {self.token}"
        if self.uid is not None:
            key = self.key or job_key(MASTER, NAMESPACE, self.uid)
            said = b"" if method == "PATCH" else body
            at = datetime.now(UTC) + self.clock
            headers[PROOF_HEADER] = prove(key, uid=self.uid, method=method, path=path, body=said, at=at)
        return await self.client.request(method, path, content=body, headers=headers)

    async def upload(self, data: bytes) -> httpx.Response:
        sizes = {"Upload-Offset": "0", "Upload-Length": str(len(data))}
        return await self.ask("PATCH", f"/blobs/{digest(data)}", body=data, **sizes)

    async def save(self, data: bytes, *, uid: str, step: int = 1) -> httpx.Response:
        body = json.dumps({"step": step, "sha256": digest(data), "size": len(data)}).encode()
        return await self.ask("PUT", f"/checkpoints/{uid}/0/{step}", body=body)

    async def tries(self, uid: str, data: bytes) -> dict[str, int]:
        """What is answered to each way of touching the checkpoints of a job that has saved `data` as step 1."""
        return {
            "list": (await self.ask("GET", f"/checkpoints/{uid}/0")).status_code,
            "read": (await self.ask("GET", f"/blobs/{digest(data)}")).status_code,
            "write": (await self.save(data, uid=uid, step=2)).status_code,
            "replace": (await self.save(data, uid=uid)).status_code,
            "delete": (await self.ask("DELETE", f"/checkpoints/{uid}/0/2")).status_code,
            "append": (await self.ask("POST", f"/journals/{uid}", body=b'{"id": "a", "lines": ["1"]}')).status_code,
            "journal": (await self.ask("GET", f"/journals/{uid}")).status_code,
            "drop": (await self.ask("DELETE", f"/journals/{uid}")).status_code,
        }


ALL = {
    "list": 200, "read": 200, "write": 200, "replace": 200, "delete": 204, "append": 200, "journal": 200, "drop": 204,
}  # fmt: skip
NOTHING = dict.fromkeys(ALL, 403)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class Cast:
    """Everybody who calls."""

    client: httpx.AsyncClient
    logbook: Logbook

    def pod(self, name: str, uid: str | None = None, **more: Any) -> Pod:
        return Pod(self.client, f"{NAMESPACE}/{name}", uid, **more)


@pytest_asyncio.fixture
async def cast(tmp_path: Path) -> AsyncIterator[Cast]:
    database = Database(tmp_path / "logbook.db")
    settings = Settings(
        data=tmp_path, host="127.0.0.1", port=1, master_key=MASTER, api_keys=None, operators=frozenset({OPERATOR}),
        api_server=None, open_to_all=False,
    )  # fmt: skip
    logbook = Logbook(settings, database)
    logbook.gate = Gate(Tokens(), KeyFile(None), settings.operators, master_key=MASTER, open_to_all=False)
    transport = httpx.ASGITransport(make_app(logbook), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://logbook") as client:
        yield Cast(client, logbook)
    database.close()


@pytest_asyncio.fixture
async def victim(cast: Cast) -> Pod:
    """A training pod that has saved a checkpoint."""
    pod = cast.pod("cartpole-a1-0-abcde", VICTIM)
    assert (await pod.upload(b"weights")).status_code == 201
    assert (await pod.save(b"weights", uid=VICTIM)).status_code == 200
    return pod


@pytest.mark.asyncio
async def test_a_pod_of_the_job_may_do_everything_with_its_checkpoints(cast: Cast, victim: Pod) -> None:
    assert await victim.tries(VICTIM, b"weights") == ALL
    another_life = cast.pod("cartpole-a1-0-zzzzz", VICTIM)
    assert await another_life.tries(VICTIM, b"weights") == ALL


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("name", "uid", "more"),
    [
        pytest.param("other-a1-0-abcde", OTHER, {}, id="another job's pod"),
        pytest.param("other-a1-0-abcde", VICTIM, {"key": job_key(MASTER, NAMESPACE, OTHER)}, id="which lies"),
        pytest.param("other-a1-0-abcde", None, {}, id="which shows nothing"),
        pytest.param("cartpole-a1-0-abcde", VICTIM, {"key": job_key(MASTER, "team-b", VICTIM)}, id="another namespace"),
        pytest.param("cartpole-v1a2b3c4d-abcde", OTHER, {}, id="a pod that judges a policy, with the policy's key"),
        pytest.param(SERVING, None, {}, id="a serving pod"),
        pytest.param("", None, {}, id="an account without a pod"),
    ],
)
async def test_nobody_else_of_the_namespace_may(
    cast: Cast, victim: Pod, name: str, uid: str | None, more: dict[str, Any]
) -> None:
    assert await cast.pod(name, uid, **more).tries(VICTIM, b"weights") == NOTHING
    assert await victim.tries(VICTIM, b"weights") == ALL, "and nothing of it has happened"


@pytest.mark.asyncio
async def test_a_key_opens_nothing_in_another_namespace(cast: Cast, victim: Pod) -> None:
    stranger = Pod(cast.client, "team-b/cartpole-a1-0-abcde", VICTIM)
    assert await stranger.tries(VICTIM, b"weights") == NOTHING


@pytest.mark.asyncio
async def test_the_operator_may_everything(cast: Cast, victim: Pod) -> None:
    assert await Pod(cast.client, "operator").tries(VICTIM, b"weights") == ALL


def manifest_of(data: bytes) -> bytes:
    box = {"kind": "box", "shape": [4], "dtype": "float32", "low": [None] * 4, "high": [None] * 4}
    lineage = {"namespace": "n", "trainingJob": "j", "uid": "u", "seed": 0, "step": 1, "configHash": "c"}
    said = {
        "algorithm": "ppo",
        "environment": "CartPole-v1",
        "observation": box,
        "action": {"kind": "discrete", "n": 2},
        "output": "logits",
        "evaluation": {"step": 1, "episodes": 1, "firstSeed": 0, "mean": 1, "std": 0, "min": 1, "max": 1},
        "lineage": lineage,
        "files": [{"path": "policy.onnx", "size": len(data), "sha256": digest(data)}],
    }
    return json.dumps(said).encode()


@pytest.mark.asyncio
async def test_artifacts_are_written_by_training_pods_and_read_by_all(cast: Cast, victim: Pod) -> None:
    manifest, serving = manifest_of(b"onnx"), cast.pod(SERVING)
    for blob in (b"onnx", manifest):
        refused = await serving.upload(blob)
        assert (refused.status_code, PROOF_HEADER in refused.text) == (403, True)
        assert (await victim.upload(blob)).status_code == 201
        assert (await serving.ask("GET", f"/blobs/{digest(blob)}")).content == blob
        assert (await serving.ask("HEAD", f"/blobs/{digest(blob)}")).headers["Content-Length"] == str(len(blob))


@pytest.mark.asyncio
async def test_a_pod_that_judges_a_policy_leaves_a_report_with_the_policys_key(cast: Cast, victim: Pod) -> None:
    """Its uid is an RLPolicy's: nobody has checkpoints under it."""
    name, serving = "cartpole-v1a2b3c4d-abcde", cast.pod(SERVING)
    assert (await victim.upload(b"onnx")).status_code == 201
    judge = cast.pod(name, OTHER)
    assert (await judge.ask("GET", f"/blobs/{digest(b'onnx')}")).content == b"onnx"
    assert (await judge.upload(b"<html>")).status_code == 201
    assert (await serving.ask("GET", f"/blobs/{digest(b'<html>')}")).content == b"<html>"
    assert (await cast.pod(name).upload(b"without a key")).status_code == 403


@pytest.mark.asyncio
async def test_an_artifact_is_not_taken_away_by_calling_it_a_checkpoint(cast: Cast, victim: Pod) -> None:
    """A job may name any blob of the namespace as its checkpoint, and delete that again."""
    manifest, serving = manifest_of(b"onnx"), cast.pod(SERVING)
    for blob in (b"onnx", manifest):
        await victim.upload(blob)
    for blob in (b"onnx", manifest):
        assert (await victim.save(blob, uid=VICTIM, step=7)).status_code == 200
        assert (await serving.ask("GET", f"/blobs/{digest(blob)}")).content == blob
        assert (await victim.ask("DELETE", f"/checkpoints/{VICTIM}/0/7")).status_code == 204
        assert (await serving.ask("GET", f"/blobs/{digest(blob)}")).content == blob


@pytest.mark.asyncio
async def test_pods_of_a_job_made_before_keys_go_on(cast: Cast, capsys: pytest.CaptureFixture[str]) -> None:
    pod = cast.pod("old-a1-12-abcde")
    assert (await pod.upload(b"old")).status_code == 201
    assert (await pod.save(b"old", uid=OTHER)).status_code == 200
    assert await pod.tries(OTHER, b"old") == ALL
    assert capsys.readouterr().out.count(f"old-a1-12-abcde shows no key, so the checkpoints of its job {OTHER}") == 1
    for other in (SERVING, "", "old-a1-abcde", "old-5d8f7b6c9-x2x9z", "old-a1-123456-abcde"):
        assert await cast.pod(other).tries(OTHER, b"old") == NOTHING, "it is not called as pods of such jobs are"


@pytest.mark.asyncio
async def test_the_first_proof_closes_a_job_for_good(cast: Cast, tmp_path: Path) -> None:
    without, with_key = cast.pod("cartpole-a1-0-abcde"), cast.pod("cartpole-a1-0-abcde", VICTIM)
    assert (await without.ask("GET", f"/checkpoints/{VICTIM}/0")).status_code == 200
    assert (await with_key.ask("GET", f"/checkpoints/{VICTIM}/0")).status_code == 200
    refused = await without.ask("GET", f"/checkpoints/{VICTIM}/0")
    assert (refused.status_code, "runtime.image" in refused.text) == (403, True)

    cast.logbook.jobs = type(cast.logbook.jobs)(cast.logbook.database)  # the next process of the logbook
    assert (await without.ask("GET", f"/checkpoints/{VICTIM}/0")).status_code == 403


@pytest.mark.asyncio
async def test_a_proof_is_good_for_one_request_and_for_minutes(cast: Cast, victim: Pod) -> None:
    path = f"/v1/namespaces/{NAMESPACE}/checkpoints/{VICTIM}/0/1"
    heard = prove(
        job_key(MASTER, NAMESPACE, VICTIM), uid=VICTIM, method="GET", path=path[:-2], body=b"", at=datetime.now(UTC)
    )
    headers = {"Authorization": f"Bearer {victim.token}", PROOF_HEADER: heard}
    assert (await cast.client.request("GET", path[:-2], headers=headers)).status_code == 200
    assert (await cast.client.request("DELETE", path, headers=headers)).status_code == 403
    assert (await cast.client.request("GET", path[:-2].replace("/0", "/1"), headers=headers)).status_code == 403

    late = cast.pod("cartpole-a1-0-abcde", VICTIM, clock=-timedelta(minutes=6))
    answer = await late.ask("GET", f"/checkpoints/{VICTIM}/0")
    assert (answer.status_code, "clock" in answer.text) == (401, True), "waited for: a clock can be set"


@pytest.mark.asyncio
async def test_a_proof_is_good_for_one_body(cast: Cast, victim: Pod) -> None:
    path = f"/v1/namespaces/{NAMESPACE}/checkpoints/{VICTIM}/0/1"
    sent = json.dumps({"step": 1, "sha256": digest(b"weights"), "size": 7}).encode()
    key = job_key(MASTER, NAMESPACE, VICTIM)
    heard = prove(key, uid=VICTIM, method="PUT", path=path, body=sent, at=datetime.now(UTC))
    headers = {"Authorization": f"Bearer {victim.token}", PROOF_HEADER: heard}
    assert (await cast.client.put(path, content=sent, headers=headers)).status_code == 200
    assert (await cast.client.put(path, content=sent + b" ", headers=headers)).status_code == 403


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "proof", ["", "v1", "v1.e30.", "v1.bnVsbA.x", "v2.WyJ1IiwwLCIiXQ.x", "v1.WyLtoIAiLDAsIiJd.x", "\u00e9"]
)
async def test_a_malformed_proof_is_refused(cast: Cast, proof: str) -> None:
    headers = {"Authorization": f"Bearer {NAMESPACE}/cartpole-a1-0-abcde", PROOF_HEADER: proof.encode("latin-1")}
    answer = await cast.client.get(f"/v1/namespaces/{NAMESPACE}/checkpoints/{VICTIM}/0", headers=headers)
    assert answer.status_code == 403
    assert PROOF_HEADER in answer.json()["error"]["message"]


@pytest.mark.asyncio
async def test_a_person_brings_a_policy_to_their_own_namespace_and_a_serving_pod_does_not(cast: Cast) -> None:
    assert (await cast.pod("").upload(b"policy")).status_code == 201
    assert (await cast.pod(SERVING).ask("GET", f"/blobs/{digest(b'policy')}")).content == b"policy"
    assert (await cast.pod(SERVING).upload(b"another")).status_code == 403
    stranger = Pod(cast.client, "team-b/")
    assert (await stranger.upload(b"another")).status_code == 403
    assert (await stranger.ask("GET", f"/blobs/{digest(b'policy')}")).status_code == 403


@pytest.mark.asyncio
async def test_progress_is_told_by_the_jobs_own_pods(cast: Cast, victim: Pod) -> None:
    def beat(uid: str) -> bytes:
        item = {"job": "cartpole", "uid": uid, "index": 0, "seed": 0, "step": 1, "total": 2}
        return json.dumps({"items": [item]}).encode()

    assert (await victim.ask("POST", "/progress", body=beat(VICTIM))).status_code == 200
    for who in (cast.pod("other-a1-0-abcde", OTHER), cast.pod("other-a1-0-abcde"), cast.pod(SERVING)):
        assert (await who.ask("POST", "/progress", body=beat(VICTIM))).status_code == 403
    assert (await cast.pod("old-a1-0-abcde").ask("POST", "/progress", body=beat("old"))).status_code == 200


def test_the_table_in_the_docs_is_what_roles_may() -> None:
    columns = (
        {Action.OUTCOMES, Action.STATISTICS},
        {Action.STARTS, Action.SHADOWS, Action.ARTIFACTS, Action.CURVES},
        {Action.UPLOAD},
        {Action.PROGRESS, Action.CHECKPOINTS, Action.JOURNALS},
    )
    assert set().union(*columns) == set(Action) - {Action.READ_ALL, Action.FORGET}  # the operator alone
    text = (ROOT / "docs" / "reference" / "logbook-api.md").read_text()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:2] == "| "]
    told = {row[0].partition(":")[0]: row[2:] for row in rows if len(row) == 2 + len(columns)}
    for role in set(Role) - {Role.LOCAL}:
        for cell, actions in zip(told[role.value], columns, strict=True):
            assert actions & MAY[role] == (actions if cell else set()), f"{role}: {cell!r} for {sorted(actions)}"
    assert not any(told["anybody"])


@pytest.mark.asyncio
async def test_what_a_deleted_job_left_goes_and_nothing_else(cast: Cast, victim: Pod) -> None:
    operator, other = Pod(cast.client, "operator"), cast.pod("other-a1-0-abcde", OTHER)
    await victim.ask("POST", f"/journals/{VICTIM}", body=b'{"id": "a", "lines": ["1"]}')
    beat = {"job": "cartpole", "uid": VICTIM, "index": 0, "seed": 0, "step": 5, "total": 9, "metrics": {"loss": 1.0}}
    await victim.ask("POST", "/progress", body=json.dumps({"items": [beat]}).encode())
    for data, step in ((b"shared", 2), (b"more", 3)):
        await victim.upload(data)
        await victim.save(data, uid=VICTIM, step=step)
    await other.upload(b"shared")
    await other.save(b"shared", uid=OTHER)
    assert await _kept(operator) == [VICTIM, OTHER]

    for _ in range(2):  # who asks again, because an answer was lost, is not refused
        assert (await operator.ask("DELETE", f"/jobs/{VICTIM}")).status_code == 204
    assert await _kept(operator) == [OTHER]
    assert (await operator.ask("GET", f"/checkpoints/{VICTIM}/0")).json() == {"items": []}
    assert (await operator.ask("GET", f"/journals/{VICTIM}")).json()["end"] == 0
    assert (await operator.ask("GET", "/v1/progress")).json()["items"] == []
    assert (await operator.ask("GET", f"/curves/{VICTIM}?metric=loss")).json()["items"], "curves are a record"
    for data in (b"weights", b"more"):
        assert (await operator.ask("GET", f"/blobs/{digest(data)}")).status_code == 404
    assert (await other.ask("GET", f"/blobs/{digest(b'shared')}")).content == b"shared"


@pytest.mark.asyncio
async def test_only_the_operator_knows_of_all_jobs_and_removes_one(cast: Cast, victim: Pod) -> None:
    for somebody in (victim, cast.pod(SERVING), Pod(cast.client, NAMESPACE)):
        assert (await somebody.ask("GET", "/v1/jobs")).status_code == 403
        assert (await somebody.ask("DELETE", f"/jobs/{VICTIM}")).status_code == 403
    assert len((await victim.ask("GET", f"/checkpoints/{VICTIM}/0")).json()["items"]) == 1


async def _kept(operator: Pod) -> list[str]:
    return [one["uid"] for one in (await operator.ask("GET", "/v1/jobs")).json()["items"]]
