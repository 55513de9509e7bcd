"""A critic says what it foresees, or nothing; whatever goes wrong with it, decisions are as without it."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import orjson
import pytest
from tests.unit.handler.artifacts import CARTPOLE, manifest, outputs, write
from tests.unit.handler.test_server import KEY, LEFT, NOW, RIGHT, body

from belay_api import receipts
from belay_api.artifact import CRITIC_FILE, MANIFEST, ArtifactError, DigestMismatch, FileEntry, verify_served
from belay_api.spaces import DiscreteSpace
from belay_handler import critics
from belay_handler.acting import Actor
from belay_handler.critics import HELD, LARGEST, RETRY_S, Critics, fetched_critic, own_critic
from belay_handler.requests import Reader
from belay_handler.server import FORESEEN_AT_ONCE, Ask, Foresee, Server
from belay_handler.stores import NotFound, StoreError, Unavailable, VolumeStore

OWN, OTHER = "aa" * 32, "bb" * 32
SEEN = np.array([LEFT, RIGHT, LEFT], dtype=np.float32)


def fifth(observations: np.ndarray) -> np.ndarray:
    """A critic: 1 of what goes left, 4 of what goes right."""
    return np.where(observations[:, 0] > 0, 1, 4).astype(np.int64)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


class Fetching:
    """Answers what a test says, and counts."""

    def __init__(self, *answers: object) -> None:
        self.answers, self.asked = list(answers), []

    def __call__(self, baseline: str) -> object:
        self.asked.append(baseline)
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_a_pods_own_critic_speaks_at_once() -> None:
    assert Critics(OWN, fifth, None).foresee(OWN, SEEN) == [1, 4, 1]
    assert Critics(OWN, None, None).foresee(OWN, SEEN) == [None] * 3
    assert Critics(OWN, fifth, None).foresee(OTHER, SEEN) == [None] * 3


def test_another_artifacts_is_fetched_behind_the_decisions_and_speaks_from_then_on() -> None:
    let_go = threading.Event()

    def slowly(baseline: str) -> object:
        let_go.wait(10)
        return fifth

    known = Critics(OWN, None, slowly)
    known.start()
    began = time.monotonic()
    assert [known.foresee(OTHER, SEEN) for _ in range(50)] == [[None] * 3] * 50
    assert time.monotonic() - began < 1, "nobody waits for it"
    let_go.set()
    wait_for(lambda: known.foresee(OTHER, SEEN) == [1, 4, 1])


@pytest.mark.parametrize("problem", [NotFound("no"), Unavailable("no"), ArtifactError("no"), RuntimeError("onnx")])
def test_one_that_cannot_be_had_is_asked_for_again_after_a_while(problem: Exception) -> None:
    now, fetch = [0.0], Fetching(problem, fifth)
    known = Critics(OWN, fifth, fetch, clock=lambda: now[0])
    known.start()
    known.foresee(OTHER, SEEN)
    wait_for(lambda: len(known._known) == 2)
    now[0] = RETRY_S - 1
    for _ in range(20):
        assert known.foresee(OTHER, SEEN) == [None] * 3
    assert known.foresee(OWN, SEEN) == [1, 4, 1]
    assert fetch.asked == [OTHER]
    now[0] = RETRY_S + 1
    wait_for(lambda: known.foresee(OTHER, SEEN) == [1, 4, 1])
    assert fetch.asked == [OTHER] * 2


def test_an_artifact_without_one_is_not_asked_for_again() -> None:
    now, fetch = [0.0], Fetching(None)
    known = Critics(OWN, None, fetch, clock=lambda: now[0])
    known.start()
    known.foresee(OTHER, SEEN)
    wait_for(lambda: len(known._known) == 2)
    now[0] = 1e9
    for _ in range(20):
        assert known.foresee(OTHER, SEEN) == [None] * 3
    assert fetch.asked == [OTHER]


def test_no_more_are_held_than_rollouts_need_and_the_own_one_stays() -> None:
    known = Critics(OWN, fifth, Fetching(*[fifth] * 20))
    known.start()
    for number in range(12):
        baseline = f"{number:02d}" * 32
        wait_for(lambda baseline=baseline: known.foresee(baseline, SEEN) == [1, 4, 1])
        assert len(known._known) <= HELD
    assert known.foresee(OWN, SEEN) == [1, 4, 1]


def broken(observations: np.ndarray) -> np.ndarray:
    raise RuntimeError("out of memory")


@pytest.mark.parametrize(
    "critic",
    [
        broken,
        lambda seen: np.zeros((len(seen), 1), np.int64),
        lambda seen: np.zeros(len(seen), np.float32),
        lambda seen: np.full(len(seen), 5),
        lambda seen: np.full(len(seen), -1),
        lambda seen: np.zeros(len(seen) + 1, np.int64),
    ],
)
def test_a_critic_that_fails_leaves_the_decision_alone(critic: Callable[[np.ndarray], np.ndarray]) -> None:
    known = Critics(OWN, critic, None)
    answers = serve(known.foresee, [Ask(body({"observation": RIGHT, "episode": "e"}), b"shop", OWN.encode())])
    assert answers == [(1, None)]
    assert known.foresee(OWN, SEEN) == [None] * 3
    assert known._known[OWN][0] is None, "it is not asked any more"


def serve(foresee: Foresee | None, asked: list[Ask]) -> list[tuple[int, tuple[str, int] | None]]:
    """Return of each answer the action and what its receipt says was foreseen."""
    started: list[str] = []
    server = Server(
        policy="cartpole-1",
        namespace="team-a",
        actor=Actor(manifest(), outputs, np.random.default_rng(0)),
        reader=Reader(CARTPOLE, stochastic=True),
        receipt_key=KEY,
        on_start=started.append,
        foresee=foresee,
    )
    found = []
    for answer in server.answer(asked, NOW):
        value = orjson.loads(answer.body)
        for item in value if isinstance(value, list) else [value]:
            said = receipts.check(item["receipt"], KEY).foreseen
            found.append((item["action"], None if said is None else (said.baseline, said.level)))
    told = {receipts.check(token, KEY).foreseen for token in started}
    assert {said and (said.baseline, said.level) for said in told} >= {said for _, said in found if said}
    return found


def test_the_receipt_of_a_first_decision_says_what_was_foreseen() -> None:
    left, right = ({"observation": it, "episode": "e"} for it in (LEFT, RIGHT))
    known = Critics(OWN, fifth, None).foresee
    asked = [
        Ask(body(left), b"shop", OWN.encode()),
        Ask(body(right | {"step": 0}), b"shop", OWN.encode()),
        Ask(body(right | {"step": 1}), b"shop", OWN.encode()),
        Ask(body([left, right]), b"shop", OWN.encode()),
        Ask(body(left), b"shop", OTHER.encode()),
    ]
    first = [(0, (OWN, 1)), (1, (OWN, 4))]
    assert serve(known, asked) == [*first, (1, None), *first, (0, None)]


@pytest.mark.parametrize("header", [None, b"", b"aa", OWN.upper().encode(), b"sha256:" + OWN.encode(), b"\xff" * 64])
def test_without_a_baseline_nothing_changes(header: bytes | None) -> None:
    """To the byte, and no critic is asked."""

    def never(baseline: str, observations: np.ndarray) -> list[int | None]:
        raise AssertionError

    asked = [Ask(body({"observation": LEFT, "episode": "e"}), b"shop", header)]
    assert serve(never, asked) == serve(None, asked) == [(0, None)]
    no_route = [Ask(body({"observation": LEFT, "episode": "e"}), None, OWN.encode())]
    assert serve(never, no_route) == [(0, None)], "a route that names a baseline names its rollout"


def test_a_long_list_of_first_decisions_is_not_made_longer_by_a_critic() -> None:
    many = [{"observation": LEFT, "episode": "e"}] * (FORESEEN_AT_ONCE + 1)
    asked = [Ask(body(many), b"shop", OWN.encode())]
    assert {said for _, said in serve(Critics(OWN, fifth, None).foresee, asked)} == {None}


class Loaded:
    """Stands for onnxruntime, which is in the image alone: knows files by their content."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **by_content: Callable[[np.ndarray], np.ndarray]) -> None:
        self.by_content = by_content
        monkeypatch.setattr(critics, "load_onnx", self)

    def __call__(self, path: Path) -> Callable[[np.ndarray], np.ndarray]:
        return self.by_content[path.read_text()]


def slow(observations: np.ndarray) -> np.ndarray:
    time.sleep(0.02)
    return fifth(observations)


def test_the_artifacts_own_critic_is_tried_before_it_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Loaded(monkeypatch, good=fifth, slow=slow, broken=broken)
    assert own_critic(write(tmp_path, {"policy.onnx": b"x"}), tmp_path, batch=8) is None
    for content, wanted in ((b"good", fifth), (b"slow", None), (b"broken", None), (b"no network", None)):
        assert own_critic(write(tmp_path, {CRITIC_FILE: content}), tmp_path, batch=8) is wanted


def test_a_critic_that_the_manifest_does_not_list_is_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may lie in the folder all the same, and no digest covers it."""
    Loaded(monkeypatch, good=fifth)
    listed = write(tmp_path, {"policy.onnx": b"x"})
    (tmp_path / CRITIC_FILE).write_bytes(b"good")
    assert verify_served(tmp_path, wanted=listed.digest()) == listed
    assert own_critic(listed, tmp_path, batch=8) is None


def test_a_critic_comes_verified_out_of_another_artifact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Loaded(monkeypatch, good=fifth)
    other = write(tmp_path / "with", {CRITIC_FILE: b"good", "policy.onnx": b"x"})
    baseline = other.digest().removeprefix("sha256:")
    assert fetched_critic(VolumeStore(tmp_path / "with"), baseline, CARTPOLE, batch=8) is fifth
    without = write(tmp_path / "without", {"policy.onnx": b"x"}).digest().removeprefix("sha256:")
    assert fetched_critic(VolumeStore(tmp_path / "without"), without, CARTPOLE, batch=8) is None
    with pytest.raises(DigestMismatch):
        fetched_critic(VolumeStore(tmp_path / "with"), without, CARTPOLE, batch=8)
    with pytest.raises(ArtifactError, match=r"observes Box\(4,\) float32, and this policy Discrete\(4\)"):
        fetched_critic(VolumeStore(tmp_path / "with"), baseline, DiscreteSpace(n=4), batch=8)
    (tmp_path / "with" / CRITIC_FILE).write_text("evil")
    with pytest.raises(DigestMismatch):
        fetched_critic(VolumeStore(tmp_path / "with"), baseline, CARTPOLE, batch=8)


def test_a_critic_of_any_size_is_not_fetched(tmp_path: Path) -> None:
    written = write(tmp_path, {"policy.onnx": b"x"})
    huge = written.model_copy(update={"files": [FileEntry(path=CRITIC_FILE, size=LARGEST + 1, sha256="0" * 64)]})
    (tmp_path / MANIFEST).write_bytes(huge.canonical())
    with pytest.raises(StoreError, match="at most"):
        fetched_critic(VolumeStore(tmp_path), huge.digest().removeprefix("sha256:"), CARTPOLE, batch=8)
