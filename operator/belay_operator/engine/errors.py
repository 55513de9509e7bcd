"""What can go wrong between us and the API server; the one door for foreign errors is `client.py`.

ApiError
├── Unreachable     no answer: connection refused, reset, timed out
├── Overloaded      429 or 5xx after all tries
├── Unauthorized    401: the credentials are not, or no longer, accepted
├── Forbidden       403: RBAC or admission says no
├── NotFound        404
├── Conflict        409: somebody changed the object since we read it, or a precondition failed
├── Gone            410: the resource version is too old; list again
└── Refused         400, 422 and every other 4xx: the object is not valid for this API server
"""

from collections.abc import Iterable


class ApiError(Exception):
    """A call to the API server without success."""

    retry_at_once = False  # reading again and deciding again is the cure; waiting is not

    def __init__(self, what: str, *, code: int | None, reason: str, message: str) -> None:
        self.what = what  # verb and path, for people
        self.code = code  # HTTP status; None: there was no answer
        self.reason = reason
        self.message = message
        super().__init__(f"{what}: {code or 'no answer'} {reason}: {message}")


class Unreachable(ApiError):
    """No answer came; whether the call took effect is unknown."""


class Overloaded(ApiError):
    """The API server asked to slow down, or failed inside, on every try."""


class Unauthorized(ApiError):
    """The credentials are not accepted."""


class Forbidden(ApiError):
    """RBAC or an admission policy denies the call; the message says which rule is missing."""


class Terminating(Forbidden):
    """The namespace is going, and everything in it; nothing may be created in it any more."""


class NotFound(ApiError):
    """The object, its namespace or its kind does not exist."""


class Conflict(ApiError):
    """The object is no longer what we read."""

    retry_at_once = True


class Gone(ApiError):
    """The list or watch must start over."""


class Refused(ApiError):
    """The API server does not accept the content; sending it again cannot help."""


_BY_CODE: dict[int, type[ApiError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    429: Overloaded,
}


def error_of(what: str, code: int, reason: str, message: str, *, causes: Iterable[str] = ()) -> ApiError:
    """Return the error for an HTTP status and the causes the API server names in its answer."""
    kind = _BY_CODE.get(code) or (Overloaded if code >= 500 else Refused)
    if "NamespaceTerminating" in causes:
        kind = Terminating
    return kind(what, code=code, reason=reason, message=message)
