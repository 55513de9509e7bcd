"""Margins as people write them."""

import pytest
from pydantic import ValidationError

from belay_api.rollout.compare import Compare
from belay_api.rollout.margin import Margin


@pytest.mark.parametrize(
    ("text", "margin", "again"),
    [
        ("10%", Margin(0.1, relative=True), "10%"),
        ("7.5%", Margin(0.075, relative=True), "7.5%"),
        ("0.01", Margin(0.01, relative=False), "0.01"),
        ("250", Margin(250.0, relative=False), "250"),
        (250, Margin(250.0, relative=False), "250"),
        (0.01, Margin(0.01, relative=False), "0.01"),  # of a CRD that took numbers
    ],
)
def test_a_margin_is_a_share_or_a_number(text: object, margin: Margin, again: str) -> None:
    compare = Compare.model_validate({"maxIncrease": text})
    assert compare.margin == margin
    assert compare.dump()["maxIncrease"] == again
    assert Compare.model_validate(compare.dump()) == compare


@pytest.mark.parametrize("text", ["ten", "-5", "10 %", "1e-3", "", True, [1]])
def test_what_is_neither_is_told(text: object) -> None:
    with pytest.raises(ValidationError, match="write a share of stable's mean"):
        Compare.model_validate({"maxIncrease": text})
