"""What the image weighs and computes with: every node that trains pulls it, and every update multiplies matrices."""

import os
from pathlib import Path

import torch

MOST = 1_110_000_000
"""Bytes under /usr with the packages of these tests: 1,026 MB were measured, 1,436 before parts were left out."""


def test_the_image_stays_lean() -> None:
    files = (Path(folder, name) for folder, _, names in os.walk("/usr") for name in names)
    assert sum(path.lstat().st_size for path in files) <= MOST


def test_matrices_are_multiplied_by_openblas() -> None:
    torch.ones(64, 64) @ torch.ones(64, 64)
    assert "openblas" in Path("/proc/self/maps").read_text(), "Debian's plain BLAS is twelve times slower with SAC"
