"""The checker compares both ways: what it was told to expect, and what it was given."""

import math
from pathlib import Path

import pytest
import yaml

from ranges import check, faults

BENCH = Path(__file__).resolve().parents[3] / "bench"
BANDS = {"bands": {"found": {"min": 0.97, "target": 0.97}, "seconds": {"max": 3}}}


def test_within() -> None:
    assert faults(BANDS, {"found": 0.98, "seconds": 3}) == []


@pytest.mark.parametrize(
    ("measured", "fault"),
    [
        ({"found": 0.96, "seconds": 1}, "found: measured 0.96, outside its band 0.97 to inf"),
        ({"found": 0.98}, "seconds: has a band but was not measured"),
        ({"found": 0.98, "seconds": 1, "extra": 5}, "extra: measured 5 but has no band"),
        ({"found": math.nan, "seconds": 1}, "found: measured nan, which no band can hold"),
    ],
)
def test_each_fault_is_named(measured: dict[str, float], fault: str) -> None:
    assert faults(BANDS, measured) == [fault]


def test_unknown_keys_and_bands_without_limits() -> None:
    ranges = {"band": {}, "bands": {"found": {"target": 1, "maximum": 2}}}
    assert faults(ranges, {"found": 1}) == [
        "unknown key 'band' at the top of the range file",
        "found: unknown key 'maximum'",
        "found: a band needs min or max",
    ]


def test_exit_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "ranges.yaml"
    path.write_text(yaml.safe_dump(BANDS))
    assert check(path, {"found": 1, "seconds": 1}) == 0
    assert check(path, {"found": 0, "seconds": 1}) == 1
    assert "FAIL found" in capsys.readouterr().err


def test_only_the_bands_of_what_was_run(tmp_path: Path) -> None:
    path = tmp_path / "ranges.yaml"
    path.write_text(yaml.safe_dump({"bands": {"ramp.found": {"min": 0.9}, "late.found": {"min": 0.9}}}))
    assert check(path, {"ramp.found": 1}, among=("ramp.",)) == 0
    assert check(path, {"ramp.found": 1}) == 1
    assert check(path, {}, among=("ramp.",)) == 1


@pytest.mark.parametrize(
    "path", sorted(BENCH.rglob("ranges.yaml")), ids=lambda path: str(path.parent.relative_to(BENCH))
)
def test_every_range_file_can_be_read(path: Path) -> None:
    """Else a benchmark of hours ends in a fault of its file."""
    ranges = yaml.safe_load(path.read_text())
    within = {name: band.get("min", band.get("max")) for name, band in ranges["bands"].items()}
    assert faults(ranges, within) == []
