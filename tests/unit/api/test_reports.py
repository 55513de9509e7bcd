"""A pod's last word: its report, or where reports lie that do not fit; anything else is neither."""

import json
from typing import Any

import pytest

from belay_api.reports import MOST_BYTES, ReportsRef, read_reports
from belay_api.training import TrainingReport

DIGEST = "sha256:" + "a" * 64
REFERENCE = {"uri": f"store://sha256/{'a' * 64}", "digest": DIGEST, "size": 73_211}
REPORT = {"outcome": "Diverged", "index": 2, "seed": 12, "message": "loss is NaN"}


def test_the_report_of_one_seed_is_read_as_ever() -> None:
    assert read_reports(json.dumps(REPORT)) == (TrainingReport.model_validate(REPORT),)


@pytest.mark.parametrize("beside", [{}, {"version": 2}, REPORT], ids=["alone", "newer", "beside-a-report"])
def test_a_reference_goes_before_what_stands_beside_it(beside: dict[str, Any]) -> None:
    """A newer trainer may add to either form, and one report beside a reference to all says less than they do."""
    message = json.dumps({**beside, "reports": {**REFERENCE, "compressed": False}})
    assert read_reports(message) == ReportsRef(uri=REFERENCE["uri"], digest=DIGEST, size=73_211)


@pytest.mark.parametrize(
    "wrong",
    [
        {"digest": "md5:1"},
        {"uri": "http://elsewhere/reports"},
        {"uri": f"pvc://{'c' * 2000}/r"},
        {"size": 0},
        {"size": MOST_BYTES + 1},
        {"size": None},
    ],
    ids=str,
)
def test_a_reference_that_cannot_be_followed_is_none(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"reports.{next(iter(wrong))}"):
        read_reports(json.dumps({"reports": {**REFERENCE, **wrong}}))


@pytest.mark.parametrize("message", ["", "done", "[]", "{}", '{"reports": []}', "[" * 4096, '{"return": NaN}'])
def test_what_is_no_report_is_refused(message: str) -> None:
    with pytest.raises(ValueError, match="validation error"):
        read_reports(message)
