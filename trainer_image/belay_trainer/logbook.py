"""How this pod talks to the logbook: its address, its token, its patience."""

import os
from collections.abc import Generator
from pathlib import Path

import httpx

CONNECT_S = 5.0
ANSWER_S = 60.0  # a store that writes a large blob to a slow disk


class Token(httpx.Auth):
    """The pod's projected token, read anew for each request: the kubelet renews it. No file: no header."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the header."""
        if self._path.is_file():
            request.headers["Authorization"] = f"Bearer {self._path.read_text().strip()}"
        yield request


def connect(url: str, token_file: Path) -> httpx.Client:
    """Return a client for the logbook at `url`; nothing is sent yet."""
    timeout = httpx.Timeout(ANSWER_S, connect=CONNECT_S)
    agent = {"User-Agent": f"belay-trainer/{os.environ.get('HOSTNAME', 'local')}"}
    # The environment's proxies are for the outside; the logbook is a Service of this cluster.
    return httpx.Client(base_url=url, auth=Token(token_file), timeout=timeout, headers=agent, trust_env=False)
