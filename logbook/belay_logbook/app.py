"""Every route of the logbook: parse, ask the gate, call one function, answer."""

import asyncio
import re
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from belay_api.job_keys import UID
from belay_api.receipts import namespace_key
from belay_api.wire import API_PREFIX, CheckpointRef, JournalLines
from belay_logbook import metrics
from belay_logbook.auth import Action, Caller, Gate, KeyFile
from belay_logbook.batch import parse_one, read_body, result_of
from belay_logbook.blobs import BlobFiles
from belay_logbook.curves import parse_question, read_curves
from belay_logbook.db import Database
from belay_logbook.episodes import parse_outcomes, parse_starts, record_outcomes, record_starts
from belay_logbook.errors import BadRequest, LogbookError
from belay_logbook.jobs import Jobs, kept_jobs, open_job
from belay_logbook.journals import append_lines, drop_journal, read_lines
from belay_logbook.longpoll import Feed
from belay_logbook.look import Looks, episodes_topic, parse_look, parse_wait
from belay_logbook.offload import in_thread
from belay_logbook.progress import drop_progress, parse_progress, read_progress, record_progress
from belay_logbook.proofs import check_body, check_seal
from belay_logbook.respond import NUMBER, Measured, defect, gone, header, json_answer, param, refuse, refuse_http
from belay_logbook.settings import Settings
from belay_logbook.shadows import parse_decisions, parse_shadow_question, read_report, record_decisions
from belay_logbook.store import Store
from belay_logbook.tokenreview import TokenReviewer

_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PROGRESS = ("progress",)


class Logbook:
    """What the routes share."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.settings = settings
        self.database = database
        self.feed = Feed()
        self.looks = Looks(database, self.feed)
        self.curves_at_once = asyncio.Semaphore(1)  # of a thousand seeds they take a reader seconds
        self.store = Store(database, BlobFiles(settings.data))
        self.reviewer = TokenReviewer(settings.api_server) if settings.api_server else None
        self.jobs = Jobs(database)
        self.gate = Gate(
            self.reviewer,
            KeyFile(settings.api_keys),
            settings.operators,
            master_key=settings.master_key,
            open_to_all=settings.open_to_all,
        )

    def key(self, namespace: str) -> bytes:
        """Return the namespace's receipt key."""
        return namespace_key(self.settings.master_key, namespace)


def make_app(logbook: Logbook) -> ASGIApp:
    """Return the ASGI application."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        logbook.feed.start()
        await logbook.store.sweep()
        yield
        if logbook.reviewer is not None:
            await logbook.reviewer.close()

    space = API_PREFIX + "/namespaces/{namespace}"
    checkpoints = space + "/checkpoints/{uid}/{index}"
    routes = [
        Route(space + "/progress", post_progress, methods=["POST"]),
        Route(API_PREFIX + "/progress", get_progress, methods=["GET"]),
        Route(space + "/curves/{uid}", get_curves, methods=["GET"]),
        Route(space + "/starts", post_starts, methods=["POST"]),
        Route(space + "/outcomes", post_outcomes, methods=["POST"]),
        Route(space + "/statistics", get_statistics, methods=["GET"]),
        Route(space + "/shadows", post_shadows, methods=["POST"]),
        Route(space + "/shadows", get_shadow, methods=["GET"]),
        Route(space + "/blobs/{sha256}", head_blob, methods=["HEAD"]),
        Route(space + "/blobs/{sha256}", get_blob, methods=["GET"]),
        Route(space + "/blobs/{sha256}", patch_blob, methods=["PATCH"]),
        Route(checkpoints, list_checkpoints, methods=["GET"]),
        Route(checkpoints + "/{step}", put_checkpoint, methods=["PUT"]),
        Route(checkpoints + "/{step}", delete_checkpoint, methods=["DELETE"]),
        Route(space + "/journals/{uid}", post_journal, methods=["POST"]),
        Route(space + "/journals/{uid}", get_journal, methods=["GET"]),
        Route(space + "/journals/{uid}", delete_journal, methods=["DELETE"]),
        Route(API_PREFIX + "/jobs", list_jobs, methods=["GET"]),
        Route(space + "/jobs/{uid}", delete_job, methods=["DELETE"]),
        Route(API_PREFIX + "/writable", get_writable, methods=["GET"]),
        *(Route(prefix + "/healthz", healthz) for prefix in ("", API_PREFIX)),
        *(Route(prefix + "/readyz", readyz) for prefix in ("", API_PREFIX)),
        *(Route(prefix + "/metrics", get_metrics) for prefix in ("", API_PREFIX)),
    ]
    handlers: dict[Any, Any] = {LogbookError: refuse, HTTPException: refuse_http, ClientDisconnect: gone}
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers=handlers | {500: defect})
    app.state.logbook = logbook
    return Measured(app)


# --- training ---------------------------------------------------------------------------------------------------------
async def post_progress(request: Request) -> Response:
    """Batch[RunProgress] -> BatchResult."""
    logbook, namespace, caller = await _identify(request, Action.PROGRESS)
    body = await read_body(request)
    check_body(caller.proof, body)
    taken, refused = await in_thread(parse_progress, body)
    for uid in {beat.uid for beat in taken}:
        await logbook.jobs.admit(caller, namespace, uid)
    if taken:
        await logbook.database.write(
            lambda connection, arrived: record_progress(connection, namespace, taken, arrived),
            after=lambda _: logbook.feed.wake(_PROGRESS),
        )
    return json_answer(result_of("progress", len(taken), refused))


async def get_progress(request: Request) -> Response:
    """The runs that changed since a cursor; waits for the first one."""
    logbook: Logbook = request.app.state.logbook
    await logbook.gate.admit(request, Action.READ_ALL, None)
    since = request.query_params.get("since", "")
    deadline = time.monotonic() + parse_wait(request.query_params).total_seconds()
    with metrics.WAITING.track_inprogress():
        while True:
            mark = logbook.feed.mark(_PROGRESS)
            page = await logbook.database.read(lambda c: read_progress(c, logbook.database.id, since))
            left = deadline - time.monotonic()
            if page.items or left <= 0 or logbook.feed.closing:
                return json_answer(page)
            await logbook.feed.changed(_PROGRESS, mark, left)


async def get_curves(request: Request) -> Response:
    """How a metric of a training went, seed by seed."""
    logbook, namespace = await _enter(request, Action.CURVES)
    uid = param(request, "uid", UID)
    metric, most = parse_question(request.query_params)

    def read(connection: sqlite3.Connection) -> str:  # made into text here, beside the event loop
        curves = read_curves(connection, namespace, uid, metric, most)
        return curves.model_dump_json(by_alias=True, exclude_none=True)

    async with logbook.curves_at_once:
        return Response(await logbook.database.read(read), media_type="application/json")


# --- episodes ---------------------------------------------------------------------------------------------------------
async def post_starts(request: Request) -> Response:
    """Batch[EpisodeStart] -> BatchResult."""
    logbook, namespace = await _enter(request, Action.STARTS)
    body, key = await read_body(request), logbook.key(namespace)
    taken, refused = await in_thread(parse_starts, body, namespace, key, datetime.now(UTC))
    if taken:
        await logbook.database.write(
            lambda connection, _: record_starts(connection, taken),
            after=lambda _: logbook.feed.wake(episodes_topic(namespace)),
        )
    return json_answer(result_of("start", len(taken), refused))


async def post_outcomes(request: Request) -> Response:
    """Batch[EpisodeOutcome] -> BatchResult."""
    logbook, namespace = await _enter(request, Action.OUTCOMES)
    body, key = await read_body(request), logbook.key(namespace)
    taken, refused = await in_thread(parse_outcomes, body, namespace, key, datetime.now(UTC))
    if taken:
        await logbook.database.write(
            lambda connection, arrived: record_outcomes(connection, taken, arrived),
            after=lambda _: logbook.feed.wake(episodes_topic(namespace)),
        )
    return json_answer(result_of("outcome", len(taken), refused))


async def get_statistics(request: Request) -> Response:
    """Statistics of versions by start window; with an etag, waits for others."""
    logbook, namespace = await _enter(request, Action.STATISTICS)
    query = request.query_params
    look, wait, etag = parse_look(namespace, query), parse_wait(query), query.get("etag") or None
    body = await logbook.looks.take(look, etag=etag, wait=wait)
    return Response(body, media_type="application/json")


async def post_shadows(request: Request) -> Response:
    """Batch[ShadowDecision] -> BatchResult."""
    logbook, namespace = await _enter(request, Action.SHADOWS)
    body = await read_body(request)
    check_seal(request, body, logbook.key(namespace))
    taken, refused = await in_thread(parse_decisions, body)
    if taken:
        await logbook.database.write(lambda connection, at: record_decisions(connection, namespace, taken, at))
    return json_answer(result_of("shadow", len(taken), refused))


async def get_shadow(request: Request) -> Response:
    """What is known of a step `shadow`."""
    logbook, namespace = await _enter(request, Action.STATISTICS)
    asked, now_ms = parse_shadow_question(request.query_params), time.time_ns() // 1_000_000
    return json_answer(await logbook.database.read(lambda c: read_report(c, namespace, asked, now_ms)))


# --- store ------------------------------------------------------------------------------------------------------------
async def head_blob(request: Request) -> Response:
    """How far a blob is. Only a complete one has a Content-Length."""
    logbook, namespace = await _enter(request, Action.ARTIFACTS)
    state = await logbook.store.state(namespace, param(request, "sha256", _SHA256))
    headers = {"Upload-Offset": str(state.offset), "Upload-Length": str(state.size)}
    response = Response(headers=headers | ({"Accept-Ranges": "bytes"} if state.complete else {}))
    del response.headers["content-length"]
    if state.complete:
        response.headers["content-length"] = str(state.size)
    return response


async def get_blob(request: Request) -> Response:
    """The bytes; Range is honoured. Those of a checkpoint are its job's."""
    logbook, namespace, caller = await _identify(request, Action.ARTIFACTS)
    sha256 = param(request, "sha256", _SHA256)
    await logbook.jobs.admit_any(caller, namespace, await logbook.store.jobs_of(namespace, sha256))
    path = await logbook.store.file(namespace, sha256)
    return FileResponse(path, media_type="application/octet-stream")


async def patch_blob(request: Request) -> Response:
    """Append to a blob: 204 and the new offset, 201 when it is complete and verified."""
    logbook, namespace = await _enter(request, Action.UPLOAD)
    sha256 = param(request, "sha256", _SHA256)
    offset = header(request, "Upload-Offset")
    if offset is None:
        raise BadRequest("Upload-Offset is missing: say where this part begins, 0 at first", field="Upload-Offset")
    size = header(request, "Upload-Length")
    state = await logbook.store.append(namespace, sha256, offset=offset, size=size, chunks=request.stream())
    return Response(status_code=201 if state.complete else 204, headers={"Upload-Offset": str(state.offset)})


async def list_checkpoints(request: Request) -> Response:
    """A seed's checkpoints, newest step first."""
    logbook, namespace, uid, _ = await _enter_job(request, Action.CHECKPOINTS)
    index = int(param(request, "index", NUMBER))
    return json_answer(await logbook.store.checkpoints(namespace, uid, index))


async def put_checkpoint(request: Request) -> Response:
    """Record a checkpoint whose blob is here."""
    logbook, namespace, uid, caller = await _enter_job(request, Action.CHECKPOINTS)
    index, step = int(param(request, "index", NUMBER)), int(param(request, "step", NUMBER))
    body = await read_body(request)
    check_body(caller.proof, body)
    ref = parse_one(body, CheckpointRef)
    if not _SHA256.fullmatch(ref.sha256):
        raise BadRequest(f"sha256 is {ref.sha256[:80]!r}, wanted {_SHA256.pattern}", field="sha256")
    if ref.step != step:
        raise BadRequest(f"step is {ref.step} in the body and {step} in the path: send the same", field="step")
    await logbook.store.put_checkpoint(namespace, uid, index, ref)
    return json_answer(ref)


async def delete_checkpoint(request: Request) -> Response:
    """Forget a checkpoint."""
    logbook, namespace, uid, _ = await _enter_job(request, Action.CHECKPOINTS)
    index = int(param(request, "index", NUMBER))
    await logbook.store.delete_checkpoint(namespace, uid, index, int(param(request, "step", NUMBER)))
    return Response(status_code=204)


# --- searches ---------------------------------------------------------------------------------------------------------
async def post_journal(request: Request) -> Response:
    """JournalLines -> JournalPage without lines."""
    logbook, namespace, uid, caller = await _enter_job(request, Action.JOURNALS)
    body = await read_body(request)
    check_body(caller.proof, body)
    said = parse_one(body, JournalLines)
    return json_answer(await logbook.database.write(lambda c, _: append_lines(c, namespace, uid, said)))


async def get_journal(request: Request) -> Response:
    """The lines of a journal from a number on."""
    logbook, namespace, uid, _ = await _enter_job(request, Action.JOURNALS)
    first = request.query_params.get("from", "0")
    if not NUMBER.fullmatch(first):
        raise BadRequest(f"from is {first[:80]!r}, wanted the number of a line, from 0", field="from")
    return json_answer(await logbook.database.read(lambda c: read_lines(c, namespace, uid, int(first))))


async def delete_journal(request: Request) -> Response:
    """Forget the journal of a search."""
    logbook, namespace, uid, _ = await _enter_job(request, Action.JOURNALS)
    await logbook.database.write(lambda c, _: drop_journal(c, namespace, uid))
    return Response(status_code=204)


# --- jobs that were deleted -------------------------------------------------------------------------------------------
async def list_jobs(request: Request) -> Response:
    """Every job of which something is kept that only its own pods use."""
    logbook: Logbook = request.app.state.logbook
    await logbook.gate.admit(request, Action.FORGET, None)
    return json_answer(await logbook.database.read(kept_jobs))


async def delete_job(request: Request) -> Response:
    """Forget what only a job's own pods use. Artifacts and curves stay."""
    logbook, namespace = await _enter(request, Action.FORGET)
    uid = param(request, "uid", UID)

    def beside(connection: sqlite3.Connection) -> None:
        drop_journal(connection, namespace, uid)
        drop_progress(connection, namespace, uid)
        open_job(connection, namespace, uid)

    await logbook.store.forget(namespace, uid, beside=beside)
    logbook.jobs.forget(namespace, uid)
    return Response(status_code=204)


# --- health -----------------------------------------------------------------------------------------------------------
async def healthz(request: Request) -> Response:
    """200 while rows can be written at all; else only a restart helps."""
    logbook: Logbook = request.app.state.logbook
    return PlainTextResponse(
        "ok\n" if logbook.database.alive else "the writer has ended\n", 200 if logbook.database.alive else 500
    )


async def readyz(request: Request) -> Response:
    """200 when the database answers and the process is not about to end."""
    logbook: Logbook = request.app.state.logbook
    await logbook.database.read(lambda c: c.execute("SELECT 1").fetchone())
    ready = logbook.database.alive and not logbook.feed.closing
    return PlainTextResponse("ok\n" if ready else "ending\n", 200 if ready else 503)


async def get_writable(request: Request) -> Response:
    """204 when a row can be recorded, 503 when the disk refuses it. Not for the kubelet: who only reads can go on."""
    logbook: Logbook = request.app.state.logbook
    await logbook.gate.admit(request, Action.READ_ALL, None)
    write = "INSERT INTO meta VALUES ('written_ms', :ms) ON CONFLICT (key) DO UPDATE SET value = :ms"
    await logbook.database.write(lambda connection, arrived: connection.execute(write, {"ms": str(arrived)}))
    return Response(status_code=204)


async def get_metrics(_: Request) -> Response:
    """Prometheus text."""
    return Response(generate_latest(metrics.REGISTRY), media_type=CONTENT_TYPE_LATEST)


async def _enter(request: Request, action: Action) -> tuple[Logbook, str]:
    logbook, namespace, _ = await _identify(request, action)
    return logbook, namespace


async def _enter_job(request: Request, action: Action) -> tuple[Logbook, str, str, Caller]:
    """Admit who asks for what is a job's own."""
    logbook, namespace, caller = await _identify(request, action)
    uid = param(request, "uid", UID)
    await logbook.jobs.admit(caller, namespace, uid)
    return logbook, namespace, uid, caller


async def _identify(request: Request, action: Action) -> tuple[Logbook, str, Caller]:
    logbook: Logbook = request.app.state.logbook
    namespace = param(request, "namespace", _NAMESPACE)
    caller = await logbook.gate.admit(request, action, namespace)
    await logbook.jobs.close(caller, namespace)
    return logbook, namespace, caller
