"""What a spec names as `package.module:attribute`: the class of a wrapper, a potential, a controller."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from belay_api.words import nearest
from belay_trainer.errors import BadConfiguration


def imported(name: str, *, field: str, what: str, fits: Callable[[Any], bool]) -> Any:
    """Return what is called so.

    Args:
        field: Where the name stands, for messages.
        what: It has to be, as in `a function`.
        fits: Whether a value is one.
    Raises: BadConfiguration, with the nearest name that fits.
    """
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise BadConfiguration(f"{field} is {name!r}, wanted {what}: write package.module:name.")
    try:
        content = vars(import_module(module))
        place = content.get("__file__") or "built in"
    except (OSError, MemoryError):  # the machine's
        raise
    except (Exception, SystemExit) as error:  # whatever a user's module raises
        raise BadConfiguration(
            f"{field}: {module} cannot be imported: {type(error).__name__}: {error}. A module of your own belongs in "
            "runtime.code, one of a package index in runtime.packages."
        ) from error
    found = content.get(attribute)
    if not fits(found):
        near = nearest(attribute, (other for other, value in content.items() if fits(value)))
        seen = f"{attribute} is a {type(found).__name__}" if attribute in content else f"there is no {attribute}"
        raise BadConfiguration(
            f"{field}: in {module} ({place}) {seen}, wanted {what}" + (f": did you mean {near}?" if near else ".")
        )
    return found
