"""What the command line takes for its own and what it passes on."""

import pytest

from belay_cluster.__main__ import parse


@pytest.mark.parametrize("order", [["--mount", "a:b", "name"], ["name", "--mount", "a:b"]])
def test_options_may_stand_on_both_sides_of_the_image(order: list[str]) -> None:
    options, command = parse(["image-run", *order, "--", "python3", "-m", "pytest", "--mount", "x", "--", "y"])
    assert (options.name, options.mount) == ("name", ["a:b"])
    assert command == ["python3", "-m", "pytest", "--mount", "x", "--", "y"]


@pytest.mark.parametrize("arguments", [["image-run", "name"], ["up", "--", "x"], ["build", "--only", "nothing"]])
def test_what_makes_no_sense_is_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit):
        parse(arguments)
