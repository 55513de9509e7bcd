"""How this pod talks to the logbook: its address, what it shows of itself, its patience, and what an answer means."""

import os
from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path

import httpx
from pydantic import ValidationError

from belay_api import names
from belay_api.job_keys import prove
from belay_api.wire import ErrorAnswer
from belay_trainer.errors import StoreRefused, StoreUnavailable

CONNECT_S = 5.0
ANSWER_S = 60.0  # a store that writes a large blob to a slow disk
_PATIENCE = (401, 408, 425, 429)  # 401: a token that is being renewed; the others ask for it


class Credentials(httpx.Auth):
    """The pod's projected token, and in each request a proof that it has its job's key."""

    def __init__(self, token_file: Path, *, key: bytes | None, uid: str) -> None:
        """Name what there is to show.

        Args:
            token_file: Read anew for each request, because the kubelet renews it; no file: no header.
            key: The job's; None: no proof.
            uid: Of the job that has the key.
        """
        self._token_file, self._key, self._uid = token_file, key, uid

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the headers."""
        if self._token_file.is_file():
            request.headers["Authorization"] = f"Bearer {self._token_file.read_text().strip()}"
        if self._key is not None:
            # The bytes of an upload are a stream, and proven by the digest in its path.
            body = b"" if request.method == "PATCH" else request.content
            request.headers[names.PROOF_HEADER] = prove(
                self._key, uid=self._uid, method=request.method, path=request.url.path, body=body, at=datetime.now(UTC)
            )
        yield request


def connect(url: str, token_file: Path, *, key: bytes | None = None, uid: str = "") -> httpx.Client:
    """Return a client for the logbook at `url`; nothing is sent yet. The rest is as in `Credentials`."""
    credentials = Credentials(token_file, key=key, uid=uid)
    timeout = httpx.Timeout(ANSWER_S, connect=CONNECT_S)
    agent = {"User-Agent": f"belay-trainer/{os.environ.get('HOSTNAME', 'local')}"}
    # The environment's proxies are for the outside; the logbook is a Service of this cluster.
    return httpx.Client(base_url=url, auth=credentials, timeout=timeout, headers=agent, trust_env=False)


def ask(
    client: httpx.Client, method: str, path: str, *, also: tuple[int, ...] = (), **kwargs: object
) -> httpx.Response:
    """Return the answer of a request that was taken, or whose status is in `also`.

    Raises: StoreUnavailable, StoreRefused.
    """
    try:
        answer = client.request(method, path, **kwargs)  # type: ignore[arg-type]
    except httpx.TransportError as error:
        raise StoreUnavailable(f"{method} {path}: {type(error).__name__}: {error}") from error
    if answer.is_success or answer.status_code in also:
        return answer
    told = f"{method} {path}: {answer.status_code} {_message(answer)}"
    if answer.is_server_error or answer.status_code in _PATIENCE:
        raise StoreUnavailable(told)
    raise StoreRefused(told)


def _message(answer: httpx.Response) -> str:
    try:
        return ErrorAnswer.model_validate_json(answer.content).error.message
    except ValidationError:
        return answer.text[:200]
