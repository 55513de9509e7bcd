"""The API server's rules that hold on a laptop too.

A rule is written once, in CEL, with its message, beside the field it is about. No small package evaluates CEL, so a
rule that decides how something is trained has a twin here, found by its text. One without a twin is named as unchecked,
not passed over: whoever adds a rule need not know of this file.
"""

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from belay_api import adversary
from belay_api.algorithms import FROM_DATASET
from belay_api.algorithms.custom import ENTRYPOINT_RULE
from belay_api.algorithms.recurrent_ppo import ONE_CRITIC_RULE
from belay_api.units import DURATION_PATTERN, DURATION_RULE, parse_duration

Twin = Callable[[Any], bool]
"""Whether a mapping, a list or text (`self` in CEL: as the YAML has it, with defaults) keeps a rule."""

_ANY_OF = re.compile(r"^(has\(self\.\w+\)(?: \|\| has\(self\.\w+\))+)$")
_ONE_OF = re.compile(r"^(has\(self\.name\) \|\| )?\[(has\(self\.\w+\)(?:, has\(self\.\w+\))*)\]\.exists_one\(x, x\)$")
_ENTRYPOINT = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_]*")
_MATCHES_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
SHORTEST_GRACE, LONGEST_GRACE = timedelta(seconds=10), timedelta(hours=1)

TWINS: dict[str, Twin] = {
    "size(self.metadata.name) <= 52": lambda it: len(it["metadata"]["name"]) <= 52,
    "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')": (
        lambda it: bool(_MATCHES_NAME.fullmatch(it["metadata"]["name"]))
    ),
    "!has(self.low) || !has(self.high) || self.low <= self.high": (
        lambda it: "low" not in it or "high" not in it or it["low"] <= it["high"]
    ),
    ONE_CRITIC_RULE: lambda it: not (it.get("shared_lstm") and it.get("enable_critic_lstm")),
    ENTRYPOINT_RULE: lambda it: bool(_ENTRYPOINT.fullmatch(it["entrypoint"])),
    "!(self.name in ['return', 'length', 'success'])": lambda it: it["name"] not in ("return", "length", "success"),
    "!has(self.uniform) || !has(self.log)": lambda it: "uniform" not in it or "log" not in it,
    "self[0] <= self[1]": lambda it: it[0] <= it[1],
    "!has(self.name) && !has(self.hyperparameters)": lambda it: "name" not in it and "hyperparameters" not in it,
    "has(self.environment) != has(self.dataset)": lambda it: ("environment" in it) != ("dataset" in it),
    f"has(self.dataset) == ({' || '.join(f'has(self.algorithm.{name})' for name in FROM_DATASET)})": (
        lambda it: ("dataset" in it) == any(name in it["algorithm"] for name in FROM_DATASET)
    ),
    "!has(self.initFrom) || has(self.environment)": lambda it: "initFrom" not in it or "environment" in it,
    "!has(self.adversary) || has(self.environment)": lambda it: "adversary" not in it or "environment" in it,
    f"!has(self.adversary) || {adversary.RULE}": (
        lambda it: "adversary" not in it or not set(adversary.UNATTACKED) & it["algorithm"].keys()
    ),
    "!has(self.gates) || has(self.environment) || has(self.evaluation.environment)": (
        lambda it: "gates" not in it or _is_played(it)
    ),
    "!has(self.search) || has(self.environment) || has(self.evaluation.environment)": (
        lambda it: "search" not in it or _is_played(it)
    ),
    "has(self.dataset) || !has(self.evaluation.environment)": (
        lambda it: "dataset" in it or "environment" not in it.get("evaluation", {})
    ),
    "!has(self.dataset) || has(self.evaluation.environment)"
    " || !has(self.evaluation.target) && !has(self.evaluation.stopLoss)": (
        lambda it: (
            "dataset" not in it
            or "environment" in it.get("evaluation", {})
            or not {"target", "stopLoss"} & it.get("evaluation", {}).keys()
        )
    ),
    "!has(self.dataset) || !has(self.evaluation.environment) || !has(self.dataset.actions)": (
        lambda it: "actions" not in it.get("dataset", {}) or "environment" not in it.get("evaluation", {})
    ),
    "has(self.low) == has(self.high) && has(self.low) != has(self.choices)": (
        lambda it: ("low" in it) == ("high" in it) != ("choices" in it)
    ),
    "!has(self.low) || !has(self.high) || size(self.low) == size(self.high)": (
        lambda it: "low" not in it or "high" not in it or len(it["low"]) == len(it["high"])
    ),
    "!has(self.parallelism) || self.parallelism > 0": lambda it: it.get("parallelism", 1) > 0,
    "!has(self.required) || self.required <= self.count": (
        lambda it: "required" not in it or it["required"] <= it["count"]
    ),
    "!has(self.grace) || !self.grace.contains('d') && duration(self.grace) >= duration('10s')"
    " && duration(self.grace) <= duration('1h')": (
        lambda it: "d" not in it["grace"] and SHORTEST_GRACE <= parse_duration(it["grace"]) <= LONGEST_GRACE
    ),
    "!has(self.stallTimeout) || !self.stallTimeout.contains('d') && duration(self.stallTimeout) >= duration('1s')": (
        lambda it: "d" not in it["stallTimeout"] and parse_duration(it["stallTimeout"]) >= timedelta(seconds=1)
    ),
    DURATION_RULE: lambda it: bool(re.fullmatch(DURATION_PATTERN, it)),
    "!has(self.deadline) || self.deadline.matches('[1-9]')": (
        lambda it: "deadline" not in it or parse_duration(it["deadline"]) > timedelta(0)
    ),
    "!has(self.search) || !has(self.algorithm.custom)": (
        lambda it: "search" not in it or "custom" not in it["algorithm"]
    ),
    "!has(self.dimensions) || self.dimensions > 0 || has(self.space) && size(self.space) > 0": (
        lambda it: it.get("dimensions") != 0 or bool(it.get("space"))
    ),
    "size(self.family) <= 39 && self.family.matches('^[a-z]')": (
        lambda it: len(it["family"]) <= 39 and it["family"][:1].islower()
    ),
}


def _is_played(it: Mapping[str, Any]) -> bool:
    """Whether a job has an environment to play its policies in."""
    return "environment" in it or "environment" in it.get("evaluation", {})


def twin(rule: str) -> Twin | None:
    """Return the twin of a CEL rule; None: it is not checked here."""
    if one_of := _ONE_OF.match(rule):
        names, old_form = re.findall(r"self\.(\w+)", one_of[2]), one_of[1] is not None
        return lambda it: (old_form and "name" in it) or sum(name in it for name in names) == 1
    if _ANY_OF.match(rule):
        names = re.findall(r"self\.(\w+)", rule)
        return lambda it: any(name in it for name in names)
    return TWINS.get(rule)
