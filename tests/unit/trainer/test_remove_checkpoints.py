"""The command of a cleanup's pod: checkpoints of all seeds go, in either store; nothing else does."""

from pathlib import Path

import pytest
from trainer_configs import NAMESPACE, UID, make_config
from trainer_support import LogbookServer

from belay_trainer.__main__ import main
from belay_trainer.files import reference
from belay_trainer.logbook import connect
from belay_trainer.search.journal import FileLines, LogbookLines
from belay_trainer.store import Store
from belay_trainer.store.folder import FolderStore
from belay_trainer.store.logbook import LogbookStore

SEEDS = 3


def _job_file(folder: Path, **spec: object) -> Path:
    path = folder / "job.json"
    path.write_text(make_config(seeds={"count": SEEDS}, **spec).model_dump_json(by_alias=True, exclude_none=True))
    return path


def _fill(store: Store) -> None:
    for step in (5, 6):
        store.save(reference(step, b"%d" % step), b"%d" % step)


def test_a_claim_keeps_its_artifacts_and_other_jobs(tmp_path: Path) -> None:
    claim = tmp_path / "claim"
    for seed in (f"{UID}/0", f"{UID}/2", "another/0"):
        (claim / "checkpoints" / seed).mkdir(parents=True)
        _fill(FolderStore(claim, claim="policies", seed=seed))
    (claim / "artifacts" / "abc").mkdir(parents=True)
    for uid in (UID, "another"):
        FileLines(claim / "searches" / f"{uid}.jsonl").append("a", ["a line"])

    flags = ["--job-file", str(_job_file(tmp_path)), "--pvc-dir", str(claim)]
    assert main(["remove-checkpoints", *flags]) == 0
    assert [path.name for path in (claim / "checkpoints").iterdir()] == ["another"]
    assert len(FolderStore(claim, claim="policies", seed="another/0").checkpoints()) == 2
    assert [path.name for path in (claim / "searches").iterdir()] == ["another.jsonl"]
    assert (claim / "artifacts" / "abc").is_dir()
    assert main(["remove-checkpoints", *flags]) == 0, "a pod may be killed, and the next one begins anew"


def test_the_built_in_store_is_cleared_and_one_that_is_away_is_worth_another_try(
    tmp_path: Path, logbook: LogbookServer, capsys: pytest.CaptureFixture[str]
) -> None:
    client = connect(logbook.url, tmp_path / "no-token")
    stores = [LogbookStore(client, namespace=NAMESPACE, seed=f"{UID}/{index}") for index in range(SEEDS)]
    _fill(stores[0])
    _fill(stores[2])
    journal = LogbookLines(client, namespace=NAMESPACE, uid=UID)
    journal.append("a", ["a line"])
    flags = ["--job-file", str(_job_file(tmp_path, storage={})), "--logbook-url", logbook.url]
    assert main(["remove-checkpoints", *flags]) == 0
    assert journal.read() == []
    assert [store.checkpoints() for store in stores] == [[], [], []]

    logbook.stop()
    assert main(["remove-checkpoints", *flags]) == 1
    assert "ConnectError" in capsys.readouterr().err
