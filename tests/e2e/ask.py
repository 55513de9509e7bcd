"""Raw requests at a steady rate, counted by what came back: a caller without our client, who asks once and no more.

Runs in a pod (see `steady.py`), with the standard library alone. One line of JSON a second goes to standard output.
"""

import collections
import http.client
import json
import os
import sys
import threading
import time
import urllib.parse

URL = urllib.parse.urlsplit(os.environ["ASK_URL"])
CALLERS = int(os.environ["ASK_CALLERS"])  # each keeps one connection, as a pool would
EVERY_S = float(os.environ["ASK_EVERY_S"])  # per caller
OBSERVATIONS = int(os.environ["ASK_OBSERVATIONS"])  # of a request; more than one are a list
ITEM = os.environ["ASK_ITEM"]
BODY = (ITEM if OBSERVATIONS == 1 else f"[{','.join([ITEM] * OBSERVATIONS)}]").encode()
TIMEOUT_S = 10.0
POLICY = "x-belay-policy"
PINNED = {POLICY: os.environ["ASK_POLICY"]} if os.environ["ASK_POLICY"] else {}
LATELY = 1000
REMEMBERED = 50  # failures told one by one; all are counted


class Tally:
    """What came back so far."""

    def __init__(self) -> None:
        self.by: collections.Counter[str] = collections.Counter()  # answers, by the policy that gave them
        self.causes: collections.Counter[str] = collections.Counter()  # failures, by status and words
        self.failures: list[tuple[float, str]] = []  # when each was sent, and its cause
        self.took: collections.deque[float] = collections.deque(maxlen=LATELY)  # seconds of the last requests
        self.without_route = 0  # 404: nobody has said yet where requests should go
        self._lock = threading.Lock()

    def add(self, at: float, status: int, said: str) -> None:
        """Count one answer."""
        with self._lock:
            if status == 200:
                self.by[said] += 1
            elif status == 404:
                self.without_route += 1
            else:
                self.causes[f"{status}: {said}"] += 1
                if len(self.failures) < REMEMBERED:
                    self.failures.append((round(at, 3), f"{status}: {said}"))

    def line(self) -> str:
        """Return the totals as JSON."""
        with self._lock:
            failed = self.causes.total()
            told = {"asked": self.by.total() + failed + self.without_route, "failed": failed, "by": self.by}
            told |= {"withoutRoute": self.without_route, "causes": self.causes, "failures": self.failures}
            lately = sorted(self.took)
            told |= {"p50_s": lately[len(lately) // 2], "p99_s": lately[len(lately) * 99 // 100]} if lately else {}
            return json.dumps(told)


def call(number: int, tally: Tally) -> None:
    """Ask for ever, at the beat of the clock: a slow answer makes no later request wait."""
    connection = http.client.HTTPConnection(URL.netloc, timeout=TIMEOUT_S)
    due = time.monotonic() + EVERY_S * number / CALLERS
    while True:
        time.sleep(max(0.0, due - time.monotonic()))
        due = max(due + EVERY_S, time.monotonic())
        began = time.monotonic()
        answer = ask(connection)
        tally.took.append(time.monotonic() - began)
        tally.add(*answer)


def ask(connection: http.client.HTTPConnection) -> tuple[float, int, str]:
    """Return when a request was sent, its status (0: none came) and the policy that answered, or what went wrong."""
    at = time.time()
    try:
        connection.request("POST", URL.path, BODY, {"content-type": "application/json"} | PINNED)
        answer = connection.getresponse()
        text = answer.read()
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        return at, 0, f"{type(error).__name__}: {error}"
    if answer.status == 200:
        return at, 200, answer.headers.get(POLICY, "none")
    return at, answer.status, text[:200].decode(errors="replace")


def main() -> None:
    """Tell the totals each second."""
    tally = Tally()
    for number in range(CALLERS):
        threading.Thread(target=call, args=(number, tally), daemon=True).start()
    while True:
        time.sleep(1)
        print(tally.line(), flush=True)


if __name__ == "__main__":
    sys.exit(main())
