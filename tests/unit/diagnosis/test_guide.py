"""The guide describes every finding, in the order in which they are told."""

import re
from pathlib import Path

from belay_api.reasons import FindingReason
from belay_trainer.diagnosis.chance import ENOUGH_EPISODES, SOME_EPISODES

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "diagnose.md"


def test_every_finding_has_its_row() -> None:
    assert re.findall(r"^\| `(\w+)` \|", GUIDE.read_text(), re.MULTILINE) == [*FindingReason]
    assert str(ENOUGH_EPISODES) in GUIDE.read_text()
    assert f"| `RewardConstant` | {SOME_EPISODES} episodes" in GUIDE.read_text()
