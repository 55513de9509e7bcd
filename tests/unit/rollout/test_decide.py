"""What a rollout does next, case by case; a folder per question, the file name is the claim."""

from pathlib import Path

import pytest
from tests.cases import Case, case_files
from tests.unit.rollout.given import GIVEN, after, observed, summary

from belay_operator.rollout.decide import decide

HERE = Path(__file__).parent / "cases"
FOLDERS = sorted(folder for folder in HERE.iterdir() if folder.is_dir())
CASES = [path for folder in FOLDERS for path in case_files(folder)]


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_decide(path: Path, refresh: bool) -> None:
    case = Case.read(path, given=GIVEN)
    seen = observed(case.given, case.now)
    plan = decide(seen, case.now)

    if refresh:
        case.rewrite(summary(plan))
    assert summary(plan) == case.want
    jobs = any(manifest["kind"] == "Job" for manifest in plan.apply) or "job" in case.given  # see test_judged_steps
    if not plan.delete and not jobs:  # a deletion is seen as soon as it is done, and the next pass goes on from there
        assert decide(after(seen, plan, case.now, case.given), case.now).writes == (), "a second pass writes nothing"
