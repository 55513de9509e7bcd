"""One file per step kind, behind the class in `step.py`, found by its `KIND`."""

import importlib
import pkgutil

from belay_operator.rollout.steps.step import StepKind

_MODULES = [importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
KINDS: dict[str, StepKind] = {module.KIND.name: module.KIND for module in _MODULES if hasattr(module, "KIND")}
"""Every kind by its name, those included that no spec lists."""
