"""Costs stand beside the reward: counted in evaluations and in collection, learned from only where somebody says so."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_evaluate import Always
from trainer_configs import make_config

from belay_api.artifact import Manifest
from belay_api.environment import EnvironmentSpec
from belay_api.summary import aggregate
from belay_api.training import SeedStatus
from belay_api.wire import RunProgress
from belay_trainer.config import Run
from belay_trainer.environments import maker
from belay_trainer.errors import BadConfiguration
from belay_trainer.evaluate import Evaluator
from belay_trainer.heartbeat import Heartbeat
from belay_trainer.local.folder import RunFolder
from belay_trainer.metrics import of_costs
from belay_trainer.reporting.document import markdown
from belay_trainer.reporting.result import Result
from belay_trainer.reporting.training import document
from belay_trainer.session import train_in
from belay_trainer.stop import Stop
from belay_trainer.store.folder import FolderStore
from belay_trainer.train import build
from belay_trainer.wrapping.costs import PLACES

HEAT = {"name": "heat", "limit": 1.9}
WEAR = {"name": "wear", "info": "wear"}
LENGTHS = [(seed % 7) + 1 for seed in range(7)]  # of the episodes of reset seeds 0 to 6


def _task(*constraints: dict[str, Any], id: str = "Heater", **more: Any) -> EnvironmentSpec:
    return EnvironmentSpec.model_validate({"id": f"layered_tasks:{id}-v0", "constraints": list(constraints), **more})


def _evaluator(task: EnvironmentSpec, episodes: int = 7, copies: int | None = None) -> Evaluator:
    return Evaluator(maker(task), task, episodes=episodes, first_seed=0, copies=copies)


@pytest.mark.parametrize("copies", [1, 3, 7])  # who is played beside whom changes nothing
def test_an_evaluation_counts_what_is_known(copies: int) -> None:
    found = _evaluator(_task(HEAT, WEAR), copies=copies)(Always(1), step=0)
    heat, wear = found.report.costs
    assert (heat.name, heat.total, heat.per_episode) == ("heat", 0.5 * sum(LENGTHS), 0.5 * np.mean(LENGTHS))
    assert (heat.per_step, heat.costly_episodes) == (0.5, 7)
    assert (heat.limit, heat.over_limit) == (1.9, sum(0.5 * length > 1.9 for length in LENGTHS))
    assert (wear.total, wear.per_step, wear.over_limit) == (70, 70 / sum(LENGTHS), None)
    assert [(one.seed, one.step, one.cost) for one in wear.places] == [(seed, seed, 10) for seed in range(7)]
    assert len(heat.places) == PLACES
    assert [(one.seed, one.step) for one in heat.places[:4]] == [(0, 0), (1, 0), (1, 1), (2, 0)]
    assert found.played["heat"].mean == heat.per_episode
    assert found.played["heat"].max == 3.5
    assert found.report.mean == np.mean(LENGTHS), "the return has no cost in it"


def test_a_policy_that_does_nothing_costs_nothing() -> None:
    (heat,) = _evaluator(_task(HEAT))(Always(0), step=0).report.costs
    assert (heat.total, heat.costly_episodes, heat.over_limit, heat.places) == (0, 0, 0, [])


def test_what_is_known_of_costs_goes_into_the_artifact_as_of_returns() -> None:
    evaluator = _evaluator(_task(HEAT))
    found, random = evaluator(Always(1), step=0), evaluator.random(seed=1, budget=10_000)
    assert random is not None
    known = evaluator.known(found.played, random=random, reach=dict.fromkeys(found.played, (0.0, 9.0)))
    assert set(known) == {"return", "length", "heat"}
    assert known["heat"].random is not None
    assert 0.2 < known["heat"].random.mean / known["length"].random.mean < 0.3, "half of all actions cost a half"
    assert known["heat"].certain is None


def _learner(task: EnvironmentSpec) -> Any:
    learner = build(Run(make_config(environment=task.dump(), algorithm={"ppo": {"n_steps": 64}}), index=0, seed=0))
    learner.start()
    learner.advance(500, leave=lambda: False, on_step=lambda: None)
    return learner


def test_collection_counts_as_well_and_learns_the_same() -> None:
    counted, plain = _learner(_task(HEAT, WEAR)), _learner(_task())
    metrics = counted.metrics()
    assert metrics["collection/cost/wear"] == 10
    assert metrics["collection/cost_rate/wear"] == pytest.approx(10 / metrics["collection/length"])
    assert metrics["collection/cost/heat"] == pytest.approx(0.5 * metrics["collection/return"])
    assert counted.weights_sha256() == plain.weights_sha256()


def test_the_curves_have_costs() -> None:
    found = _evaluator(_task(WEAR))(Always(1), step=5).report
    assert of_costs(found.costs) == {"cost/wear": 10.0, "cost_rate/wear": 2.5}


@pytest.mark.parametrize(
    ("task", "wanted"),
    [
        (_task({"name": "a", "info": "weer"}), r"constraints\[0\].info: .*no 'weer' .*did you mean 'wear'"),
        (_task(HEAT, {"name": "b", "info": "words"}), r"constraints\[1\].info: .*no 'words'"),
        (_task(HEAT, HEAT), "two are called 'heat'"),
        (_task(HEAT, id="Noise"), r"constraints\[0\].info: .*no 'cost' in an episode.*known are loud"),
    ],
)
def test_a_name_that_the_environment_does_not_tell_is_refused(task: EnvironmentSpec, wanted: str) -> None:
    with pytest.raises(BadConfiguration, match=wanted):
        build(Run(make_config(environment=task.dump()), index=0, seed=0))


def test_the_names_are_looked_for_among_actions_that_are_allowed() -> None:
    task = EnvironmentSpec.model_validate(
        {"id": "panels:Panel-v0", "kwargs": {"masks": "method"}, "constraints": [HEAT]}
    )
    with pytest.raises(BadConfiguration, match="told no 'cost'"):
        build(Run(make_config(environment=task.dump(), algorithm={"maskablePPO": {}}), index=0, seed=0))


def test_a_cost_that_is_no_number_is_told() -> None:
    with pytest.raises(BadConfiguration, match=r"constraints, heat: info\['cost'\] is nan"):
        _evaluator(_task(HEAT, id="Unnumbered"))(Always(1), step=0)


def test_a_training_tells_what_its_policy_costs(tmp_path: Path) -> None:
    config = make_config(
        environment=_task(HEAT, WEAR).dump(),
        algorithm={"ppo": {"n_steps": 32}},
        budget={"steps": 512},
        evaluation={"every": 256, "episodes": 4, "finalEpisodes": 7, "firstSeed": 4},
    )
    store = FolderStore(tmp_path, claim="policies", seed="u/0")
    run = Run(config, index=0, seed=0)
    told: list[RunProgress] = []

    class Beats(Heartbeat):
        def tell(self, progress: RunProgress) -> None:
            told.append(progress)

    report = train_in(run, work_dir=tmp_path, store=store, heartbeat=Beats(None, "demo"), stop=Stop())
    assert told[-1].metrics["cost/wear"] == told[-1].metrics["collection/cost/wear"] == 10
    assert report.costs is not None
    heat, wear = report.costs
    assert (wear.name, wear.per_episode, wear.over_limit) == ("wear", 10, None)
    assert heat.per_episode == pytest.approx(0.5 * report.return_), "each timestep that pays costs a half"
    assert (heat.per_step, wear.per_step) == (pytest.approx(heat.per_episode / 4), 2.5)
    status = SeedStatus(index=0, seed=0, return_=report.return_, costs=report.costs, artifact=report.artifact)
    found = aggregate([status])
    assert found is not None
    assert found.best.costs == report.costs

    manifest = Manifest.model_validate_json(next(tmp_path.glob("**/manifest.json")).read_bytes())
    assert manifest.evaluation is not None
    assert manifest.evaluation.costs[1].total == 70
    assert manifest.outcomes["wear"].evaluated.std == 0
    told = markdown(document(Result(config, {0: report}, found, manifest), RunFolder(tmp_path), pictured=False))
    assert "| wear | 10.0 | 2.5 | 7 |  |  |" in told
