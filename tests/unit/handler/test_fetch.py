"""What the init container leaves behind: the artifact the policy names, or nothing and a report that says why."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.unit.handler.artifacts import write
from tests.unit.handler.web import Request, Response, serving

from belay_api.artifact import MANIFEST, TRAINING_FILE, Imported, Manifest, RecurrentState, verify_served
from belay_api.environment import MOST_CONSTRAINTS
from belay_api.outcomes import KnownOutcome, Played
from belay_api.policy import LoadReport
from belay_handler.fetch import fetch
from belay_handler.stores import LogbookStore, VolumeStore

SERVED = {
    "policy.onnx": os.urandom(300_000),
    "policy.pt": os.urandom(2_000),
    "critic.onnx": b"critic",
    "config.json": b"{}",
}
FILES = SERVED | {TRAINING_FILE: os.urandom(400_000)}


@dataclass
class Artifact:
    folder: Path
    manifest: Manifest

    @property
    def digest(self) -> str:
        return self.manifest.digest()

    def blobs(self) -> dict[str, bytes]:
        """Return the files by their hex digest, as the built-in store keeps them."""
        return {hashlib.sha256(path.read_bytes()).hexdigest(): path.read_bytes() for path in self.folder.iterdir()}


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    return Artifact(tmp_path / "origin", write(tmp_path / "origin", FILES))


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "models" / "artifact"


@dataclass
class Store:
    """The logbook's blobs, with the faults a test asks for."""

    blobs: dict[str, bytes]
    faults: list[Callable[[Request, bytes], Response]] = field(default_factory=list)  # used up one per request
    requests: list[Request] = field(default_factory=list)
    url: str = ""

    def answer(self, request: Request) -> Response:
        self.requests.append(request)
        blob = self.blobs.get(request.path.rsplit("/", 1)[1])
        if blob is None:
            return Response(404)
        if self.faults:
            return self.faults.pop(0)(request, blob)
        return ranged(request, blob)


def ranged(request: Request, blob: bytes) -> Response:
    if "range" not in request.headers:
        return Response(200, blob)
    offset = int(request.headers["range"].removeprefix("bytes=").removesuffix("-"))
    return Response(206, blob[offset:], {"content-range": f"bytes {offset}-{len(blob) - 1}/{len(blob)}"})


BEFORE_NETWORK = [ranged] * 3  # manifest, configuration and critic come whole, then the network


@pytest.fixture
def store(artifact: Artifact) -> Iterator[Store]:
    store = Store(artifact.blobs())
    with serving(store.answer) as store.url:
        yield store


def from_logbook(store: Store, artifact: Artifact, target: Path, **options) -> LoadReport:
    settings = {"token_file": target.parent / "token", "patience_s": 60.0, "sleep": lambda seconds: None} | options
    logbook = LogbookStore(store.url, "team-a", manifest_hex=artifact.digest.removeprefix("sha256:"), **settings)
    return fetch(logbook, digest=artifact.digest, target=target)


def nothing_left(target: Path) -> bool:
    return not target.exists() and (not target.parent.exists() or list(target.parent.iterdir()) == [])


def test_a_disk_that_cannot_be_written_is_reported(artifact: Artifact, tmp_path: Path) -> None:
    (tmp_path / "models").write_bytes(b"")  # a file where the folder should be; a full disk raises OSError as well
    report = fetch(VolumeStore(artifact.folder), digest=artifact.digest, target=tmp_path / "models" / "artifact")

    assert report.reason == "StoreUnavailable"
    assert "cannot be written" in report.message


def test_from_the_built_in_store(store: Store, artifact: Artifact, target: Path) -> None:
    report = from_logbook(store, artifact, target)

    assert (report.reason, report.digest) == ("Verified", artifact.digest)
    assert (report.observation, report.action) == ("Box(4,) float32", "Discrete(2)")
    assert verify_served(target, wanted=artifact.digest) == artifact.manifest
    assert list(target.parent.iterdir()) == [target]
    assert {request.path.rsplit("/", 1)[0] for request in store.requests} == {"/v1/namespaces/team-a/blobs"}


def test_what_only_training_loads_is_neither_asked_for_nor_needed(
    store: Store, artifact: Artifact, target: Path
) -> None:
    del store.blobs[hashlib.sha256(FILES[TRAINING_FILE]).hexdigest()]
    report = from_logbook(store, artifact, target)

    assert (report.reason, report.message) == ("Verified", f"4 files, {sum(map(len, SERVED.values()))} bytes")
    asked = {request.path.rsplit("/", 1)[1] for request in store.requests}
    assert asked == {hashlib.sha256(content).hexdigest() for content in SERVED.values()} | {
        artifact.digest.removeprefix("sha256:")
    }
    assert {path.name for path in target.iterdir()} == {MANIFEST, *SERVED}

    store.requests.clear()
    assert from_logbook(store, artifact, target) == report, "a pod restarted over what it has"
    assert store.requests == []


def test_what_training_knows_of_outcomes_is_reported(tmp_path: Path) -> None:
    written = write(tmp_path / "old", {"policy.onnx": b"x"})
    store = VolumeStore(tmp_path / "old")
    assert fetch(store, digest=written.digest(), target=tmp_path / "a").outcomes is None
    played = Played(episodes=20, mean=480, std=40, min=350, max=500)
    known = {
        "return": KnownOutcome(evaluated=played, low=9, high=500),
        "heat": KnownOutcome(evaluated=played, low=9, high=500, random=played),
    }
    content = (
        written.model_copy(update={"outcomes": known})
        .canonical()
        .replace(b'{"action"', b'{"aLaterField":1,"action"', 1)
    )
    (tmp_path / "old" / "manifest.json").write_bytes(content)
    report = fetch(store, digest="sha256:" + hashlib.sha256(content).hexdigest(), target=tmp_path / "b")
    assert report.reason == "Verified", "what a later version adds is ignored"
    assert report.outcomes is not None
    assert (report.outcomes.return_, report.outcomes.length) == (known["return"], None)
    assert report.outcomes.of("heat") == KnownOutcome(evaluated=played, low=9, high=500)
    assert report.outcomes.of("wear") is None
    assert LoadReport.model_validate_json(report.model_dump_json(by_alias=True, exclude_none=True)) == report


def test_the_last_word_has_room_for_every_cost(tmp_path: Path) -> None:
    written = write(tmp_path / "made", {"policy.onnx": b"x"})
    third = -1 / 3 * 1e100  # as many digits as a number can have
    played = Played(episodes=10_000, mean=third, std=third, min=third, max=third)
    one = KnownOutcome(evaluated=played, low=third, high=third, random=played)
    names = ["return", "length", *(f"{number}{'x' * 62}" for number in range(MOST_CONSTRAINTS))]
    most = written.model_copy(update={"outcomes": dict.fromkeys(names, one)})
    (tmp_path / "made" / MANIFEST).write_bytes(most.canonical())
    report = fetch(VolumeStore(tmp_path / "made"), digest=most.digest(), target=tmp_path / "a")
    assert report.outcomes is not None
    assert len(report.outcomes.costs or {}) == MOST_CONSTRAINTS
    assert len(report.model_dump_json(by_alias=True, exclude_none=True)) < 4096


def test_an_imported_artifact_is_served_and_says_what_it_does_not_know(tmp_path: Path) -> None:
    written = write(tmp_path / "made", {"policy.onnx": b"x"})
    made = Imported(format="controller", source="rules:steer", sha256="0" * 64)
    unknown = {"algorithm": None, "environment": None, "evaluation": None, "lineage": None, "imported": made}
    imported = written.model_copy(update=unknown)
    (tmp_path / "made" / MANIFEST).write_bytes(imported.canonical())
    report = fetch(VolumeStore(tmp_path / "made"), digest=imported.digest(), target=tmp_path / "a")

    assert report.reason == "Verified"
    assert (report.imported, report.absent) == ("controller rules:steer", ["evaluation", "lineage", "outcomes"])
    assert LoadReport.model_validate_json(report.model_dump_json(by_alias=True, exclude_none=True)) == report


def test_a_policy_that_remembers_says_what(tmp_path: Path) -> None:
    written = write(tmp_path / "made", {"policy.onnx": b"x"})
    remembers = written.model_copy(update={"state": RecurrentState(shape=[2, 1, 64])})
    (tmp_path / "made" / MANIFEST).write_bytes(remembers.canonical())
    report = fetch(VolumeStore(tmp_path / "made"), digest=remembers.digest(), target=tmp_path / "a")
    assert report.state == "(2, 1, 64) float32"
    assert str(RecurrentState(shape=[8])) == "(8,) float32"


def test_a_proxy_of_the_environment_is_not_asked(
    store: Store, artifact: Artifact, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert from_logbook(store, artifact, target, patience_s=0).reason == "Verified"


def test_the_pods_token_is_sent(store: Store, artifact: Artifact, target: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    from_logbook(store, artifact, target, token_file=tmp_path / "token")

    assert {request.headers["authorization"] for request in store.requests} == {"Bearer secret"}


def test_a_broken_download_goes_on_where_it_broke(store: Store, artifact: Artifact, target: Path) -> None:
    def cut(request: Request, blob: bytes) -> Response:
        return Response(200, blob, cut_after=100_000)

    store.faults = [*BEFORE_NETWORK, cut]
    report = from_logbook(store, artifact, target)

    assert report.reason == "Verified"
    ranges = [request.headers.get("range") for request in store.requests]
    resumed = [int(text.removeprefix("bytes=").removesuffix("-")) for text in ranges if text]
    assert resumed
    assert 0 < resumed[0] <= 100_000


def test_a_store_that_ignores_ranges_is_read_from_the_start(store: Store, artifact: Artifact, target: Path) -> None:
    store.faults = [
        *BEFORE_NETWORK,
        lambda request, blob: Response(200, blob, cut_after=9_999),
        lambda _, blob: Response(200, blob),
    ]

    assert from_logbook(store, artifact, target).reason == "Verified"


def test_a_store_in_trouble_is_asked_again(store: Store, artifact: Artifact, target: Path) -> None:
    store.faults = [lambda request, blob: Response(503, b"starting"), lambda request, blob: Response(500)]

    assert from_logbook(store, artifact, target).reason == "Verified"


def test_a_store_that_stays_away(artifact: Artifact, target: Path) -> None:
    report = from_logbook(Store({}, url="http://127.0.0.1:9"), artifact, target, patience_s=0.3)

    assert report.reason == "StoreUnavailable"
    assert "does not deliver manifest.json" in report.message
    assert nothing_left(target)


def test_a_store_that_refuses_the_token_says_so(store: Store, artifact: Artifact, target: Path) -> None:
    store.faults = [lambda request, blob: Response(403, b"not your namespace")] * 10_000

    report = from_logbook(store, artifact, target, patience_s=0.1)

    assert report.reason == "StoreUnavailable"
    assert "403 not your namespace" in report.message


def test_an_artifact_the_store_does_not_have(store: Store, artifact: Artifact, target: Path) -> None:
    store.blobs.clear()

    assert from_logbook(store, artifact, target).reason == "ArtifactNotFound"
    assert nothing_left(target)


@pytest.mark.parametrize("name", [MANIFEST, *SERVED])
def test_one_changed_byte_is_never_put_in_place(store: Store, artifact: Artifact, target: Path, name: str) -> None:
    wanted = hashlib.sha256((artifact.folder / name).read_bytes()).hexdigest()
    changed = bytearray(store.blobs[wanted])
    changed[len(changed) // 2] ^= 1
    store.blobs[wanted] = bytes(changed)

    report = from_logbook(store, artifact, target)

    assert report.reason == "DigestMismatch"
    assert report.digest == "sha256:" + hashlib.sha256(changed).hexdigest()
    assert all(part in report.message for part in (name, wanted, report.digest.removeprefix("sha256:")))
    assert nothing_left(target)


def test_a_file_that_is_too_long_is_not_even_stored(store: Store, artifact: Artifact, target: Path) -> None:
    wanted = hashlib.sha256(FILES["policy.onnx"]).hexdigest()
    store.blobs[wanted] = FILES["policy.onnx"] + b"x"

    report = from_logbook(store, artifact, target)

    assert report.reason == "DigestMismatch"
    assert "policy.onnx is longer than the 300000 bytes" in report.message
    assert nothing_left(target)


def test_what_an_earlier_life_left_is_believed_only_after_a_check(
    store: Store, artifact: Artifact, target: Path
) -> None:
    from_logbook(store, artifact, target)
    store.requests.clear()
    assert from_logbook(store, artifact, target).reason == "Verified"
    assert store.requests == []

    (target / "policy.onnx").write_bytes(b"changed")
    assert from_logbook(store, artifact, target).reason == "Verified"
    assert verify_served(target, wanted=artifact.digest)


def test_an_artifact_without_a_network_is_refused_before_it_is_fetched(tmp_path: Path, target: Path) -> None:
    manifest = write(tmp_path / "origin", {"notes.txt": b"no network"})
    report = fetch(VolumeStore(tmp_path / "origin"), digest=manifest.digest(), target=target)

    assert report.reason == "ArtifactInvalid"
    assert "policy.onnx or policy.pt is needed" in report.message
    assert nothing_left(target)


@pytest.mark.parametrize("digest", ["../../team-b/blobs/" + "0" * 64, "", "A" * 64])
def test_a_digest_that_is_none_is_never_asked_for(store: Store, artifact: Artifact, target: Path, digest: str) -> None:
    """It would become part of an address, and the pod's token goes with the request."""
    entry = {**artifact.manifest.files[0].dump(), "sha256": digest}
    content = json.dumps(artifact.manifest.dump() | {"files": [entry]}).encode()
    hexadecimal = hashlib.sha256(content).hexdigest()
    store.blobs[hexadecimal] = content
    logbook = LogbookStore(store.url, "team-a", manifest_hex=hexadecimal, token_file=target.parent / "token")

    report = fetch(logbook, digest=f"sha256:{hexadecimal}", target=target)

    assert report.reason == "ArtifactInvalid"
    assert "sha256" in report.message
    assert len(store.requests) == 1
    assert nothing_left(target)


def test_bytes_as_promised_that_are_no_manifest(tmp_path: Path, target: Path) -> None:
    (tmp_path / "origin").mkdir()
    (tmp_path / "origin" / MANIFEST).write_bytes(b'{"formatVersion": 99}')
    digest = "sha256:" + hashlib.sha256(b'{"formatVersion": 99}').hexdigest()

    report = fetch(VolumeStore(tmp_path / "origin"), digest=digest, target=target)

    assert (report.reason, report.digest) == ("ArtifactInvalid", digest)
    assert nothing_left(target)


# --- the command, as the kubelet runs it ------------------------------------------------------------------------------
def run(tmp_path: Path, **environment: str) -> tuple[int, LoadReport]:
    options = {"target": "models/artifact", "volume": "store", "termination-log": "log", "token-file": "token"}
    arguments = [text for name, path in options.items() for text in (f"--{name}", str(tmp_path / path))]
    done = subprocess.run(
        [sys.executable, "-m", "belay_handler.fetch", *arguments, "--patience", "0.2"],
        env={"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ["PATH"]} | environment,
        check=False,
        timeout=60,
    )
    return done.returncode, LoadReport.model_validate(json.loads((tmp_path / "log").read_text()))


def test_the_command_fetches_from_a_volume(tmp_path: Path) -> None:
    manifest = write(tmp_path / "store" / "artifacts" / "1", FILES)
    environment = {"BELAY_ARTIFACT_URI": "pvc://policies/artifacts/1", "BELAY_ARTIFACT_DIGEST": manifest.digest()}

    code, report = run(tmp_path, **environment)
    assert (code, report.reason) == (0, "Verified")
    assert verify_served(tmp_path / "models" / "artifact", wanted=manifest.digest())


def test_the_command_reports_and_fails_on_another_digest(tmp_path: Path) -> None:
    manifest = write(tmp_path / "store" / "artifacts" / "1", FILES)
    wanted = "sha256:" + "0" * 64

    environment = {"BELAY_ARTIFACT_URI": "pvc://policies/artifacts/1", "BELAY_ARTIFACT_DIGEST": wanted}
    code, report = run(tmp_path, **environment)
    assert (code, report.reason, report.digest) == (1, "DigestMismatch", manifest.digest())
    assert wanted in report.message
    assert not (tmp_path / "models" / "artifact").exists()


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("pvc://policies/../../etc", "leads out of the volume"),
        ("s3://bucket/x", "store://sha256/<hex> or pvc://"),
        ("", "BELAY_ARTIFACT_URI is not set"),
    ],
)
def test_the_command_refuses_an_address_it_cannot_use(tmp_path: Path, uri: str, says: str) -> None:
    (tmp_path / "store").mkdir()
    code, report = run(tmp_path, BELAY_ARTIFACT_URI=uri, BELAY_ARTIFACT_DIGEST="sha256:" + "0" * 64)

    assert code == 3
    assert says in report.message
