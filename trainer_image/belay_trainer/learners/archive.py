"""`training.zip`: what Stable-Baselines3 loads a model from, the same bytes whenever the same training ran."""

import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm

_CLOCKED = ("start_time", "ep_info_buffer", "ep_success_buffer")  # hold times of day, and no part of a policy
_ADDRESS = re.compile(rb" at 0x[0-9a-f]+")
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the first that a zip file can tell


STATISTICS = "statistics.json"  # which the library leaves out, and a training that begins with the policy needs


def write(model: BaseAlgorithm, path: Path, *, instead: dict[str, Any], statistics: dict[str, dict[str, Any]]) -> None:
    """Write the model as the library saves it, without what differs from run to run.

    Args:
        instead: What stands in the file in place of attributes that a checkpoint gives back: what was pickled once has
            the same values and is pickled to other bytes.
        statistics: Running ones of observations and rewards, by name; empty: there are none.
    """
    content, now = io.BytesIO(), {name: getattr(model, name) for name in instead}
    vars(model).update(instead)
    try:
        model.save(content, exclude=_CLOCKED)
    finally:
        vars(model).update(now)
    with zipfile.ZipFile(content) as written, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name in sorted(written.namelist()):
            part = written.read(name)
            if name == "data":  # beside every pickled object stand its members in words, with their addresses
                part = _ADDRESS.sub(b"", part)
            zipped.writestr(zipfile.ZipInfo(name, _LONG_AGO), part)
        if statistics:
            zipped.writestr(zipfile.ZipInfo(STATISTICS, _LONG_AGO), json.dumps(statistics, sort_keys=True))
