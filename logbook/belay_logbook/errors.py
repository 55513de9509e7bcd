"""Every way the logbook says no, in the one shape of `wire.ErrorAnswer`.

LogbookError          status, message, field; raised anywhere below a route, answered in one place
  BadRequest   400    the caller's message is malformed: fix and send again
  Unauthorized 401    no or unknown credentials
  Forbidden    403    known, but not allowed; or every receipt forged
  NotFound     404
  Conflict     409    an upload continues elsewhere: the header says where
  TooLarge     413    split it
  Unprocessable 422   well-formed, but contradicts what is stored
  Unavailable  503    our side: the disk or the API server; send the same again later
"""

from collections.abc import Mapping

from belay_api.wire import ErrorAnswer, ErrorBody


class LogbookError(Exception):
    """A request that is refused as a whole, or one item of a batch."""

    status = 500

    def __init__(self, message: str, *, field: str | None = None, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = _readable(message)
        self.field = None if field is None else _readable(field)
        self.headers = dict(headers or {})

    def body(self) -> ErrorBody:
        """Return the error as one item's refusal."""
        return ErrorBody(status=self.status, message=self.message, field=self.field)

    def answer(self) -> ErrorAnswer:
        """Return the error as a whole answer."""
        return ErrorAnswer(error=self.body())


def _readable(text: str) -> str:
    """Return `text` as any encoding can carry it: it repeats what a caller sent, half a surrogate pair perhaps."""
    return text.encode("utf-8", "backslashreplace").decode()


class BadRequest(LogbookError):
    """Something in the request is malformed; `field` names it."""

    status = 400


class Unauthorized(LogbookError):
    """The caller is unknown."""

    status = 401

    def __init__(self, message: str) -> None:
        super().__init__(message, headers={"WWW-Authenticate": "Bearer"})


class Forbidden(LogbookError):
    """The caller is known and may not do this."""

    status = 403


class NotFound(LogbookError):
    """There is no such thing, or it belongs to another namespace: the two are not told apart."""

    status = 404


class Conflict(LogbookError):
    """An upload is elsewhere than the caller believes."""

    status = 409


class TooLarge(LogbookError):
    """More bytes than one request may carry."""

    status = 413


class Unprocessable(LogbookError):
    """Well-formed, but it contradicts what is stored."""

    status = 422


class Unavailable(LogbookError):
    """The logbook cannot answer now; nothing was recorded, the same request may be sent again."""

    status = 503

    def __init__(self, message: str) -> None:
        super().__init__(message, headers={"Retry-After": "1"})
