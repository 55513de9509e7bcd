"""What ends a pod that stands still: an environment that waits for something would hold its GPU for ever.

At work is who asks whether he must stop (`Stop`), which every phase does. A thread watches that. It cannot run while
something holds the interpreter, as a long regular expression does, so behind it stands a timer without Python.
"""

import faulthandler
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from types import FrameType

from belay_trainer.stop import Stop

BEHIND = 2  # the timer's patience, in patiences of the thread
LOOKS = 10  # of the thread within its patience
log = logging.getLogger(__name__)


def watch(stop: Stop, *, patience_s: float, field: str = "failure.stallTimeout", tell: Callable[[str], None]) -> None:
    """End the process with status 1 once nobody has looked at `stop` for so long. Call it in the main thread.

    Args:
        field: Of the spec that says how long.
        tell: Takes the reason, before the end.
    """
    watched = threading.main_thread().ident
    stop.last_looked = time.monotonic()  # nobody looked while slow modules were imported
    faulthandler.dump_traceback_later(BEHIND * patience_s, exit=True)

    def run() -> None:
        while time.monotonic() - stop.last_looked < patience_s:
            faulthandler.dump_traceback_later(BEHIND * patience_s, exit=True)  # replaces the one before
            time.sleep(patience_s / LOOKS)
        frame = sys._current_frames()[watched]
        log.error("the trainer stands still:\n%s", "".join(traceback.format_stack(frame)))
        tell(f"no timestep and no update ended for {patience_s:g} s ({field}): it stands {_place(frame)}.")
        os._exit(1)  # not sys.exit: that waits for what stands still

    threading.Thread(target=run, name="stall", daemon=True).start()


def _place(frame: FrameType) -> str:
    code = frame.f_code
    return f"in {code.co_name}, {code.co_filename} line {frame.f_lineno}"
