"""Long tests of the trainer. They need torch and Stable-Baselines3: `make test-long` runs them in the image."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # see tests/unit/trainer
ROOT = Path(__file__).resolve().parents[3]
collect_ignore_glob = [] if find_spec("stable_baselines3") else ["test_*.py"]
if not collect_ignore_glob:
    sys.path[:0] = [str(ROOT / "tests" / "unit" / "trainer"), str(ROOT / "api"), str(ROOT / "trainer_image")]
