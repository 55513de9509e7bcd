"""Taking the network away from a machine."""

from belay_cluster.network import _lines


def test_a_machine_without_the_program_has_nothing_of_it_to_remove() -> None:
    assert _lines(["echo", "one"]) == ["one"]
    assert _lines(["no-such-program", "list"]) == []
