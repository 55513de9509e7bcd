"""Who calls, and what they may do. Closed by default: without a credential that is known, nothing.

What a role may is `MAY`. A pod's token says its account, and all pods of a namespace have the same one; a request with
a proof of a job's key comes from a pod of that job. `jobs.py` says whose checkpoints a training pod may touch.

A Job that an earlier version made has pods without a key. They are told by their names, which the token's review gives
and nobody in a pod can choose: `<job>-a<attempt>-<index>-<five characters>`, or `s` in place of `a` for a search. A
Deployment's pods are called otherwise.
"""

import hashlib
import hmac
import json
import re
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from starlette.requests import Request

from belay_api.job_keys import Proof
from belay_api.names import PROOF_HEADER
from belay_api.wire import ApiKey
from belay_logbook.errors import Forbidden, Unauthorized
from belay_logbook.proofs import read_proof
from belay_logbook.tokenreview import Account

_SERVICE_ACCOUNT = "system:serviceaccount:"
_TRAINING_POD = re.compile(r".+-[as]\d+-\d{1,5}-[a-z0-9]{5}")
_ABSENT = (0, 0)  # in place of a key file's time and size


class Action(StrEnum):
    """What a route does."""

    READ_ALL = "read the progress of all namespaces"
    PROGRESS = "write progress"
    CURVES = "read curves"
    STARTS = "write starts"
    SHADOWS = "write decisions of shadow steps"
    OUTCOMES = "write outcomes"
    STATISTICS = "read statistics"
    ARTIFACTS = "read artifacts"
    UPLOAD = "upload to the store"
    CHECKPOINTS = "use checkpoints"
    JOURNALS = "use journals of searches"
    FORGET = "remove what jobs that were deleted left here"


class Role(StrEnum):
    """Who somebody is."""

    OPERATOR = "operator"
    """The operator's own service account; every namespace."""
    TRAINING_POD = "training pod"
    """A pod that has a training job's key (or an RLPolicy's, and judges it), or is a pod of such a job without one; its
    namespace."""
    ACCOUNT = "service account"
    """Any other pod of a namespace: those that serve, applications."""
    PERSON = "person or pipeline"
    """Shows a token of a namespace's account that belongs to no pod. Only who may create such tokens there has one."""
    API_KEY = "API key"
    """An application outside; the namespace of its key."""
    LOCAL = "local"
    """Everybody, in development, on a loopback address only; every namespace."""


_KEY_MAY = frozenset({Action.OUTCOMES, Action.STATISTICS})
_ACCOUNT_MAY = _KEY_MAY | {Action.CURVES, Action.STARTS, Action.SHADOWS, Action.ARTIFACTS}
_TRAINING = frozenset({Action.PROGRESS, Action.UPLOAD, Action.CHECKPOINTS, Action.JOURNALS})
MAY = {
    Role.OPERATOR: frozenset(Action),
    Role.TRAINING_POD: _ACCOUNT_MAY | _TRAINING,
    Role.ACCOUNT: _ACCOUNT_MAY,
    Role.PERSON: _ACCOUNT_MAY | {Action.UPLOAD},  # imports policies; what somebody uploads changes nobody else's bytes
    Role.API_KEY: _KEY_MAY,
    Role.LOCAL: frozenset(Action),
}


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who is known."""

    name: str
    """For messages and logs."""
    namespace: str | None
    """The only namespace open to them; None: every one."""
    role: Role
    """What they may do there is `MAY[role]`."""
    proof: Proof | None = None
    """Whose key a training pod has; None: nobody's was shown."""


LOCAL = Caller("local", None, Role.LOCAL)


class Users(Protocol):
    """Token to account; TokenReviewer is the real one."""

    async def account(self, token: str) -> Account:
        """Return whose token it is. Raises: Unauthorized, Unavailable."""


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

    def __init__(
        self, users: Users | None, keys: KeyFile, operators: frozenset[str], *, master_key: bytes, open_to_all: bool
    ) -> None:
        """Make the gate.

        Args:
            users: None: no API server to ask, so service accounts are unknown.
            operators: User names of the operator's service account.
            master_key: Each job's key is derived from it.
            open_to_all: Everybody is `LOCAL`; `settings.py` allows it on loopback only.
        """
        self._users = users
        self._keys = keys
        self._operators = operators
        self._master_key = master_key
        self._open_to_all = open_to_all

    async def admit(self, request: Request, action: Action, namespace: str | None) -> Caller:
        """Return who calls, if they may do `action` in `namespace` (None: all of them).

        Raises: Unauthorized, Forbidden, Unavailable.
        """
        caller = LOCAL if self._open_to_all else await self._who(request)
        if caller.namespace is not None and caller.namespace != namespace:
            wanted = "all namespaces" if namespace is None else f"namespace {namespace}"
            raise Forbidden(f"{caller.name} belongs to namespace {caller.namespace} and may not touch {wanted}")
        if namespace is not None and caller.role in (Role.ACCOUNT, Role.PERSON, Role.TRAINING_POD):
            proof = read_proof(request, namespace, self._master_key)
            caller = caller if proof is None else replace(caller, role=Role.TRAINING_POD, proof=proof)
        if action not in MAY[caller.role]:
            hint = f"; only a training pod may, which shows its job's key in {PROOF_HEADER}"
            raise Forbidden(
                f"{caller.name} may not {action.value}{hint if action in _TRAINING else ''}. As {caller.role.value} it "
                f"may {', '.join(sorted(MAY[caller.role]))}"
            )
        return caller

    async def _who(self, request: Request) -> Caller:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise Unauthorized("no credential: send `Authorization: Bearer <service account token or API key>`")
        if key := self._keys.find(token):
            return Caller(f"API key {key.name}", key.namespace, Role.API_KEY)
        if self._users is None:
            raise Unauthorized(
                "the credential is no known API key, and no API server is configured to ask about tokens"
            )
        account = await self._users.account(token)
        if account.user in self._operators:
            return Caller(account.user, None, Role.OPERATOR)
        if not account.user.startswith(_SERVICE_ACCOUNT):
            raise Unauthorized(f"{account.user} is no service account: send a pod's projected token or an API key")
        namespace = account.user.removeprefix(_SERVICE_ACCOUNT).split(":")[0]
        if account.pod is None:
            return Caller(account.user, namespace, Role.PERSON)
        trains = _TRAINING_POD.fullmatch(account.pod)
        return Caller(f"pod {account.pod}", namespace, Role.TRAINING_POD if trains else Role.ACCOUNT)
