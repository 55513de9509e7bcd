"""`belay-trainer run` on a job with a search: stopped half way, gone on with, and what it leaves."""

import json
import signal
from pathlib import Path

from test_local_run import JOB as PLAIN
from test_local_run import Shell
from trainer_support import until

from belay_api.artifact import verify
from belay_api.content import spec_hash
from belay_api.search import SearchStatus
from belay_api.training import TrainingConfig
from belay_trainer.local.folder import RunFolder
from belay_trainer.reporting.search import read_search

JOB = (
    PLAIN.replace("{steps: 3000}", "{steps: 600}")
    .replace("{count: 2, first: 7}", "{count: 1, first: 7}")
    .replace(
        "checkpoint: {every: 250}",
        "search: {trials: 3, steps: 300, pruner: none, dimensions: 1, space: {gamma: {choices: [0.9, 0.99]}}}",
    )
)


def found(folder: RunFolder) -> SearchStatus:
    search = read_search(folder)
    assert search is not None
    return search.status


def test_a_search_that_was_stopped_goes_on_and_its_seeds_train_with_the_best(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    folder = shell.run_folder
    shell.slow.touch()
    process = shell.start(JOB)
    log = folder.worker(0).log
    until(lambda: process.poll() is not None or (log.exists() and "seed 1007" in log.read_text()), 120)
    process.send_signal(signal.SIGINT)
    printed, shown = process.communicate(timeout=60)
    assert process.returncode == 143, shown
    assert printed == "", "there is nothing to report yet"
    assert found(folder).ended == 0
    assert not folder.seeds_file.exists()

    shell.slow.unlink()
    process = shell.start(JOB)
    printed, shown = process.communicate(timeout=240)
    assert process.returncode == 0, shown
    status = found(folder)
    assert (status.finished, status.ended) == (3, 3), "none twice, none lost"
    assert status.best is not None
    assert "search: trial 3 of 3: best" in shown
    assert f"Trial {status.best.trial} was best" in shown

    trained = TrainingConfig.model_validate_json(folder.seeds_file.read_bytes())
    settings = trained.spec.algorithm.settings.model_dump(exclude_none=True)
    assert settings == {"n_epochs": 3, "n_steps": 32, **status.best.settings}
    assert trained.spec.search is None
    assert trained.config_hash == spec_hash(trained.spec)
    artifact = shell.report(7).artifact
    assert artifact is not None
    lineage = verify(folder.artifact(artifact), wanted=artifact.digest).lineage
    assert lineage is not None
    assert lineage.config_hash == trained.config_hash

    text = (folder.report / "report.md").read_text()
    assert "Of 3 trials 3 finished, 0 were pruned, 0 failed." in text
    assert (folder.report / "search.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((folder.report / "report.json").read_text())["search"]["finished"] == 3
    assert (tmp_path / "job.yaml").name in printed.split("kubectl apply -f ")[1]


def test_a_search_that_cannot_be_ends_the_run_with_its_words(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    process = shell.start(JOB.replace("tasks:Unhurried-v0", "CartPol-v1"))
    printed, shown = process.communicate(timeout=120)
    assert (process.returncode, printed) == (3, ""), shown
    assert "cartpole: environment.id" in shown
    assert not shell.run_folder.seeds_file.exists()

    process = Shell(tmp_path, out="runs/other").start(JOB.replace("{gamma: {", "{gama: {"))
    _, shown = process.communicate(timeout=60)
    assert process.returncode == 3
    assert (
        "spec.search.space.gama: algorithm.ppo has no setting of that name to be searched; the nearest is ga" in shown
    )
