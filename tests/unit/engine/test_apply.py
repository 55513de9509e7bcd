"""How a plan is carried out when a call fails, and what is remembered of it; the rest is in `tests/api/engine`."""

import copy
from collections.abc import Mapping
from typing import Any

import pytest

from belay_operator.engine.apply import Executor
from belay_operator.engine.blocked import BlockedChildren
from belay_operator.engine.cache import Cache
from belay_operator.engine.errors import ApiError, Conflict, error_of
from belay_operator.engine.plan import Note, Plan, Ref

OWNER = {"apiVersion": "belay.dev/v1alpha1", "kind": "RLRollout", "name": "r", "uid": "u", "controller": True}
TOLD = Note("RollbackStarted", "b is withdrawn", warning=True)


class Server:
    """Objects in a dict, behind the few calls an executor makes; `fails`: errors by method and, for an apply, kind."""

    def __init__(self) -> None:
        self.version = 1
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.fails: dict[str, ApiError] = {}
        self.calls: list[tuple[str, bool]] = []  # method, urgent

    def put(self, obj: Mapping[str, Any]) -> dict[str, Any]:
        self.version += 1
        meta = {"namespace": "ns", "uid": f"uid-{self.version}", "generation": 1, **obj["metadata"]}
        made = {**copy.deepcopy(dict(obj)), "metadata": {**meta, "resourceVersion": str(self.version)}}
        self.objects[made["kind"], made["metadata"]["name"]] = made
        return made

    def _called(self, method: str, urgent: bool, what: str = "") -> None:
        self.calls.append((method, urgent))
        for key in (method, what):
            if key in self.fails:
                raise self.fails[key]

    async def get(self, kind: str, namespace: str, name: str, *, urgent: bool = False) -> dict[str, Any] | None:
        self._called("get", urgent)
        return self.objects.get((kind, name))

    async def apply(self, manifest: Mapping[str, Any], *, urgent: bool = False) -> dict[str, Any]:
        self._called("apply", urgent, f"apply {manifest['kind']}")
        return self.put(manifest)

    async def create(self, manifest: Mapping[str, Any], *, urgent: bool = False) -> dict[str, Any]:
        self._called("create", urgent)
        if (manifest["kind"], manifest["metadata"]["name"]) in self.objects:
            raise Conflict("POST x", code=409, reason="AlreadyExists", message="")
        return self.put(manifest)

    async def replace_status(self, obj: Mapping[str, Any], status: Mapping[str, Any], *, urgent: bool) -> Any:
        self._called("status", urgent)
        return self.put({**obj, "status": status})

    async def delete(self, kind: str, namespace: str, name: str, *, uid: str, urgent: bool = False) -> None:
        self._called("delete", urgent)
        del self.objects[kind, name]


class Told:
    """Remembers what was told instead of posting it."""

    def __init__(self) -> None:
        self.notes: list[Note] = []

    def tell(self, obj: Mapping[str, Any], note: Note) -> None:
        self.notes.append(note)


def world() -> tuple[Server, Cache, Told, Executor, dict[str, Any]]:
    server, cache, told = Server(), Cache(), Told()
    meta = {"name": "r", "uid": "u"}
    rollout = server.put({"apiVersion": "belay.dev/v1alpha1", "kind": "RLRollout", "metadata": meta})
    cache.put("RLRollout", rollout)
    return server, cache, told, Executor(server, cache, told), rollout  # type: ignore[arg-type]


def child(kind: str, name: str) -> dict[str, Any]:
    meta = {"name": name, "namespace": "ns", "ownerReferences": [OWNER]}
    return {"apiVersion": "v1", "kind": kind, "metadata": meta, "spec": {"a": 1}}


def refusal(code: int, **more: Any) -> ApiError:
    return error_of("PATCH x", code, "Reason", "exceeded quota", **more)


@pytest.mark.asyncio
async def test_what_a_status_records_is_told_even_when_a_later_write_fails() -> None:
    """The next pass finds it recorded and has no reason to tell it again."""
    server, _, told, executor, rollout = world()
    server.fails["apply"] = refusal(503)
    plan = Plan(status={"rollback": {}}, apply=(child("HTTPRoute", "r"),), events=(TOLD,))
    with pytest.raises(ApiError):
        await executor.execute(rollout, plan)
    assert told.notes == [TOLD]


@pytest.mark.asyncio
async def test_what_is_not_recorded_is_not_told() -> None:
    server, _, told, executor, rollout = world()
    server.fails["status"] = refusal(503)
    with pytest.raises(ApiError):
        await executor.execute(rollout, Plan(status={"rollback": {}}, events=(TOLD,)))
    assert told.notes == []


def ready(status: str, at: str = "2026-05-04T10:00:00Z") -> dict[str, Any]:
    return {"type": "Ready", "status": status, "reason": "Healthy", "message": "", "lastTransitionTime": at}


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("error", "blocked"),
    [
        pytest.param(refusal(422), True, id="not valid"),
        pytest.param(refusal(403), True, id="a quota or a policy of the cluster"),
        pytest.param(refusal(403, causes=["NamespaceTerminating"]), False, id="the namespace is going"),
        pytest.param(refusal(503), False, id="the API server is overloaded"),
    ],
)
async def test_a_child_that_is_refused_is_said_and_stops_nothing_else(error: ApiError, blocked: bool) -> None:
    server, _, told, executor, rollout = world()
    server.fails["apply Service"] = error
    gone = server.put(child("HTTPRoute", "old"))
    old = Ref("gateway.networking.k8s.io/v1", "HTTPRoute", "ns", "old", gone["metadata"]["uid"])
    plan = Plan(
        status={"phase": "Healthy", "conditions": [ready("True")]},
        apply=(child("Service", "s"), child("HTTPRoute", "r")),
        delete=(old,),
    )
    with pytest.raises(BlockedChildren if blocked else type(error)):
        await executor.execute(rollout, plan)
    assert [note.reason for note in told.notes] == ["ChildRefused"] * blocked
    status = server.objects["RLRollout", "r"]["status"]
    assert (status["phase"], status["conditions"][0]["status"]) == ("Healthy", "False" if blocked else "True")
    assert (("HTTPRoute", "r") in server.objects, ("HTTPRoute", "old") in server.objects) == (blocked, not blocked)
    if blocked:
        assert status["conditions"][0]["reason"] == "ChildRefused"
        assert "Service s, which stays as it is: exceeded quota" in status["conditions"][0]["message"]


@pytest.mark.asyncio
@pytest.mark.parametrize("restarted", [False, True])
async def test_a_child_that_is_refused_again_writes_and_tells_nothing(restarted: bool) -> None:
    """The decision says Ready in each pass: two statuses in turn would be writes without end."""
    server, cache, told, executor, rollout = world()
    server.fails["apply"] = refusal(422)
    for minute in range(5):
        at = f"2026-05-04T10:0{minute}:00Z"
        plan = Plan(status={"conditions": [ready("True", at)]}, apply=(child("Service", "s"),))
        with pytest.raises(BlockedChildren):
            await executor.execute(cache.get("RLRollout", "ns", "r") or rollout, plan)
        if restarted:
            executor = Executor(server, cache, told)  # type: ignore[arg-type]
    assert [method for method, _ in server.calls].count("status") == 2
    assert len(told.notes) == 1

    del server.fails["apply"]
    await executor.execute(cache.get("RLRollout", "ns", "r") or rollout, plan)
    assert server.objects["RLRollout", "r"]["status"] == plan.status, "the condition goes with its cause"
    assert [method for method, _ in server.calls].count("status") == 3


@pytest.mark.asyncio
async def test_new_words_of_the_api_server_are_said_once() -> None:
    server, cache, told, executor, rollout = world()
    plan = Plan(status={"conditions": [ready("True")]}, apply=(child("Service", "s"),))
    for words in ("exceeded quota", "exceeded quota", "denied by policy", "denied by policy"):
        server.fails["apply"] = error_of("PATCH x", 403, "Forbidden", words)
        with pytest.raises(BlockedChildren):
            await executor.execute(cache.get("RLRollout", "ns", "r") or rollout, plan)
    assert [method for method, _ in server.calls].count("status") == 3
    assert ["denied" in note.message for note in told.notes] == [False, True]


@pytest.mark.asyncio
async def test_an_intent_is_written_before_anybody_is_asked_who_has_a_childs_name() -> None:
    server, _, _, executor, rollout = world()
    await executor.execute(rollout, Plan(status={"rollback": {}}, apply=(child("HTTPRoute", "r"),)), urgent=True)
    assert [method for method, _ in server.calls] == ["status", "get", "apply"]


@pytest.mark.asyncio
async def test_a_child_of_somebody_else_is_left_alone_and_said_once() -> None:
    server, cache, told, executor, rollout = world()
    theirs = server.put({**child("Service", "s"), "metadata": {"name": "s", "namespace": "ns"}})
    plan = Plan(status={"conditions": [ready("True")]}, apply=(child("Service", "s"), child("HTTPRoute", "r")))
    for _ in range(3):
        with pytest.raises(BlockedChildren, match="Service s exists"):
            await executor.execute(cache.get("RLRollout", "ns", "r") or rollout, plan)
    assert server.objects["Service", "s"] == theirs
    assert ("HTTPRoute", "r") in server.objects
    assert server.objects["RLRollout", "r"]["status"]["conditions"][0]["reason"] == "ChildConflict"
    assert [method for method, _ in server.calls].count("status") == 2
    assert told.notes == []


@pytest.mark.asyncio
async def test_no_call_of_an_urgent_pass_waits_for_the_rate_limit() -> None:
    server, cache, _, executor, rollout = world()
    live = server.put(child("HTTPRoute", "old"))
    gone = Ref("gateway.networking.k8s.io/v1", "HTTPRoute", "ns", "old", live["metadata"]["uid"])
    plan = Plan(status={"a": 1}, apply=(child("HTTPRoute", "r"), child("Secret", "s")), delete=(gone,))
    assert await executor.execute(rollout, plan, urgent=True) == 4
    server.fails["status"] = Conflict("PUT r", code=409, reason="Conflict", message="")
    server.objects["RLRollout", "r"]["metadata"]["resourceVersion"] = "100"
    with pytest.raises(Conflict):
        await executor.execute(rollout, Plan(status={"a": 2}), urgent=True)
    assert cache.version("RLRollout", "ns", "r") == 100, "the next decision is made on what is there"
    assert {method for method, _ in server.calls} == {"get", "apply", "status", "delete"}
    assert [call for call in server.calls if not call[1]] == []


@pytest.mark.asyncio
async def test_a_child_that_is_no_longer_the_version_looked_at_is_looked_at_again() -> None:
    server, cache, _, executor, rollout = world()
    cache.put("HTTPRoute", server.put(child("HTTPRoute", "r")))
    server.put(child("HTTPRoute", "r"))
    server.fails["apply HTTPRoute"] = Conflict("PATCH r", code=409, reason="Conflict", message="")
    with pytest.raises(Conflict):
        await executor.execute(rollout, Plan(apply=(child("HTTPRoute", "r"),)))
    assert cache.version("HTTPRoute", "ns", "r") == server.version


@pytest.mark.asyncio
async def test_what_is_created_is_neither_read_nor_changed_and_comes_before_what_is_applied() -> None:
    """Who may create Secrets and read none asks for no more than that."""
    server, _, _, executor, rollout = world()
    plan = Plan(create=(child("Secret", "s"),), apply=(child("ConfigMap", "c"),))
    assert await executor.execute(rollout, plan) == 2
    made = server.objects["Secret", "s"]
    assert await executor.execute(rollout, plan) == 0, "it is believed to be there"
    await Executor(server, Cache(), Told()).execute(rollout, plan)  # type: ignore[arg-type]
    assert server.objects["Secret", "s"] is made, "another process finds it made"
    assert [method for method, _ in server.calls][:3] == ["create", "get", "apply"]
    assert [method for method, _ in server.calls].count("get") == 2, "of the ConfigMap alone"


@pytest.mark.asyncio
async def test_what_may_not_be_created_is_said_and_stops_nothing_else() -> None:
    server, _, _, executor, rollout = world()
    server.fails["create"] = refusal(403)
    with pytest.raises(BlockedChildren, match="refuses Secret s, which stays as it is: exceeded quota"):
        await executor.execute(rollout, Plan(create=(child("Secret", "s"),), apply=(child("ConfigMap", "c"),)))
    assert ("ConfigMap", "c") in server.objects
