"""`training.zip`: what Stable-Baselines3 loads a model from, the same bytes whenever the same training ran."""

import io
import re
import zipfile
from pathlib import Path

from stable_baselines3.common.base_class import BaseAlgorithm

_CLOCKED = ("start_time", "ep_info_buffer", "ep_success_buffer")  # hold times of day, and no part of a policy
_ADDRESS = re.compile(rb" at 0x[0-9a-f]+")
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the first that a zip file can tell


def write(model: BaseAlgorithm, path: Path) -> None:
    """Write the model as the library saves it, without what differs from run to run."""
    content = io.BytesIO()
    model.save(content, exclude=_CLOCKED)
    with zipfile.ZipFile(content) as written, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name in sorted(written.namelist()):
            part = written.read(name)
            if name == "data":  # beside every pickled object stand its members in words, with their addresses
                part = _ADDRESS.sub(b"", part)
            zipped.writestr(zipfile.ZipInfo(name, _LONG_AGO), part)
