"""The benches' own modules, found as they find each other when one is run."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[3] / "bench" / "rollback"))
