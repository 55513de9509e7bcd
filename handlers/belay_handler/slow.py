"""The answers that took long, one by one, as TorchServe's access log has them.

TorchServe does not tell its workers when a request arrived. But it logs for every answer how long it took, from the
request read whole to the answer sent, whoever gave the answer: the handler, or TorchServe itself where the worker died,
hung or had no room. `torchserve.LOG4J` lets through the lines of SLOW_S and more (all of them cost more than inference)
and writes them to a file, which is read here. A line is `/10.0.0.7:5122 "POST /predictions/policy HTTP/1.1" 200 137`;
the last number is a difference of two clocks of whole milliseconds, so the answer took more than one millisecond less.
"""

import os
from io import FileIO
from pathlib import Path

SLOW_S = 0.01  # the lines with two digits of milliseconds and more


class SlowLog:
    """Follows the file through its rotations, from where it ends now: earlier answers were an earlier worker's."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: FileIO | None = None
        self._rest = b""  # of a line that is not whole yet
        if (file := self._open()) is not None:
            file.seek(0, os.SEEK_END)
            self._file = file

    def read(self) -> list[float]:
        """Return how many seconds each slow answer took that was logged since the last call."""
        if self._file is None:
            self._file = self._open()
        if self._file is None:
            return []
        text = self._rest + self._file.readall()
        if self._rotated(self._file):
            text += self._file.readall()  # what was written in between: no more comes
            self._file.close()
            self._file = self._open()
            text += self._file.readall() if self._file is not None else b""
        *lines, self._rest = text.split(b"\n")
        return [took for line in lines if (took := _took(line)) is not None]

    def _open(self) -> FileIO | None:
        try:
            return FileIO(self._path)
        except FileNotFoundError:  # TorchServe makes it as it starts, or is just renaming it
            return None

    def _rotated(self, file: FileIO) -> bool:
        try:
            return os.fstat(file.fileno()).st_ino != self._path.stat().st_ino
        except FileNotFoundError:
            return False


def _took(line: bytes) -> float | None:
    """Seconds; None: it is no line of an answer."""
    number = line.rpartition(b" ")[2]
    return int(number) / 1000 if number.isdigit() else None
