"""`belay-trainer run` as its users run it: real seeds in processes, stopped, killed, and gone on with."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from trainer_configs import make_config
from trainer_support import ENVIRONMENT, until

from belay_api.artifact import verify
from belay_api.policy import RLPolicySpec
from belay_api.training import TrainingReport
from belay_trainer.errors import BadConfiguration
from belay_trainer.local.display import Lines
from belay_trainer.local.folder import InUse, RunFolder
from belay_trainer.local.progress import number
from belay_trainer.local.seeds import Interrupts
from belay_trainer.local.workers import search
from belay_trainer.trackers.json_lines import Row, read_rows

JOB = """
apiVersion: belay.dev/v1alpha1
kind: RLTrainingJob
metadata: {name: cartpole, namespace: demo}
spec:
  environment: {id: "tasks:Unhurried-v0"}
  algorithm: {ppo: {n_epochs: 3, n_steps: 32}}
  budget: {steps: 3000}
  seeds: {count: 2, first: 7}
  evaluation: {every: 1000, episodes: 4, finalEpisodes: 10}
  checkpoint: {every: 250}
  publish: {family: cartpole}
"""


@dataclass
class Shell:
    """A folder in which somebody types commands."""

    folder: Path
    out: str = "runs/cartpole"

    @property
    def run_folder(self) -> RunFolder:
        return RunFolder(self.folder / self.out)

    def start(self, job: str = JOB, **flags: object) -> subprocess.Popen[str]:
        """Type the command; its output goes to pipes, not to a terminal."""
        (self.folder / "job.yaml").write_text(job)
        command = [sys.executable, "-m", "belay_trainer", "run", "--config", "job.yaml"]
        command += [f"--{name}={value}" for name, value in flags.items()]
        environment = ENVIRONMENT | {"SLOW_WHILE": str(self.slow)}
        return subprocess.Popen(
            command, cwd=self.folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    @property
    def slow(self) -> Path:
        """While this file exists every timestep takes 5 ms."""
        return self.folder / "slow"

    def report(self, seed: int) -> TrainingReport:
        found = self.run_folder.seed(seed).read_report()
        assert found is not None
        return found

    def saved(self, seed: int) -> bool:
        """Whether a seed has a checkpoint to go on from."""
        return any((self.run_folder.seed(seed).path / "checkpoints").glob("*.ckpt"))

    def rows(self, seed: int) -> list[Row]:
        """The curves of a seed, without what a clock decides."""
        rows = read_rows(self.run_folder.seed(seed).curves)
        return [Row(row.step, {k: v for k, v in row.metrics.items() if k != "steps_per_second"}) for row in rows]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Shell, str, str]:
    """A run that nobody disturbed, and what it printed and showed."""
    shell = Shell(tmp_path_factory.mktemp("whole"))
    process = shell.start(parallel=2)
    printed, shown = process.communicate(timeout=300)
    assert process.returncode == 0, shown
    return shell, printed, shown


def test_curves_have_the_indicators_that_people_know(whole: tuple[Shell, str, str]) -> None:
    told = {name for row in whole[0].rows(7) for name in row.metrics}
    assert told >= {"return", "length", "sample_efficiency", "value", "entropy", "action/0", "action/1", "loss", "kl"}
    assert told >= {"policy_loss", "value_loss", "clip_fraction", "explained_variance", "gradient_norm"}
    returns = [row.metrics["return"] for row in whole[0].rows(7) if "return" in row.metrics]
    efficiency = [row.metrics["sample_efficiency"] for row in whole[0].rows(7) if "return" in row.metrics]
    assert efficiency == pytest.approx([sum(returns[: end + 1]) / (end + 1) for end in range(len(returns))])


def test_what_another_version_wrote_down_after_a_search_is_told(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.seeds_file.write_text('{"spec": 1}')
    with pytest.raises(BadConfiguration, match=r"seeds.json cannot be read: .* Choose another --out"):
        search(folder, make_config(), 0, parallel=1, interrupts=Interrupts(), display=Lines(sys.stderr))


def test_a_run_that_was_stopped_and_gone_on_with_ends_as_one_that_was_not(
    whole: tuple[Shell, str, str], tmp_path: Path
) -> None:
    undisturbed, shell = whole[0], Shell(tmp_path)
    shell.slow.touch()
    process = shell.start(parallel=2)
    until(lambda: process.poll() is not None or (shell.saved(7) and shell.saved(8)))
    process.send_signal(signal.SIGINT)
    _, shown = process.communicate(timeout=300)
    assert process.returncode == 143, shown
    assert "Saving; the same command goes on from here" in shown
    assert [shell.report(seed).outcome for seed in (7, 8)] == ["Interrupted"] * 2

    shell.slow.unlink()
    process = shell.start(parallel=2)
    _, shown = process.communicate(timeout=300)

    assert process.returncode == 0, shown
    for seed in (7, 8):
        ours, wanted = shell.report(seed), undisturbed.report(seed)
        assert ours.resumed_from, "it began anew: the test shows nothing"
        assert ours.weights_sha256 == wanted.weights_sha256
        assert ours.artifact == wanted.artifact
        assert shell.rows(seed) == undisturbed.rows(seed)


def test_seeds_outlive_a_killed_run_by_a_save(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    one_seed = JOB.replace("steps: 3000", "steps: 1000000").replace("count: 2", "count: 1")
    process = shell.start(one_seed)
    until(lambda: process.poll() is not None or shell.saved(7))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()

    with shell.run_folder.locked(wait_s=60):  # taken until the seed has ended
        assert shell.report(7).outcome == "Interrupted"


def test_bad_configuration_ends_the_run_with_the_seeds_own_words(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    process = shell.start(JOB.replace("tasks:Unhurried-v0", "CartPol-v1"), parallel=1)
    printed, shown = process.communicate(timeout=300)
    assert process.returncode == 3, shown
    assert "seed 7: timestep 0 of 3,000: BadConfiguration: environment" in shown
    assert "Did you mean: `CartPole`" in shown
    assert "the others are stopped" in shown
    assert "no result" in printed
    assert not shell.run_folder.seed(8).path.exists(), "a second seed would end the same way"


def test_an_environment_that_fails_is_told_with_the_file_that_has_its_traceback(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    one = JOB.replace('"tasks:Unhurried-v0"', '"tasks:Thirsty-v0", vector: {count: 1}')
    process = shell.start(one.replace("count: 2", "count: 1"))
    _, shown = process.communicate(timeout=300)
    assert process.returncode not in (0, 3), shown
    log = shell.run_folder.seed(7).log
    assert f"Its traceback says where to mend the environment. See {log.relative_to(tmp_path)}." in shown
    assert "RuntimeError: out of fuel" in log.read_text()
    assert "Traceback (most recent call last)" in log.read_text()


def test_a_faulty_file_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    process = Shell(tmp_path).start(JOB.replace("steps: 3000", "stpes: 6000"))
    _, shown = process.communicate(timeout=300)
    assert process.returncode == 3
    assert "spec.budget.stpes is no field: did you mean steps?" in shown
    assert not (tmp_path / "runs").exists()


def test_where_there_is_no_terminal_every_line_says_something(whole: tuple[Shell, str, str]) -> None:
    shown = whole[2]
    assert "\r" not in shown
    assert "\x1b" not in shown
    for seed in (7, 8):
        lines = [line for line in shown.splitlines() if line.startswith(f"seed {seed}: ")]
        assert 3 <= len(lines) <= 10, lines  # begins, trains, four evaluations, is measured, ends
        assert "return" in lines[-1]


def test_the_report_says_what_the_seeds_said(whole: tuple[Shell, str, str]) -> None:
    shell, printed, _ = whole
    folder = shell.run_folder
    reports = [shell.report(seed) for seed in (7, 8)]
    returns = [report.return_ for report in reports]
    best = max(reports, key=lambda report: report.return_ or 0.0)
    told = json.loads((folder.report / "report.json").read_text())
    assert told["aggregate"]["mean"] == pytest.approx(sum(returns) / 2)
    assert told["aggregate"]["best"]["seed"] == best.seed
    assert "ci95" not in told["aggregate"]
    assert [seed["weightsSha256"] for seed in told["seeds"]] == [report.weights_sha256 for report in reports]
    assert set(told["packages"]) >= {"python", "torch", "stable-baselines3"}

    text = (folder.report / "report.md").read_text()
    assert "ppo on tasks:Unhurried-v0, 3,000 timesteps for each of 2 seeds. 2 succeeded; 2 had to." in text
    assert "no interval: that takes 5 seeds" in text
    assert best.random is not None
    assert f"Random actions return {number(best.random.mean)} ({best.random.episodes} episodes)" in text
    assert (folder.report / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert (folder.report / "episode.gif").read_bytes().startswith(b"GIF89a")
    assert "(episode.gif)" in text
    assert f"Best: seed {best.seed}" in printed


def test_the_policy_is_whole_and_can_be_applied_as_the_operator_would_make_it(whole: tuple[Shell, str, str]) -> None:
    folder = whole[0].run_folder
    policy = yaml.safe_load((folder.report / "policy.yaml").read_text())
    spec = RLPolicySpec.model_validate(policy["spec"])
    manifest = verify(
        folder.root / "artifacts" / spec.artifact.digest.removeprefix("sha256:"), wanted=spec.artifact.digest
    )
    assert manifest.lineage is not None
    assert (manifest.lineage.seed, manifest.lineage.config_hash) == (spec.lineage.seed, spec.lineage.config_hash)
    assert (spec.lineage.training_job, spec.lineage.uid) == ("cartpole", "local")
    assert policy["metadata"]["name"] == f"cartpole-{spec.artifact.digest.removeprefix('sha256:')[:6]}"
    assert spec.artifact.uri == f"store://sha256/{spec.artifact.digest.removeprefix('sha256:')}"


def test_a_finished_run_is_not_trained_again(whole: tuple[Shell, str, str]) -> None:
    shell = whole[0]
    before = shell.report(7)
    process = shell.start()
    printed, shown = process.communicate(timeout=300)
    assert (process.returncode, printed) == (0, whole[1])
    assert shell.report(7) == before
    assert "seed 7: timestep 3,000 of 3,000: return" in shown


def test_another_job_is_not_mixed_into_a_run(whole: tuple[Shell, str, str]) -> None:
    shell = whole[0]
    process = shell.start(JOB.replace("steps: 3000", "steps: 9000"))
    _, shown = process.communicate(timeout=300)
    assert process.returncode == 3
    assert "different are spec.budget.steps" in shown


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    with folder.locked(), pytest.raises(InUse, match="is in use"), folder.locked(wait_s=0):
        pass
    with folder.locked(wait_s=0):
        pass
