"""Actions and observations of several parts, and masks: trained, exported and measured as single ones."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_export import PLAYED
from trainer_configs import make_config
from trainer_support import train_in, train_in_pieces

from belay_api.artifact import MANIFEST, Manifest, verify
from belay_api.spaces import space_model
from belay_heads import head_of
from belay_heads.masked import allowed
from belay_heads.observations import numbers, parts
from belay_trainer.config import Run
from belay_trainer.diagnosis.diagnosis import Diagnosis
from belay_trainer.diagnosis.probe import probe
from belay_trainer.environments import maker_for
from belay_trainer.errors import BadConfiguration
from belay_trainer.evaluate import Evaluator
from belay_trainer.export import export, loaded
from belay_trainer.masks import arguments
from belay_trainer.session import train_and_publish
from belay_trainer.stop import Stop
from belay_trainer.train import build

SMALL = {"net_arch": [16, 16]}
REPLAY = SMALL | {"learning_starts": 60, "batch_size": 16}
CASES: dict[str, tuple[str, str, dict[str, Any], str]] = {  # algorithm, settings, kwargs, output
    "choices": ("ppo", SMALL, {"action": "dials"}, "multi-categorical"),
    "switches": ("a2c", SMALL, {"action": "switches"}, "bernoulli"),
    "parts by key": ("ppo", SMALL, {"action": "dials", "shows": "dict"}, "multi-categorical"),
    "parts by place": ("a2c", SMALL, {"action": "switches", "shows": "tuple"}, "bernoulli"),
    "numbers for parts by key": ("ppo", SMALL, {"action": "numbers", "shows": "dict"}, "gaussian"),
    "a picture among parts": ("ppo", SMALL, {"shows": "picture"}, "logits"),
    "values of parts by key": ("dqn", REPLAY, {"shows": "dict"}, "q-values"),
    "values of a picture among parts": ("dqn", REPLAY | {"buffer_size": 200}, {"shows": "picture"}, "q-values"),
    "quantiles of parts by place": ("qrdqn", REPLAY, {"shows": "tuple"}, "q-values"),
    "squashed for parts by key": ("sac", REPLAY, {"action": "numbers", "shows": "dict"}, "squashed-gaussian"),
    "squashed for parts by place": ("tqc", REPLAY, {"action": "numbers", "shows": "tuple"}, "squashed-gaussian"),
    "mean for parts by key": ("td3", REPLAY, {"action": "numbers", "shows": "dict"}, "mean"),
    "masks by a method": ("maskablePPO", SMALL, {"masks": "method"}, "masked-logits"),
    "masks in the info": ("maskablePPO", SMALL, {"action": "dials", "masks": "info"}, "masked-multi-categorical"),
    "masks in the observation": (
        "maskablePPO",
        SMALL,
        {"action": "switches", "masks": "observation", "shows": "dict"},
        "masked-multi-categorical",
    ),
}


def _spec(case: str, **further: Any) -> dict[str, Any]:
    algorithm, settings, kwargs, _ = CASES[case]
    if algorithm in ("ppo", "a2c", "maskablePPO"):
        settings = settings | {"n_steps": 16}
    return {"environment": {"id": "panels:Panel-v0", "kwargs": kwargs}, "algorithm": {algorithm: settings}} | further


def _run(case: str, **further: Any) -> Run:
    return Run(make_config(**_spec(case, **further)), index=0, seed=3)


@pytest.mark.parametrize("case", CASES)
def test_both_networks_act_as_the_policy_does(case: str, tmp_path: Path) -> None:
    run = _run(case)
    learner, environment = build(run), maker_for(run.spec)()
    learner.start()
    manifest = export(
        learner,
        run,
        environment=environment,
        evaluations=PLAYED,
        folder=tmp_path,
    )
    assert manifest.output == CASES[case][3]
    assert verify(tmp_path, wanted=manifest.digest()) == manifest
    assert manifest.observation == space_model(environment.unwrapped.observation_space)

    found, rows, masks = parts(manifest.observation), [], []
    for seed in range(37):  # no batch size seen at export
        rows.append(numbers(environment.reset(seed=seed)[0], found))
        masks += [mask[0] for mask in arguments([environment]).values()]
    batch, told = np.stack(rows), {"action_masks": np.stack(masks)} if masks else {}
    actions = learner.policy.predict(batch, deterministic=True, **told)[0]
    head = head_of(manifest.output, manifest.action)
    for network in loaded(tmp_path).values():
        outputs = network(batch)
        assert outputs.shape == (37, head.width)
        chosen = head.greedy(allowed(outputs, told["action_masks"]) if told else outputs)
        np.testing.assert_allclose(chosen, actions, atol=1e-4)
    values = learner.values(batch)
    assert values is not None
    assert values.shape == (37,)


QUICK = {
    "n_steps": 32,
    "gamma": 0.0,
    "learning_rate": 3e-3,
    "batch_size": 64,
    "n_epochs": 4,
}  # nothing has consequences
LEARNED: dict[str, tuple[str, dict[str, Any], float]] = {  # algorithm, kwargs, what random actions return
    "choices for parts by key": ("ppo", {"action": "dials", "shows": "dict"}, 8 * (1 / 3 + 1 / 2) / 2),
    "switches for parts by place": ("ppo", {"action": "switches", "shows": "tuple"}, 8 / 2),
    # Of two the other one is allowed half of the time, and then the right one is one of two.
    "choices under masks": ("maskablePPO", {"action": "dials", "masks": "info"}, 8 * (0.583 + 0.75) / 2),
}


@pytest.mark.parametrize("case", LEARNED)
def test_the_artifact_alone_returns_what_was_reported(case: str, tmp_path: Path) -> None:
    """The goal is shown, so a policy that has learned misses none; a head that reads other outputs would."""
    algorithm, kwargs, by_chance = LEARNED[case]
    config = make_config(
        environment={"id": "panels:Panel-v0", "kwargs": kwargs},
        algorithm={algorithm: QUICK},
        budget={"steps": 4000},
        evaluation={"every": 2000, "episodes": 10, "finalEpisodes": 100},
    )
    run = Run(config, index=0, seed=0)
    (tmp_path / "work").mkdir()
    report = train_and_publish(
        run, work_dir=tmp_path / "work", pvc_dir=tmp_path, initial_dir=tmp_path, logbook=None, stop=Stop()
    )
    (folder,) = (path for path in (tmp_path / "artifacts").iterdir() if path.is_dir())
    manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    returns = _served(manifest, folder, maker_for(run.spec)(), episodes=30)
    assert report.return_ == pytest.approx(8.0, abs=0.2)
    assert np.mean(returns) == pytest.approx(8.0, abs=0.2)
    random = report.random
    assert random is not None
    assert random.std is not None
    assert abs(random.mean - by_chance) < 4 * random.std / random.episodes**0.5 + 0.01  # once in 15,000
    assert report.findings == []


def _served(manifest: Manifest, folder: Path, environment: Any, *, episodes: int) -> list[float]:
    """Return what the artifact returns where nobody but its network and its head acts."""
    head, network = head_of(manifest.output, manifest.action), loaded(folder)["policy.onnx"]
    found, returns = parts(manifest.observation), []
    for seed in range(episodes):
        observation, ended, returned = environment.reset(seed=10_000_000 + seed)[0], False, 0.0
        while not ended:
            outputs = network(numbers(observation, found)[None]).reshape(1, -1)
            if masks := arguments([environment]):
                outputs = allowed(outputs, masks["action_masks"])
            observation, reward, terminated, truncated, _ = environment.step(head.greedy(outputs)[0])
            ended, returned = terminated or truncated, returned + reward
        returns.append(returned)
    return returns


@pytest.mark.parametrize(
    "case",
    ["parts by key", "values of parts by key", "quantiles of parts by place", "masks by a method", "masks in the info"],
)
def test_a_training_cut_in_two_ends_with_the_same_bits(case: str, tmp_path: Path) -> None:
    spec = _spec(case, budget={"steps": 240}, evaluation={"every": 120, "episodes": 1}, checkpoint={"every": 64})
    whole = train_in(tmp_path / "whole", **spec)
    cut = train_in_pieces(tmp_path / "cut", (60 if CASES[case][0] in ("dqn", "qrdqn") else 20,), **spec)
    assert cut.resumed_from, "it began anew: this shows nothing"
    assert cut.learner.weights_sha256() == whole.learner.weights_sha256()
    assert cut.best.report == whole.best.report


@pytest.mark.parametrize("case", ["choices", "switches", "masks in the info", "masks in the observation"])
def test_propensities_are_the_librarys_probabilities(case: str) -> None:
    learner: Any = build(_run(case))
    environment = maker_for(_run(case).spec)()
    head = head_of(learner.output, space_model(environment.action_space))
    found, rows, masks = parts(space_model(environment.observation_space)), [], []
    for seed in range(64):
        rows.append(numbers(environment.reset(seed=seed)[0], found))
        masks += list(arguments([environment]).values())
    observations, told = torch.from_numpy(np.stack(rows)), np.concatenate(masks) if masks else None
    with torch.no_grad():
        outputs = learner.networks().actor(observations).numpy()
    outputs = outputs if told is None else allowed(outputs, told)
    actions = head.sample(outputs, np.random.default_rng(0))
    taken = learner.model.observation_space
    by_key = (
        observations
        if not found
        else {
            part.key: observations[:, part.first : part.first + part.size].reshape(-1, *taken[part.key].shape)
            for part in found
        }
    )
    with torch.no_grad():
        under = {} if told is None else {"action_masks": told}
        _, wanted, _ = learner.model.policy.evaluate_actions(by_key, torch.from_numpy(actions).float(), **under)
    np.testing.assert_allclose(head.log_propensity(outputs, actions), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("algorithm", "environment", "says"),
    [
        (
            "ppo",
            {"id": "panels:Nested-v0"},
            "key 'arm' of the observation: Dict spaces cannot be served: .*Flatten it in",
        ),
        ("ppo", {"id": "panels:Counted-v0"}, "observations start at 1, wanted 0: shift them in a wrapper"),
        (
            "ppo",
            {"id": "panels:Counted-v0", "kwargs": {"shows": "dict"}},
            "observations 'goal' start at 1, wanted 0: shift them in a wrapper",
        ),
        ("ppo", {"id": "panels:Reserved-v0"}, "algorithm.ppo refuses its settings or the task: .*'values' already"),
        (
            "dqn",
            {"action": "dials"},
            r"algorithm.dqn does not learn .* MultiDiscrete\(\[3 2\]\): use ppo, a2c, maskablePPO or recurrentPPO",
        ),
        (
            "sac",
            {"action": "switches"},
            r"algorithm.sac does not learn .* MultiBinary\(3\): use ppo, a2c, maskablePPO or recurrentPPO",
        ),
        (
            "crossq",
            {"action": "numbers", "shows": "dict"},
            "no network for observations of several parts.*: use ppo, a2c, sac, td3, tqc or recurrentPPO, or flatten",
        ),
        (
            "ppo",
            {"shows": "picture", "side": 20},
            "images of 20x40, observation key 'eye', are too small .* flatten that part",
        ),
        ("maskablePPO", {}, r"the task does not say: give it a method action_masks\(\), a key 'action_mask' in a Dict"),
        ("maskablePPO", {"action": "numbers"}, "algorithm.maskablePPO does not learn .* Use ppo, and bounds"),
    ],
)
def test_what_cannot_be_trained_is_told_at_once(algorithm: str, environment: dict[str, Any], says: str) -> None:
    task = environment if "id" in environment else {"id": "panels:Panel-v0", "kwargs": environment}
    with pytest.raises(BadConfiguration, match=says):
        build(Run(make_config(environment=task, algorithm={algorithm: {}}), index=0, seed=0))


def test_parts_have_no_common_scale() -> None:
    with pytest.raises(BadConfiguration, match=r"normalize.observation: .* have several parts.*FlattenObservation"):
        build(_run("parts by key", normalize={"observation": True}))
    assert build(_run("parts by key", normalize={"reward": True}))


@pytest.mark.parametrize(
    ("mask", "says"),
    [
        (np.ones(3), "a mask has 3 entries, wanted 5, one for each action of its choices of"),
        (np.array([1, 1, 1, 0, 0]), "a mask allows no action of choice 1: end the episode there"),
    ],
)
def test_a_mask_that_cannot_be_is_told(mask: np.ndarray, says: str) -> None:
    environment = maker_for(_run("masks in the info").spec)()
    environment.reset(seed=0)
    environment._newest = None, {"action_mask": mask}
    with pytest.raises(BadConfiguration, match=says):
        environment.action_masks()


def test_a_mask_may_come_in_a_part_for_each_choice() -> None:
    environment = maker_for(_run("masks in the info").spec)()
    environment.reset(seed=0)
    environment._newest = None, {"action_mask": (np.array([0, 1, 1]), np.array([1, 0]))}
    assert environment.action_masks().tolist() == [False, True, True, True, False]


@pytest.mark.parametrize("shows", ["dict", "tuple"])
def test_the_diagnosis_plays_out_what_several_parts_show(shows: str) -> None:
    run = Run(make_config(environment={"id": "panels:Panel-v0", "kwargs": {"shows": shows}}), index=0, seed=0)
    contract = probe(maker_for(run.spec), seed=0)
    assert contract is not None
    assert contract.steps > 30
    assert (contract.copies_differ, contract.reset_differs, contract.ignores_actions) == (None, None, False)


def test_the_diagnosis_reads_rows() -> None:
    learner: Any = build(_run("parts by key"))
    environment = maker_for(_run("parts by key").spec)()
    diagnosis = Diagnosis(learner, environment, budget=1000)
    learner.start()
    learner.advance(256, leave=lambda: False, on_step=lambda: None)
    diagnosis.look(evaluation=None, length=None, random={}, reach={})
    seen = learner.recorder.observations()
    assert seen.count == 256
    assert seen.outside == 0
    space = space_model(environment.observation_space)
    assert len(seen.low) == sum(part.size for part in parts(space)) == 8
    goal = next(part for part in parts(space) if part.key == "goal")
    assert seen.high[goal.first : goal.first + goal.size].tolist() == [2, 1]


def test_random_actions_are_among_the_allowed() -> None:
    run = _run("masks in the observation")
    evaluator = Evaluator.held_out(maker_for(run.spec), run.spec.environment, run.spec.evaluation)
    random = evaluator.random(seed=0, budget=100_000)  # the panel raises for any other
    evaluator.close()
    assert random is not None
    assert random["return"].episodes == 100
