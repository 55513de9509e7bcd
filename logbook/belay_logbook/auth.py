"""Who calls, and what they may do. Closed by default: without a credential that is known, nothing.

operator          every namespace, everything
service account   its own namespace, everything there
API key           its namespace: write outcomes, read statistics
local             everything; only in development, only on a loopback address
"""

import hashlib
import hmac
import json
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from starlette.requests import Request

from belay_api.wire import ApiKey
from belay_logbook.errors import Forbidden, Unauthorized

_SERVICE_ACCOUNT = "system:serviceaccount:"
_ABSENT = (0, 0)  # in place of a key file's time and size


class Action(StrEnum):
    """What a route does."""

    READ_ALL = "read the progress of all namespaces"
    PROGRESS = "write progress"
    CURVES = "read curves"
    STARTS = "write starts"
    OUTCOMES = "write outcomes"
    STATISTICS = "read statistics"
    STORE = "use the store"


_KEY_MAY = frozenset({Action.OUTCOMES, Action.STATISTICS})


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who is known."""

    name: str
    """For messages and logs."""
    namespace: str | None
    """The only namespace open to them; None: every one."""
    may: frozenset[Action]
    """What they may do there."""


LOCAL = Caller("local", None, frozenset(Action))


class Users(Protocol):
    """Token to user name; TokenReviewer is the real one."""

    async def user(self, token: str) -> str:
        """Return the user name. Raises: Unauthorized, Unavailable."""


class KeyFile:
    """The API keys, read again whenever the file changed."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None
        self._keys: list[ApiKey] = []

    def find(self, token: str) -> ApiKey | None:
        """Return the entry of this key, or None."""
        self._reload()
        digest = hashlib.sha256(token.encode(errors="surrogateescape")).hexdigest()
        return next((key for key in self._keys if hmac.compare_digest(key.sha256.lower(), digest)), None)

    def _reload(self) -> None:
        try:
            if self._path is None:
                return
            stat = self._path.stat()
            if (stat.st_mtime_ns, stat.st_size) == self._seen:
                return
            entries = json.loads(self._path.read_text() or "[]")
            self._keys = [ApiKey.model_validate(entry) for entry in entries]
            self._seen = (stat.st_mtime_ns, stat.st_size)
        except FileNotFoundError:
            if self._seen != _ABSENT:  # said once
                print(f"API key file {self._path} is not there: no API key is valid until it is.", flush=True)
            self._keys, self._seen = [], _ABSENT
        except (OSError, ValueError, TypeError) as error:
            # Half-edited: the keys that were good stay good, and the reason is on the log at every request.
            print(f"API key file {self._path}: {error}. The keys read before stay valid; mend the file.", flush=True)


class Gate:
    """Turns a request's credential into a caller."""

    def __init__(self, users: Users | None, keys: KeyFile, operators: frozenset[str], *, open_to_all: bool) -> None:
        """Make the gate.

        Args:
            users: None: no API server to ask, so service accounts are unknown.
            operators: User names of the operator's service account.
            open_to_all: Everybody is `LOCAL`; `settings.py` allows it on loopback only.
        """
        self._users = users
        self._keys = keys
        self._operators = operators
        self._open_to_all = open_to_all

    async def admit(self, request: Request, action: Action, namespace: str | None) -> Caller:
        """Return who calls, if they may do `action` in `namespace` (None: all of them).

        Raises: Unauthorized, Forbidden, Unavailable.
        """
        caller = LOCAL if self._open_to_all else await self._who(request)
        if caller.namespace is not None and caller.namespace != namespace:
            wanted = "all namespaces" if namespace is None else f"namespace {namespace}"
            raise Forbidden(f"{caller.name} belongs to namespace {caller.namespace} and may not touch {wanted}")
        if action not in caller.may:
            raise Forbidden(f"{caller.name} may not {action.value}; it may {', '.join(sorted(caller.may))}")
        return caller

    async def _who(self, request: Request) -> Caller:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise Unauthorized("no credential: send `Authorization: Bearer <service account token or API key>`")
        if key := self._keys.find(token):
            return Caller(f"API key {key.name}", key.namespace, _KEY_MAY)
        if self._users is None:
            raise Unauthorized(
                "the credential is no known API key, and no API server is configured to ask about tokens"
            )
        user = await self._users.user(token)
        if user in self._operators:
            return Caller(user, None, frozenset(Action))
        if not user.startswith(_SERVICE_ACCOUNT):
            raise Unauthorized(f"{user} is no service account: send a pod's projected token or an API key")
        namespace = user.removeprefix(_SERVICE_ACCOUNT).split(":")[0]
        return Caller(user, namespace, frozenset(Action) - {Action.READ_ALL})
