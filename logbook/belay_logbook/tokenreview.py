"""Ask the API server whose token this is.

The only outside system of the logbook. Its answers are remembered for a short time, because every heartbeat and every
batch of outcomes carries a token; an API server that does not answer is not a refusal: the caller is told to come back.
"""

import asyncio
import hashlib
import ssl
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from belay_api.names import TOKEN_AUDIENCE
from belay_logbook import metrics
from belay_logbook.errors import Unauthorized, Unavailable

REMEMBER_GOOD = timedelta(minutes=1)  # how long a deleted pod's token may go on working
REMEMBER_BAD = timedelta(seconds=5)  # keeps a caller with a stale token from flooding the API server
REMEMBERED = 4096  # tokens
TIMEOUT = timedelta(seconds=5)
_POD = "authentication.kubernetes.io/pod-name"  # among what the API server adds to a bound token's user
_PATH = "/apis/authentication.k8s.io/v1/tokenreviews"


@dataclass(frozen=True, slots=True)
class Account:
    """Whose token it is."""

    user: str
    """`system:serviceaccount:<namespace>:<name>`."""
    pod: str | None
    """Name of the pod that the token was projected into; None: it belongs to none."""


@dataclass(frozen=True, slots=True)
class ApiServer:
    """Where the API server is and how to speak to it."""

    url: str
    """`https://host:port`."""
    token_file: Path
    """Our own service account token; read again each time, because the kubelet renews it."""
    ca_file: Path
    """The certificate authority of the API server."""


class TokenReviewer:
    """Token to account, or Unauthorized."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        verify = ssl.create_default_context(cafile=str(server.ca_file))
        self._client = httpx.AsyncClient(
            base_url=server.url, verify=verify, timeout=TIMEOUT.total_seconds(), trust_env=False
        )
        self._known: OrderedDict[str, tuple[float, Account | None]] = OrderedDict()  # (until, account or refused)
        self._asking: dict[str, asyncio.Task[Account | None]] = {}

    async def account(self, token: str) -> Account:
        """Return the account behind `token`.

        Raises: Unauthorized when the API server does not know it for our audience; Unavailable when it does not answer.
        """
        name = hashlib.sha256(token.encode(errors="surrogateescape")).hexdigest()
        until, account = self._known.get(name, (0.0, None))
        if until < time.monotonic():
            # Many requests of one pod arrive together: one question for all of them.
            task = self._asking.get(name)
            if task is None:
                task = self._asking[name] = asyncio.create_task(self._ask(token))
                task.add_done_callback(lambda _: self._asking.pop(name, None))
            account = await asyncio.shield(task)
            self._remember(name, account)
        if account is None:
            raise Unauthorized(
                f"the credential is no known API key, and as a token it is unknown, expired or not for audience "
                f"{TOKEN_AUDIENCE}: send the projected service account token, or an API key of the key file"
            )
        return account

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def _remember(self, name: str, account: Account | None) -> None:
        keep = REMEMBER_BAD if account is None else REMEMBER_GOOD
        self._known[name] = (time.monotonic() + keep.total_seconds(), account)
        self._known.move_to_end(name)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    async def _ask(self, token: str) -> Account | None:
        review = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [TOKEN_AUDIENCE]},
        }
        try:
            own = self._server.token_file.read_text().strip()
            answer = await self._client.post(_PATH, json=review, headers={"Authorization": f"Bearer {own}"})
            answer.raise_for_status()
            status: dict[str, Any] = answer.json().get("status", {})
        except (OSError, ValueError, httpx.HTTPError) as error:
            metrics.TOKEN_REVIEWS.labels("unavailable").inc()
            raise Unavailable(
                f"the API server could not be asked whose token this is ({type(error).__name__}: {error}): "
                "send the same again"
            ) from error
        # An API server that knows no audiences answers `authenticated` without echoing ours: not for us then.
        good = status.get("authenticated") is True and TOKEN_AUDIENCE in status.get("audiences", [])
        metrics.TOKEN_REVIEWS.labels("authenticated" if good else "refused").inc()
        if not good:
            return None
        pods = (status["user"].get("extra") or {}).get(_POD) or [None]
        return Account(str(status["user"]["username"]), pods[0])
