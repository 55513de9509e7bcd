"""How the client proves to the logbook who it is."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from belay_api.names import LOGBOOK_URL_ENV, NAMESPACE_ENV, TOKEN_FILE
from belay_client.lines import Address


class Credentials(Protocol):
    """Something that yields a bearer token."""

    def token(self) -> str:
        """Return the token to send now. Raises: anything while there is none; outcomes wait and it is asked again."""


@dataclass(frozen=True, slots=True)
class PodToken:
    """The pod's projected service account token (audience `belay-logbook`); read anew each time, it is rotated."""

    path: Path = Path(TOKEN_FILE)

    def token(self) -> str:
        """Return the token. Raises: OSError when the volume is not mounted."""
        return self.path.read_text().strip()


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key of the Secret the chart's `logbook.apiKeysSecret` names, for callers outside the cluster."""

    key: str

    def token(self) -> str:
        """Return the key."""
        return self.key


class NoToken(ValueError):
    """There is no token to send just now."""


@dataclass(frozen=True, slots=True)
class Logbook:
    """Where outcomes go."""

    url: str
    """E.g. `http://belay-logbook.belay-system.svc:8600`."""
    namespace: str
    """Namespace of the policies."""
    credentials: Credentials

    @property
    def outcomes_url(self) -> str:
        """Where outcomes are posted."""
        return f"{self.url.rstrip('/')}/v1/namespaces/{self.namespace}/outcomes"

    def headers(self) -> dict[str, str]:
        """Return the header of a request made now. Raises: NoToken."""
        try:
            return {"authorization": f"Bearer {self.credentials.token()}"}
        except Exception as error:  # the application's own code may raise whatever its vault does
            raise NoToken(f"no token for the logbook: {type(error).__name__}: {error}") from error


def logbook(url: str | None, namespace: str | None, credentials: Credentials | None) -> Logbook | None:
    """Return where outcomes go: as told, else from the environment; None when neither says.

    Raises: ValueError when the address is none, or when there is no namespace beside it.
    """
    url = url or os.environ.get(LOGBOOK_URL_ENV)
    if url is None:
        return None
    namespace = namespace or os.environ.get(NAMESPACE_ENV)
    if namespace is None:
        raise ValueError(f"the logbook needs the policies' namespace: give logbook_namespace or set {NAMESPACE_ENV}")
    found = Logbook(url, namespace, credentials or PodToken())
    Address(found.outcomes_url)  # a bad one is told now, not by a thread later
    return found
