"""A worker of a search: what it finds on a task that is known, what its death costs, and what cannot be searched."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from search_support import make_study
from test_initial import trained
from trainer_configs import make_config

from belay_api.search import FIRST_TRIAL_SEED
from belay_api.training import MOST_EPISODES, TrainingConfig, TrainingReport
from belay_api.wire import RunProgress
from belay_trainer.config import Run
from belay_trainer.environments import reset_seeds
from belay_trainer.errors import BadConfiguration, GivenUp, Interrupted
from belay_trainer.initial import open_initial
from belay_trainer.search.journal import FileLines, Journal
from belay_trainer.search.spaces import space_of
from belay_trainer.search.trial import trial_spec
from belay_trainer.search.worker import search_in
from belay_trainer.stop import Stop

SPACE = {"learning_rate": {"choices": [1e-9, 1e-2]}, "ent_coef": {"range": [0.0, 0.001]}}
SEARCH = {"trials": 4, "steps": 800, "dimensions": 0, "sampler": "random", "pruner": "none", "space": SPACE}


def config(**spec: Any) -> TrainingConfig:
    """A search on Countdown: action 1 pays, so that the best return is 4 and one of two rates learns it."""
    return make_config(
        **{
            "environment": {"id": "tasks:Countdown-v0"},
            "algorithm": {"ppo": {"n_steps": 16, "net_arch": [8], "n_epochs": 20}},
            "evaluation": {"every": 1000, "episodes": 7},
            "budget": {"steps": 1000},
            "search": SEARCH,
            "storage": {},
            **spec,
        }
    )


class Told:
    """Keeps every heartbeat; see `heartbeat.ProgressSink`."""

    def __init__(self) -> None:
        self.beats: list[RunProgress] = []

    def tell(self, progress: RunProgress) -> None:
        self.beats.append(progress)

    def close(self) -> None:
        pass


class Soon(Stop):
    """Is asked to go in the middle of a trial."""

    looks = 0

    @property
    def asked(self) -> bool:
        self.looks += 1
        return self.looks > 100


class Killed(BaseException):
    """The process is gone: nothing of ours is told of it."""


class Dies(Soon):
    """Is killed in the middle of a trial."""

    @property
    def asked(self) -> bool:
        if super().asked:
            raise Killed
        return False


@dataclass
class Worker:
    """A worker in this process."""

    folder: Path
    told: Told

    @property
    def lines(self) -> FileLines:
        return FileLines(self.folder / "journal")

    def search(self, asked: TrainingConfig, stop: Stop | None = None, *, initial: Path | None = None) -> TrainingReport:
        stop = stop or Stop()
        run = Run(asked, index=0, seed=asked.spec.seeds.first)
        journal = Journal(self.lines, key=None, stop=stop)
        begins = open_initial(run, initial) if initial is not None else None
        return search_in(run, journal, work_dir=self.folder, heartbeat=self.told, stop=stop, initial=begins)

    def rows(self, asked: TrainingConfig) -> list[Any]:
        return make_study(self.lines, spec=asked.spec).rows()


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    return Worker(tmp_path, Told())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Worker, TrainingReport]:
    """A search that nobody disturbed."""
    worker = Worker(tmp_path_factory.mktemp("whole"), Told())
    return worker, worker.search(config())


def test_a_search_finds_the_settings_that_learn(whole: tuple[Worker, TrainingReport]) -> None:
    worker, report = whole
    found = report.search
    assert found is not None
    assert found.best is not None
    assert (found.trials, found.finished, report.outcome, report.step) == (4, 4, "Succeeded", 4)
    assert found.best.settings["learning_rate"] == 1e-2
    assert found.best.value > 3.5, "of 4"
    poor = [value for _, _, value, settings in worker.rows(config()) if settings["learning_rate"] == 1e-9]
    assert poor, "only one rate was tried: the test shows nothing"
    assert max(poor) < found.best.value
    for trial in make_study(worker.lines, spec=config().spec)._trials():
        evaluations = list(trial.intermediate_values.values())
        assert len(evaluations) == 7, "at the first update after each tenth of the budget"
        assert trial.value == pytest.approx(sum(evaluations[3:]) / 4), "the second half, the middle one included"
    assert [beat.search.ended for beat in worker.told.beats if beat.search] == [0, 1, 2, 3, 4, 4]
    assert [path.name for path in worker.folder.iterdir()] == ["journal"], "a trial leaves nothing"


def test_a_worker_that_dies_costs_neither_a_trial_nor_a_bit(
    worker: Worker, whole: tuple[Worker, TrainingReport], caplog: pytest.LogCaptureFixture
) -> None:
    """tests/long/trainer kills real pods."""
    with pytest.raises(Killed):
        worker.search(config(), Dies())
    caplog.set_level("INFO")
    assert worker.search(config()).search == whole[1].search
    assert "trial 0 is taken up from its beginning" in caplog.text
    assert worker.rows(config()) == whole[0].rows(config())


def test_a_worker_that_is_asked_to_go_leaves_its_trial_to_the_next(
    worker: Worker, whole: tuple[Worker, TrainingReport]
) -> None:
    for _ in range(2):  # however often: it is not to blame
        with pytest.raises(Interrupted, match="the next pod in this place begins trial 0 again"):
            worker.search(config(), Soon())
    assert worker.search(config()).search == whole[1].search


@pytest.mark.parametrize(
    ("spec", "error", "words"),
    [
        ({"search": SEARCH | {"space": {}}}, BadConfiguration, "search.space: nothing of algorithm.ppo is left"),
        ({"environment": {"id": "Nowhere-v0"}}, BadConfiguration, "environment.id"),
        (
            {"search": SEARCH | {"trials": 2, "space": SPACE | {"batch_size": {"choices": [1]}}}},
            GivenUp,
            "none of 2 trials of the search came to its end; the last failure: trial 1 was refused: algorithm.ppo "
            "refuses its settings or the task: `batch_size` must be greater than 1",
        ),
        (
            {"environment": {"id": "tasks:Overflowing-v0"}, "search": SEARCH | {"trials": 30, "steps": 100}},
            GivenUp,
            "search: the first 10 trials all failed, so it was given up. trial 9: ",
        ),
    ],
    ids=["nothing to search", "no environment", "all refused", "all diverge"],
)
def test_a_search_that_cannot_be_ends_with_one_sentence(
    spec: dict[str, Any], error: type[Exception], words: str, worker: Worker
) -> None:
    with pytest.raises(error) as ended:
        worker.search(config(**spec))
    assert words in str(ended.value)


def test_a_policy_that_no_trial_could_begin_with_is_told_before_the_first(worker: Worker, tmp_path: Path) -> None:
    folder, policy = trained(tmp_path / "before", environment={"id": "tasks:Countdown-v0"})
    asked = config().model_copy(update={"initial": policy})
    with pytest.raises(BadConfiguration, match="initFrom: .*net_arch"):
        worker.search(asked, initial=folder)
    assert worker.rows(asked) == []


def test_who_begins_with_a_policy_searches_no_other_network() -> None:
    spec = config(search=SEARCH | {"space": {}, "dimensions": 4}, algorithm={"ppo": {}}).spec
    assert "net_arch" in space_of(spec.search, spec.algorithm)
    assert "net_arch" not in space_of(spec.search, spec.algorithm, begins_trained=True)


def test_a_trial_that_diverges_after_good_evaluations_has_failed(worker: Worker) -> None:
    """A seed would publish the best that it had before."""
    asked = config(environment={"id": "tasks:Cliff-v0"}, search=SEARCH | {"steps": 3000, "trials": 1})
    with pytest.raises(GivenUp, match="none of 1 trials of the search came to its end; the last failure: trial 0: "):
        worker.search(asked)
    [(_, end, value, _)] = worker.rows(asked)
    assert (end, value) == ("failed", None)
    [line] = [line for line in worker.lines.read() if '"op_code":6' in line]
    assert '"values":[' in line, "what it counts as, for the sampler: it was evaluated before it diverged"


def test_trials_share_no_episode_with_what_is_published() -> None:
    spec = config(seeds={"count": 1000, "first": 2_000_000_000}, search=SEARCH | {"trials": 1000}).spec
    first = spec.seeds.first
    ours = {start for seed in range(first, first + spec.seeds.count) for start in reset_seeds(seed, 1)}
    theirs = {start for number in range(1000) for start in reset_seeds(first + FIRST_TRIAL_SEED + number, 1)}
    assert len(ours) == len(theirs) == 1000
    assert not ours & theirs
    evaluation = trial_spec(spec, {}).evaluation
    last = spec.evaluation.first_seed + MOST_EPISODES + MOST_EPISODES  # of checkpoints, then of the measurement
    assert evaluation.first_seed >= last
    assert (evaluation.target, evaluation.patience, evaluation.stop_loss) == (None, None, None)
