"""What the demo decides by itself."""

import pytest

from belay_demo.install import gateway_class
from belay_demo.kube import Failed


def of(*names: str, accepted: str = "True") -> list[dict[str, object]]:
    conditions = [{"type": "Accepted", "status": accepted}]
    return [{"metadata": {"name": name}, "status": {"conditions": conditions}} for name in names]


@pytest.mark.parametrize(
    ("classes", "named", "want"),
    [
        (of("eg"), None, "eg"),
        (of("istio"), None, "istio"),
        (of("istio", "eg"), None, "eg"),
        (of("istio", "eg"), "istio", "istio"),
        (of("istio") + of("eg", accepted="False"), None, "istio"),
    ],
)
def test_the_class_named_else_eg_else_the_only_one(
    classes: list[dict[str, object]], named: str | None, want: str
) -> None:
    assert gateway_class(classes, named=named) == want


@pytest.mark.parametrize(
    ("classes", "named", "told"),
    [
        ([], None, "none"),
        (of("a", "b"), None, "a, b"),
        (of("eg"), "istio", "eg"),
        (of("eg", accepted="False"), None, "none"),
    ],
)
def test_a_class_that_is_not_clear_is_asked_for(classes: list[dict[str, object]], named: str | None, told: str) -> None:
    with pytest.raises(Failed, match=f"accepted GatewayClasses are {told}: name one"):
        gateway_class(classes, named=named)
