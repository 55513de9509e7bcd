"""Which specs an API server lets through: Hypothesis strategies made from the generated schemas.

A spec is accepted by the CRD of this version, or it was accepted by the CRD of another one: a newer one knows fields,
words and kinds that this one does not, an older one took durations that this one refuses. An operator meets both,
after a downgrade and after an upgrade. `tests/api/test_accepted.py` proves the first half on a real API server.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from functools import partial
from typing import Any

from hypothesis import strategies as st

from belay_api.algorithms import ALGORITHMS, FROM_DATASET
from belay_api.crd import Schema, structural
from belay_api.rollout.recipes import Recipe
from belay_api.rollout.spec import RLRolloutSpec
from belay_api.training import RLTrainingJobSpec
from belay_api.units import DURATION_PATTERN

Spec = dict[str, Any]

_LONGEST_LIST = 4  # lists of the most an API server takes find nothing more, and slowly
_INT64 = 2**63 - 1
_JSON = st.recursive(
    st.one_of(st.booleans(), st.integers(-1000, 1000), st.text(max_size=8)),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=8), inner, max_size=2),
    max_leaves=4,
)
_HUGE_DURATIONS = st.sampled_from(["99999d", "999999999999h", "36501d", "9" * 31 + "s"])


def values(schema: Schema) -> st.SearchStrategy[Any]:
    """Return the values that fit a structural schema; its CEL rules are not asked."""
    if "strategy" in schema:
        return schema["strategy"]  # type: ignore[no-any-return]
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "x-kubernetes-int-or-string" in schema:
        return st.integers(0, 64) | _matching(schema)
    if "x-kubernetes-preserve-unknown-fields" in schema:
        return st.dictionaries(st.text(min_size=1, max_size=8), _JSON, max_size=3)
    return _OF_TYPE[schema["type"]](schema)


def _object(schema: Schema) -> st.SearchStrategy[Spec]:
    if isinstance(inner := schema.get("additionalProperties"), dict):
        return st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), values(inner), max_size=3)
    fields, required = schema["properties"], schema.get("required", ())
    return st.fixed_dictionaries(
        {name: values(fields[name]) for name in required},
        optional={name: values(field) for name, field in fields.items() if name not in required},
    )


def _array(schema: Schema) -> st.SearchStrategy[list[Any]]:
    keys = schema.get("x-kubernetes-list-map-keys")
    return st.lists(
        values(schema["items"]),
        min_size=schema.get("minItems", 0),
        max_size=min(schema.get("maxItems", _LONGEST_LIST), _LONGEST_LIST),
        unique_by=(lambda item: tuple(item[key] for key in keys)) if keys else None,
    )


def _matching(schema: Schema) -> st.SearchStrategy[str]:
    shortest, longest = schema.get("minLength", 0), schema.get("maxLength", 128)
    if "pattern" not in schema:
        return st.text(
            st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=shortest, max_size=min(longest, 16)
        )
    # Without an end, repetitions make most texts too long, and drawing one takes milliseconds.
    pattern = re.sub(r"(?<=[\])])[*+]", lambda repeat: "{0,3}" if repeat[0] == "*" else "{1,6}", schema["pattern"])
    made = st.from_regex(re.compile(pattern, re.ASCII))
    # Python's `$` lets a final newline pass, the API server's does not.
    return made.filter(lambda text: shortest <= len(text) <= longest and not text.endswith("\n"))


def _integer(schema: Schema) -> st.SearchStrategy[int]:
    return st.integers(schema.get("minimum", -_INT64), schema.get("maximum", _INT64))


def _number(schema: Schema) -> st.SearchStrategy[float]:
    return st.floats(
        schema.get("minimum"),
        schema.get("maximum"),
        exclude_min=schema.get("exclusiveMinimum", False),
        exclude_max=schema.get("exclusiveMaximum", False),
        allow_nan=False,
        allow_infinity=False,
    )


_OF_TYPE: dict[str, Callable[[Schema], st.SearchStrategy[Any]]] = {
    "object": _object,
    "array": _array,
    "string": _matching,
    "integer": _integer,
    "number": _number,
    "boolean": lambda schema: st.booleans(),
}


@st.composite
def accepted_rollout_specs(draw: st.DrawFn) -> Spec:
    """Return a spec that the API server accepts, or that one with the CRD of another version has accepted."""
    spec: Spec = draw(rollout_specs())
    return draw(_of_another_version(spec, _ROLLOUT)) if draw(st.booleans()) else spec


@st.composite
def rollout_specs(draw: st.DrawFn) -> Spec:
    """Return a spec that this version's API server accepts, CEL rules included."""
    spec: Spec = draw(_SPECS)
    analysis, gateway = spec.setdefault("analysis", {}), "gatewayAPI" in spec["traffic"]
    by_user = spec["traffic"].get("gatewayAPI", {}).get("assignment") == "User"
    fits = partial(_fits, gateway=gateway, by_user=by_user)
    can = [metric for metric in analysis.get("metrics", ()) if fits(metric)]
    if "metrics" in analysis:
        analysis["metrics"] = can
    deciding = [metric for metric in can if not metric.get("dryRun")]
    if "recipe" in spec or "progression" in spec:
        spec.pop("steps", None)
    if "recipe" in spec:
        spec.pop("progression", None)
    if not gateway:
        spec["steps"] = [step for step in spec.get("steps", ()) if "match" not in step and "shadow" not in step]
        if "shadowThenCanary" in spec.get("recipe", {}):
            spec["recipe"] = {"canary": {}}
    if by_user and "steps" in spec:
        spec["steps"] = [step for step in spec["steps"] if "match" not in step]
    judging = set(spec.get("recipe", {})) & set(Recipe.judging())
    analyzes = bool(judging) or any("analyze" in step for step in spec.get("steps", ()))
    if analyzes and not deciding:
        usable = _METRICS.filter(lambda metric: not metric.get("dryRun") and fits(metric))
        analysis["metrics"] = deciding = [draw(usable)]
    compares = any("compare" in metric for metric in deciding)
    analysis.pop("anchor", None)
    if compares and analyzes:
        analysis["anchor"] = draw(st.sampled_from(["Approve", "Serve"] if gateway and not by_user else ["Approve"]))
    outcomes = [metric["name"] for metric in deciding if "compare" in metric and "logbook" in metric["source"]]
    if outcomes and gateway and draw(st.booleans()):
        spec["policy"] = {"winnerOf": draw(_EXPERIMENTS) | {"metric": draw(st.sampled_from(outcomes))}}
        for arm in spec["policy"]["winnerOf"]["arms"] if by_user else ():
            arm["weight"] = 10 * (1 + arm.get("weight", 10) % 2)  # whole tens, and four of them keep below 90 percent
    watched = any("serving" in metric["source"] for metric in deciding if "limit" in metric)
    if not (outcomes or watched) or not _above_zero(spec.get("bake", {}).get("keepWarm", "24h")):
        spec.get("watch", {}).pop("onDegraded", None)  # there would be nothing to watch by, or nobody to go back to
    return spec


def _fits(metric: Spec, *, gateway: bool, by_user: bool) -> bool:
    """Whether a metric may stand beside such traffic."""
    source = metric["source"]
    if by_user and ("maxRegret" in metric or ("compare" in metric and "prometheus" in source)):
        return False
    return gateway or "gateway" not in source


def progression_specs() -> st.SearchStrategy[Spec]:
    """Return specs of progressions that this version's API server accepts."""
    return st.fixed_dictionaries({"steps": st.lists(_STEPS, min_size=1, max_size=_LONGEST_LIST)})


def training_specs() -> st.SearchStrategy[Spec]:
    """Return specs of which an API server accepts a good part: of one algorithm each, other CEL rules not asked."""
    collecting = [name for name in ALGORITHMS if name not in FROM_DATASET]
    return _training_specs("environment", collecting) | _training_specs("dataset", FROM_DATASET)


def _training_specs(source: str, algorithms: Sequence[str]) -> st.SearchStrategy[Spec]:
    """Return specs of trainings that learn from an environment, or from a dataset."""
    schema = deepcopy(structural(RLTrainingJobSpec))
    fields = schema["properties"]
    one_each = ({name: values(fields["algorithm"]["properties"][name])} for name in algorithms)
    fields["algorithm"]["strategy"] = st.one_of(*map(st.fixed_dictionaries, one_each))
    for left_out in {"environment", "dataset"} - {source}:
        del fields[left_out]
    schema["required"] = [*schema.get("required", ()), source]
    if source == "environment":
        del fields["evaluation"]["properties"]["environment"]
    else:
        for of_returns in ("target", "stopLoss"):
            del fields["evaluation"]["properties"][of_returns]
        del fields["dataset"]["properties"]["actions"]
    _rule_runtime(fields["runtime"]["properties"])
    return values(schema)


def _rule_runtime(fields: dict[str, Schema]) -> None:
    """Give the fields of `runtime` a strategy of their own wherever a CEL rule says more than the schema."""
    code = fields["code"]["properties"]
    code["git"]["properties"]["url"]["strategy"] = st.sampled_from(
        ["https://git.example.com/a", "http://git.svc/b.git"]
    )
    fields["code"]["strategy"] = st.one_of(*(st.fixed_dictionaries({k: values(v)}) for k, v in code.items()))
    fields["packages"]["items"]["strategy"] = st.sampled_from(["highway-env==1.12.1", "a[b,c]==2!1.0+cpu"])
    fields["packageIndex"]["strategy"] = st.just("https://pypi.example.com/simple")
    fields["shm"]["strategy"] = st.sampled_from(["64Mi", 1_000_000])
    for condition in _having(fields["affinity"], "operator"):
        condition["required"] = ["key", "operator", "values"]
        condition["properties"]["operator"] = {"enum": ["In", "NotIn"]}
        condition["properties"]["values"]["minItems"] = 1
    variable = fields["env"]["items"]
    variable["strategy"] = st.fixed_dictionaries(
        {"name": st.from_regex(r"[A-Z]{3}_[a-z.-]{1,4}", fullmatch=True)},
        optional={"value": values(variable["properties"]["value"])},
    )
    origin = fields["envFrom"]["items"]
    of = origin["properties"]
    origin["strategy"] = st.one_of(
        *(
            st.fixed_dictionaries({name: values(of[name])}, optional={"prefix": values(of["prefix"])})
            for name in ("configMapRef", "secretRef")
        )
    )
    volume = fields["volumes"]["items"]
    of = volume["properties"]
    volume["strategy"] = st.one_of(
        *(st.fixed_dictionaries({"name": values(of["name"]), name: values(of[name])}) for name in of if name != "name")
    )
    del fields["volumeMounts"]  # each names one of the volumes: tests/api/schema has them


def _having(schema: Any, field: str) -> Iterator[Schema]:
    """Yield every object of a schema that has `field`."""
    if not isinstance(schema, dict):
        return
    if field in schema.get("properties", {}):
        yield schema
    for inner in schema.values():
        yield from _having(inner, field)


def _ruled(schema: Schema) -> Schema:
    """Return the rollout's schema with a strategy of its own wherever a CEL rule says more than the schema."""
    ruled = deepcopy(schema)
    fields = ruled["properties"]
    policy = fields["policy"]["properties"]
    older = {"allowOlder": values(policy["allowOlder"])}
    fields["policy"]["strategy"] = st.one_of(
        st.fixed_dictionaries({"name": values(policy["name"])}),
        st.fixed_dictionaries({"latestOf": values(policy["latestOf"])}, optional=older),
        # An experiment names a metric of the analysis: `rollout_specs` draws it where there is one.
    )
    kept = fields["rollback"]["properties"]["keepCandidate"]
    kept["strategy"] = values(kept).filter(_above_zero)
    alarms = fields["watch"]["properties"]["falseAlarmsPerMonth"]
    alarms["strategy"] = st.floats(0.01, 10) | st.integers(1, 10)
    gateway, analysis = fields["traffic"]["properties"]["gatewayAPI"], fields["analysis"]["properties"]
    path = gateway["properties"]["path"]
    path["strategy"] = values(path).filter(lambda text: not re.search(r"//|/[.][.]?(/|$)", text))
    preview = gateway["properties"]["preview"]["properties"]["hostnames"]
    preview["strategy"] = st.just(["preview.example.com"])  # none of the rollout's own
    ways = fields["traffic"]["properties"]
    fields["traffic"]["strategy"] = st.one_of(*(st.fixed_dictionaries({k: values(v)}) for k, v in ways.items()))
    for duration in (analysis["window"], analysis["grace"]):
        duration["strategy"] = values(duration).filter(_above_zero)
    recipes = fields["recipe"]["properties"]
    for holder in (fields["steps"]["items"], *recipes.values()):
        _rule_approve(holder["properties"]["approve"])
    _rule_together(fields["steps"]["items"]["properties"]["together"])
    for name in ("canary", "shadowThenCanary"):
        weights = st.sets(st.integers(1, 99), min_size=1, max_size=4).map(sorted)
        recipes[name]["properties"]["weights"]["strategy"] = weights
    recipes["blueGreen"]["strategy"] = _object(recipes["blueGreen"]).filter(lambda said: said)
    _rule_shadow(recipes["shadowThenCanary"]["properties"]["shadow"])
    fields["recipe"]["strategy"] = st.one_of(*(st.fixed_dictionaries({k: values(v)}) for k, v in recipes.items()))
    _rule_judged(fields["steps"]["items"]["properties"])
    _rule_match(fields["steps"]["items"]["properties"]["match"]["properties"]["headers"])
    _rule_shadow(fields["steps"]["items"]["properties"]["shadow"])
    del fields["judging"]["properties"]["runtime"]  # a training's: `training_specs` have it
    window = fields["windows"]["items"]
    window["properties"]["timeZone"]["strategy"] = st.sampled_from(["Europe/Berlin", "UTC", "America/St_Johns"])
    window["strategy"] = _object(window).filter(lambda one: one["from"] != one["to"])
    for name in ("onNoData", "onProviderDown", "onNotEnoughSamples"):
        analysis[name]["properties"]["action"]["strategy"] = st.sampled_from(["Hold", "Rollback"])
    steps = fields["steps"]["items"]
    steps["strategy"] = st.one_of(*(st.fixed_dictionaries({k: values(v)}) for k, v in steps["properties"].items()))
    metrics = analysis["metrics"]["items"]
    metrics["strategy"] = st.one_of(*_metrics(metrics["properties"]))
    return ruled


def _experiments(winner_of: Schema) -> st.SearchStrategy[Spec]:
    """Return experiments; a few arms keep below 90 percent together, and nothing lasts no time."""
    fields = deepcopy(winner_of)["properties"]
    fields["arms"]["items"]["properties"]["weight"] = {"type": "integer", "minimum": 1, "maximum": 22}
    needed = {"arms": values(fields["arms"])}
    durations = {name: values(fields[name]).filter(_above_zero) for name in ("duration", "timeout", "keepLosers")}
    rest = {name: values(fields[name]) for name in fields if name not in ("arms", "metric", *durations)}
    return st.fixed_dictionaries(needed, optional=durations | rest)


def _rule_approve(step: Schema) -> None:
    """Give the step a strategy of its own: what follows a timeout needs one, and none is nothing."""
    approve = step["properties"]
    timeout = {"timeout": values(approve["timeout"]).filter(_above_zero)}
    step["strategy"] = st.just({}) | st.fixed_dictionaries(
        timeout, optional={"onTimeout": values(approve["onTimeout"])}
    )


def _rule_together(step: Schema) -> None:
    """Give the step a strategy of its own: the same of a timeout, and nobody named twice."""
    together = step["properties"]
    names = {"with": st.lists(values(together["with"]["items"]), min_size=1, max_size=3, unique=True)}
    taken_back = {"onRollback": values(together["onRollback"])}
    timeout = {"timeout": values(together["timeout"]).filter(_above_zero)}
    step["strategy"] = st.fixed_dictionaries(names, optional=taken_back) | st.fixed_dictionaries(
        names | timeout, optional=taken_back | {"onTimeout": values(together["onTimeout"])}
    )


def _rule_judged(steps: dict[str, Schema]) -> None:
    """Leave out of both steps what CEL rules say more of: gates, environments, a model alone with a limit."""
    validate, offline = steps["validate"]["properties"], steps["evaluateOffline"]["properties"]
    for left_out in ("gates", "environment"):
        del validate[left_out]
    validate["stallTimeout"]["strategy"] = st.sampled_from(["1s", "30m", "1h30m"])
    validate["maxRegression"]["strategy"] = values(validate["maxRegression"]).filter(_above_zero)
    offline["estimator"]["strategy"] = values(offline["estimator"]).filter(lambda name: name != "fqe")


def _rule_match(headers: Schema) -> None:
    """Give the list a strategy of its own: no header twice, and none that says nothing of a user."""
    one = values(headers["items"])
    users = one.filter(
        lambda header: not header["name"].lower().startswith("x-belay-") and header["name"].lower() != "host"
    )
    headers["strategy"] = st.lists(users, min_size=1, max_size=3, unique_by=lambda header: header["name"].lower())


def _rule_shadow(shadow: Schema) -> None:
    """Give the step a strategy of its own: it has at most one limit, and neither that nor its time is nothing."""
    fields = shadow["properties"]
    said = {name: values(field) for name, field in fields.items() if not name.startswith("max")}
    said["duration"] = values(fields["duration"]).filter(_above_zero)
    shares = st.builds("{}.{}%".format, st.integers(0, 98), st.integers(1, 9))
    limits = st.sampled_from([[], ["maxDisagreement"], ["maxDistance"]])
    shadow["strategy"] = limits.flatmap(
        lambda names: st.fixed_dictionaries(dict.fromkeys(names, shares), optional=said)
    )


def _metrics(fields: dict[str, Schema]) -> Iterator[st.SearchStrategy[Spec]]:
    """Yield the metrics of each source, with what it may be judged by in the unit it is measured in."""

    def of(source: st.SearchStrategy[Spec], **judged_by: st.SearchStrategy[Spec]) -> st.SearchStrategy[Spec]:
        said = {"name": values(fields["name"]), "source": source, **judged_by}
        decided = st.fixed_dictionaries(said, optional={"dryRun": st.just(False), **_followed()})
        return st.one_of(decided, st.fixed_dictionaries({**said, "dryRun": st.booleans()}))

    margins = fields["compare"]["properties"]
    ends = st.fixed_dictionaries({"low": st.floats(-1e6, 0)}, optional={"high": st.floats(1, 1e6)})
    rest = {"to": values(margins["to"]), "range": ends}
    sizes = st.one_of(
        st.integers(1, 10**6),
        st.builds("{}.{}%".format, st.integers(0, 99), st.integers(1, 9)),
        st.builds("{}.{}".format, st.integers(0, 10**6), st.integers(1, 9)),
    )
    for margin in ({"maxRegression": sizes}, {"maxIncrease": sizes}):
        logbook = st.fixed_dictionaries({"logbook": values(fields["source"]["properties"]["logbook"])})
        yield of(logbook, compare=st.fixed_dictionaries(margin, optional=rest))
    durations = st.one_of(st.builds("{}ms".format, st.integers(1, 60_000)), st.builds("{}s".format, st.integers(1, 60)))
    shares = st.builds("{}.{}%".format, st.integers(0, 98), st.integers(1, 9))
    for measure, texts in (("latencyP99", durations), ("errorRate", shares)):
        optional = {
            "falseRollbacksPerDay": st.one_of(st.floats(0.0001, 1), st.just(1)),
            "tolerates": st.one_of(st.builds("{}s".format, st.integers(1, 60)), st.sampled_from(["1m", "1500ms"])),
        }
        yield of(st.just({"serving": measure}), limit=st.fixed_dictionaries({"max": texts}, optional=optional))


def _followed() -> dict[str, st.SearchStrategy[Spec]]:
    """What may follow which verdict of a metric."""
    after = st.sampled_from(["1s", "10m", "1h30m", "7d"])
    plain = {
        name: st.fixed_dictionaries({"after": after, "action": st.sampled_from(actions)})
        for name, actions in {
            "onFail": ["Hold", "Rollback"],
            "onNoData": ["Continue", "Hold", "Rollback"],
            "onProviderDown": ["Continue", "Hold", "Rollback"],
            "onNotEnoughSamples": ["Continue", "Hold", "Rollback"],
        }.items()
    }
    extend = st.fixed_dictionaries(
        {"after": after, "action": st.just("Extend"), "by": after},
        optional={"times": st.integers(1, 100), "then": st.sampled_from(["Continue", "Hold", "Rollback"])},
    )
    return {**plain, "onNotEnoughSamples": st.one_of(plain["onNotEnoughSamples"], extend)}


def _above_zero(text: str) -> bool:
    return re.search("[1-9]", text) is not None


@st.composite
def _of_another_version(draw: st.DrawFn, spec: Spec, schema: Schema) -> Spec:
    """Return a copy of `spec` with up to three things in it that only another version's CRD lets through."""
    changed = deepcopy(spec)
    for _ in range(draw(st.integers(1, 3))):
        where, name, field = draw(st.sampled_from(list(_fields(changed, schema))))
        changes = ["a new field", "renamed"]
        changes += ["a huge duration"] if field.get("pattern") == DURATION_PATTERN else []
        changes += ["a new word"] if field.get("type") == "string" and field.get("pattern") != DURATION_PATTERN else []
        match draw(st.sampled_from(changes)):
            case "a new field":
                where["fieldOfANewerVersion"] = draw(_JSON)
            case "renamed":
                where[f"{name}OfANewerVersion"] = where.pop(name)
            case "a huge duration":
                where[name] = draw(_HUGE_DURATIONS)
            case "a new word":
                where[name] = "WordOfANewerVersion"
    return changed


def _fields(value: Spec, schema: Schema) -> Iterator[tuple[Spec, str, Schema]]:
    """Yield (object, name, schema) of every field that is set and known, depth first."""
    for name, field in schema.get("properties", {}).items():
        if name not in value:
            continue
        yield value, name, field
        for inner in value[name] if field.get("type") == "array" else [value[name]]:
            if isinstance(inner, dict):
                yield from _fields(inner, field.get("items", field))


_ROLLOUT = structural(RLRolloutSpec)
_RULED = _ruled(_ROLLOUT)
_SPECS = values(_RULED)
_EXPERIMENTS = _experiments(_ROLLOUT["properties"]["policy"]["properties"]["winnerOf"])
_METRICS = values(_RULED["properties"]["analysis"]["properties"]["metrics"]["items"])
_STEPS = values(_RULED["properties"]["steps"]["items"])
