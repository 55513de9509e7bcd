"""What the image weighs: every node that trains pulls it. The numbers by part: trainer_image/README.md."""

import os
from pathlib import Path

MOST = 1_060_000_000
"""Bytes under /usr with the packages of these tests: 986 MB were measured, 1,436 before parts were left out."""


def test_the_image_stays_lean() -> None:
    files = (Path(folder, name) for folder, _, names in os.walk("/usr") for name in names)
    assert sum(path.lstat().st_size for path in files) <= MOST
