"""`belay-trainer suite` as its users run it: what is compared, what a pair that cannot be trained costs, bad input."""

import json
from pathlib import Path

import pytest
import yaml
from trainer_support import ENVIRONMENT

from belay_trainer.__main__ import main
from belay_trainer.suite.report import random_return

SUITE = """
environments:
  cartpole: {id: CartPole-v1}
  pendulum: {id: Pendulum-v1}
algorithms:
  ppo: {ppo: {n_steps: 32, n_epochs: 2}}
  dqn: {dqn: {learning_rate: 1e-3}}
training:
  budget: {steps: 300}
  seeds: {count: 1, first: 5}
  evaluation: {every: 150, episodes: 2, finalEpisodes: 4}
"""


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    folder = tmp_path_factory.mktemp("suite")
    (folder / "classic.yaml").write_text(SUITE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("PYTHONPATH", ENVIRONMENT["PYTHONPATH"])
        return folder / "suites" / "classic", main(["suite", "--config", "classic.yaml", "--parallel", "2"])


def test_every_pair_is_compared_with_random_actions(suite: tuple[Path, int]) -> None:
    root, code = suite
    told = json.loads((root / "report" / "report.json").read_text())
    pairs = {(one["environment"], one["algorithm"]): one for one in told["pairs"]}
    assert set(pairs) == {(env, name) for env in ("cartpole", "pendulum") for name in ("ppo", "dqn")}
    (seed,) = pairs["cartpole", "ppo"]["seeds"]
    assert (seed["seed"], pairs["cartpole", "ppo"]["aggregate"]["mean"]) == (5, seed["return"])
    randoms = [one["seeds"][0]["random"] for name, one in pairs.items() if name[0] == "cartpole"]
    assert randoms[0] == randoms[1] == told["random"]["cartpole"] | {"std": randoms[0]["std"]}, "counted once"
    assert 10 < told["random"]["cartpole"]["mean"] < 40, "random actions hold the pole for about 22 timesteps"
    assert told["random"]["pendulum"]["mean"] < -700

    page = (root / "report" / "report.md").read_text()
    assert "| random actions (" in page
    assert (root / "report" / "cartpole.png").read_bytes().startswith(b"\x89PNG")
    # DQN has no continuous actions: told in its place, and the others were trained all the same.
    assert code == 3
    assert pairs["pendulum", "dqn"]["aggregate"] is None
    assert "use ppo, a2c, sac" in page
    assert yaml.safe_load((root / "jobs" / "ppo-cartpole.yaml").read_text())["kind"] == "RLTrainingJob"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (SUITE.replace("algorithms:", "algoritms:"), "did you mean 'algorithms'?"),
        (SUITE.replace("{id: CartPole-v1}", "{name: CartPole-v1}"), "spec.environment"),
        (SUITE.replace("learning_rate", "learning_rat"), "learning_rate"),
        (SUITE.replace("  budget: {steps: 300}\n", ""), "spec.budget"),
        (SUITE + "  environment: {id: a}\n", "put it into environments"),
        (SUITE.replace("  ppo:", "  PPO:"), "metadata.name"),
        (SUITE + "  initFrom: {policy: cartpole-1}\n", "all pairs begin anew"),
        (
            SUITE + "  gates: [{performance: {betterThan: cartpole-1}}]\n",
            "cartpole-1 is a policy of one environment",
        ),
        ("[]", "wanted one mapping"),
    ],
)
def test_bad_input_is_told_before_anything_is_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    assert main(["suite", "--config", str(tmp_path / "bad.yaml"), "--out", str(tmp_path / "out")]) == 3
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out" / "runs").exists()


def test_random_actions_of_no_seed_are_not_measured() -> None:
    assert random_return([]) is None
