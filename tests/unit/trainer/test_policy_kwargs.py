"""A network is what its user asked for, is served as such, and what cannot be is refused with the word that can."""

from typing import Any

import pytest
import torch
from extractors import Doubled
from trainer_configs import make_config

from belay_trainer.config import Run
from belay_trainer.environments import maker
from belay_trainer.errors import BadConfiguration
from belay_trainer.export import rehearse
from belay_trainer.learners.learner import Learner
from belay_trainer.train import build

EXTRACTOR = "extractors:Doubled"


def _build(algorithm: str, **settings: Any) -> tuple[Learner, Run]:
    task = "Pendulum-v1" if algorithm in ("sac", "tqc", "crossq") else "CartPole-v1"
    run = Run(make_config(environment={"id": task}, algorithm={algorithm: settings}), index=0, seed=0)
    return build(run), run


@pytest.mark.parametrize(("asked", "activation"), [({}, torch.nn.Tanh), ({"activation_fn": "silu"}, torch.nn.SiLU)])
def test_layers_are_separated_by_the_activation_function(
    asked: dict[str, str], activation: type[torch.nn.Module]
) -> None:
    learner, _ = _build("ppo", **asked)
    assert isinstance(learner.model.policy.mlp_extractor.policy_net[1], activation)


@pytest.mark.parametrize("algorithm", ["ppo", "qrdqn", "crossq"])
def test_a_network_of_the_users_own_is_trained_and_served(algorithm: str) -> None:
    further = {"features_extractor_class": EXTRACTOR, "features_extractor_kwargs": {"factor": 3.0}}
    learner, run = _build(algorithm, policy_kwargs=further, activation_fn="gelu")
    extractors = [part for part in learner.model.policy.modules() if type(part).__name__ == Doubled.__name__]
    assert extractors
    assert {part.factor for part in extractors} == {3.0}
    environment = maker(run.spec.environment)()
    learner.start()
    rehearse(learner, environment)


def test_an_optimiser_is_the_users_to_choose() -> None:
    further = {"optimizer_class": "torch.optim:SGD", "optimizer_kwargs": {"momentum": 0.5}}
    learner, run = _build("ppo", policy_kwargs=further)
    optimizer = learner.model.policy.optimizer
    assert isinstance(optimizer, torch.optim.SGD)
    assert optimizer.param_groups[0]["momentum"] == 0.5
    assert run.spec.algorithm.settings.policy_kwargs == further, "and the spec is told as it was said"


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "misspelt": ("ppo", {"ortho_inti": False}, r"policy_kwargs\.ortho_inti is unknown: did you mean ortho_init\?"),
    "of no algorithm": ("ppo", {"xyz": 1}, r"policy_kwargs\.xyz is unknown: .* takes .*log_std_init"),
    "of another algorithm": ("dqn", {"n_critics": 3}, r"n_critics is unknown: .*DQNPolicy takes"),
    "a field": ("ppo", {"net_arch": [8]}, r"net_arch has a field of its own: write algorithm\.ppo\.net_arch"),
    "a field of this algorithm": ("tqc", {"n_critics": 5}, r"write algorithm\.tqc\.n_critics"),
    "heads'": ("ppo", {"squash_output": True}, r"policy_kwargs\.squash_output is set by Belay"),
    "ours": ("sac", {"use_sde": True}, r"policy_kwargs\.use_sde is set by Belay"),
    "no class": ("ppo", {"optimizer_class": "AdamW"}, r"optimizer_class is 'AdamW', wanted .*package\.module:Class"),
    "a number": ("ppo", {"optimizer_class": 7}, r"optimizer_class is 7, wanted .*package\.module:Class"),
    "unknown module": ("ppo", {"optimizer_class": "torch.optimum:AdamW"}, r"torch\.optimum cannot be imported"),
    "unknown class": ("ppo", {"optimizer_class": "torch.optim:AdamV"}, r"no Optimizer .* AdamV: did you mean Adam\?"),
    "another class": ("ppo", {"features_extractor_class": "torch.nn:Linear"}, r"no BaseFeaturesExtractor .* Linear"),
    "unfit value": ("ppo", {"optimizer_kwargs": {"lrr": 1}}, r"algorithm\.ppo refuses .*lrr"),
    "dropped by the library": ("a2c", {"optimizer_kwargs": {"eps": 0.1}}, r"name optimizer_class as well"),
    "dropped by contrib": ("qrdqn", {"optimizer_kwargs": {"eps": 0.1}}, r"name optimizer_class as well"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_policy_does_not_take_is_refused(case: str) -> None:
    algorithm, further, words = REFUSED[case]
    with pytest.raises(BadConfiguration, match=words):
        _build(algorithm, policy_kwargs=further)
