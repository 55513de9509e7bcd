"""Import a user's module, of an environment's id or another field, and say what is missing when that fails."""

import importlib
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import gymnasium

from belay_api.words import nearest
from belay_trainer.errors import BadConfiguration
from belay_trainer.runtime.importable import is_own, own_modules

_LISTED = 10  # names in a message


@dataclass(frozen=True, slots=True)
class Imported:
    """The module in front of an environment's id."""

    module: str
    registered: tuple[str, ...]  # ids that came with it, or whose environments its package has


def import_module_of(id: str) -> Imported | None:
    """Import the module in front of an id, as in `package.module:Id-v0`; None: there is none.

    Raises: BadConfiguration for whatever the module's own code raises. What the machine may be at fault for, a file
        that cannot be read for instance, is left as it is.
    """
    module, colon, _ = id.rpartition(":")
    if not colon:
        return None
    before = set(gymnasium.registry)
    import_own(module, field="environment.id", form="package.module:Id-v0")
    came = set(gymnasium.registry) - before  # nothing where it was imported before
    return Imported(module, tuple(sorted(came | _ids_of(module.partition(".")[0]))))


def import_own(module: str, *, field: str, form: str) -> ModuleType:
    """Import a module that a field of the spec names.

    Args:
        field: For messages.
        form: What the field looks like where the module is in a package, such as `package.module:Id-v0`.
    Raises: as `import_module_of`.
    """
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise BadConfiguration(_missing(module, error, field)) from error
    except (OSError, MemoryError):
        raise
    except (Exception, SystemExit) as error:  # a script that ends itself would end the pod as if it had succeeded
        words = f"{place(error)}{type(error).__name__}: {error}.{_advice(error, form)}"
        raise BadConfiguration(f"{field}: {module} cannot be imported: {words}") from error
    _check_not_hidden(module.partition(".")[0], field)
    return found


def place(error: BaseException) -> str:
    """Return where in the user's own code it happened, as `file.py line 3: `; empty where nobody knows."""
    frames = [one for one in traceback.extract_tb(error.__traceback__) if not _of_python(one.filename)]
    own = [one for one in frames if is_own(Path(one.filename))]  # what a library raised was called from there
    last = (own or [one for one in frames if not _of_library(one.filename)] or frames)[-1:]
    return f"{Path(last[0].filename).name} line {last[0].lineno}: " if last else ""


def _check_not_hidden(top: str, field: str) -> None:
    """Raise BadConfiguration where the user has a module of that name, and another one was imported."""
    found = sys.modules[top]
    places = [found.__file__] if getattr(found, "__file__", None) else list(getattr(found, "__path__", ()))
    if top in own_modules() and not any(is_own(Path(place)) for place in places):
        raise BadConfiguration(
            f"{field}: {top} is a module of Python or the image ({', '.join(places) or 'built in'}), which the "
            "one in runtime.code does not replace. Give yours another name."
        )


def _missing(module: str, error: ModuleNotFoundError, field: str) -> str:
    name = error.name or module
    top = name.partition(".")[0]
    if module != name and not module.startswith(f"{name}."):
        return (
            f"{field}: {module} imports {name}, which this pod does not have. Name the package that has it in "
            f"runtime.packages, such as {top.replace('_', '-')}==<version>; one of your own belongs in runtime.code."
        )
    said, own = f"{field}: this pod has no module {name}. ", own_modules()
    if own:
        near = None if top in own else nearest(top, own)
        more = ", ..." if len(own) > _LISTED else ""
        said += f"runtime.code has {', '.join(own[:_LISTED])}{more}{f': did you mean {near}?' if near else '.'} "
    return said + (
        "Put a module of your own into runtime.code, as `kubectl create configmap my-task --from-file=my_task.py` and "
        "runtime.code: {configMap: {name: my-task}} do; one of a package index into runtime.packages."
    )


def _of_library(filename: str) -> bool:
    path = Path(filename)
    return path.is_relative_to(Path(__file__).parent) or bool({"site-packages", "dist-packages"} & set(path.parts))


def _of_python(filename: str) -> bool:
    return filename.startswith("<") or filename in (importlib.__file__, __file__)


def _advice(error: BaseException, form: str) -> str:
    if isinstance(error, ImportError) and "relative import" in str(error):
        return (
            " Name a package in runtime.code.configMap.package: the files are its modules then, and the field is "
            f"{form}."
        )
    return ""


def _ids_of(package: str) -> set[str]:
    """Return the ids whose environments a package has."""
    return {id for id, spec in gymnasium.registry.items() if _home(spec.entry_point).partition(".")[0] == package}


def _home(entry_point: object) -> str:
    """Return the module of what makes an environment."""
    if isinstance(entry_point, str):
        return entry_point.partition(":")[0]
    return str(getattr(entry_point, "__module__", ""))
