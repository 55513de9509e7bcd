"""ONNX and TorchScript files and archives of TorchServe: imported they act as they did, and what cannot be is told."""

import json
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import gymnasium
import numpy as np
import onnx
import pytest
import torch
from import_support import CARTPOLE, Imports, seen_in, served
from onnx import TensorProto, helper


class Network(torch.nn.Module):
    """Four numbers to as many as are asked for."""

    def __init__(self, outputs: int = 2, inputs: int = 4) -> None:
        super().__init__()
        torch.manual_seed(outputs)
        self.layers = torch.nn.Sequential(torch.nn.Linear(inputs, 16), torch.nn.Tanh(), torch.nn.Linear(16, outputs))

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        return self.layers(observation)


class Recipe(Network):
    """What Stable-Baselines3's recipe for ONNX answers: the action, a value, a log probability."""

    def forward(self, observation: torch.Tensor) -> tuple[torch.Tensor, ...]:
        scores = self.layers(observation)
        return scores.argmax(dim=1), scores.max(dim=1, keepdim=True).values, scores.log_softmax(dim=1).max(dim=1).values


def _onnx(network: torch.nn.Module, path: Path, *, batch: int | None = None, names: tuple[str, ...] = ("out",)) -> Path:
    """Write a network; `batch`: the only size it then says it takes, torch's default."""
    free = {name: {0: "n"} for name in ("seen", *names)} if batch is None else None
    example = torch.zeros(batch or 2, 4)
    torch.onnx.export(
        network.eval(), (example,), str(path), input_names=["seen"], output_names=list(names), dynamic_axes=free,
        opset_version=17, dynamo=False,
    )  # fmt: skip
    return path


def _script(network: torch.nn.Module, path: Path) -> Path:
    torch.jit.script(network.eval()).save(str(path))
    return path


def _archive(path: Path, members: dict[str, bytes], **model: str) -> Path:
    """Write what torch-model-archiver does."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        told = {"model": {"modelName": "m", "handler": "handler.py"} | model, "archiverVersion": "0.12.0"}
        archive.writestr("MAR-INF/MANIFEST.json", json.dumps(told))
    return path


WRITERS: dict[str, Callable[[torch.nn.Module, Path], Path]] = {"net.onnx": _onnx, "net.pt": _script}


@pytest.mark.parametrize("file", WRITERS)
@pytest.mark.parametrize(("head", "width"), [("logits", 2), ("q-values", 2)])
def test_a_discrete_policy_acts_as_its_file_does(
    file: str, head: str, width: int, imports: Imports, tmp_path: Path
) -> None:
    network = Network(width)
    path = WRITERS[file](network, tmp_path / file)
    folder, manifest = imports.artifact(path, "--trust", "--head", head, *CARTPOLE)

    observations = seen_in(gymnasium.make("CartPole-v1"), 100)
    with torch.no_grad():
        wanted = network(torch.from_numpy(observations)).argmax(dim=1).numpy()
    np.testing.assert_array_equal(served(folder, manifest, observations), wanted)
    assert 0 < wanted.mean() < 1, "both actions are taken, or this tells little"
    assert manifest.output == head
    assert (folder / "policy.onnx").exists(), "TorchScript is served as ONNX where it can be"


def test_torch_adds_no_warning_of_its_own(imports: Imports, tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    imports.artifact(_script(Network(2), tmp_path / "a.pt"), "--trust", "--head", "logits", *CARTPOLE)
    assert not [one for one in recwarn if "no signature found" in str(one.message)]


@pytest.mark.parametrize("file", WRITERS)
@pytest.mark.parametrize(("head", "width"), [("mean", 1), ("gaussian", 2), ("squashed-gaussian", 2)])
def test_a_continuous_policy_acts_as_its_file_does(
    file: str, head: str, width: int, imports: Imports, tmp_path: Path
) -> None:
    network = Network(width)
    box = ("--observation-space", "box:4", "--action-space", "box:1:-0.5:0.2")
    folder, manifest = imports.artifact(WRITERS[file](network, tmp_path / file), "--trust", "--head", head, *box)

    observations = np.random.default_rng(0).normal(size=(100, 4)).astype(np.float32)
    with torch.no_grad():
        mean = network(torch.from_numpy(observations))[:, :1].numpy()
    squashed = -0.5 + (np.tanh(mean) + 1) / 2 * 0.7
    wanted = squashed if head == "squashed-gaussian" else np.clip(mean, -0.5, 0.2)
    np.testing.assert_allclose(served(folder, manifest, observations), wanted, atol=1e-4)


def test_the_recipe_of_stable_baselines_for_onnx_is_taken(imports: Imports, tmp_path: Path) -> None:
    """A batch of one and three outputs, of which one acts."""
    network = Recipe()
    names = ("actions", "values", "log_prob")
    path = _onnx(network, tmp_path / "net.onnx", batch=1, names=names)
    told = imports.refused(path, "--head", "choice", *CARTPOLE)
    assert "--onnx-output actions or values or log_prob" in told
    assert "none of its outputs" in imports.refused(path, "--head", "choice", "--onnx-output", "action", *CARTPOLE)

    folder, manifest = imports.artifact(path, "--head", "choice", "--onnx-output", "actions", *CARTPOLE)
    observations = seen_in(gymnasium.make("CartPole-v1"), 100)
    with torch.no_grad():
        wanted = network(torch.from_numpy(observations))[0].numpy()
    np.testing.assert_array_equal(served(folder, manifest, observations), wanted)


def test_an_environment_tells_the_spaces_and_measures(imports: Imports, tmp_path: Path) -> None:
    path = _onnx(Network(), tmp_path / "net.onnx")
    arguments = ("--head", "logits", "--environment", "CartPole-v1", "--episodes", "5")
    _, manifest = imports.artifact(path, *arguments)
    assert str(manifest.observation) == "Box(4,) float32"
    assert manifest.evaluation is not None
    assert (manifest.evaluation.step, manifest.evaluation.episodes) == (None, 5)
    assert "over 5 episodes of CartPole-v1, of random actions" in imports.told


def test_the_shape_of_what_goes_in_is_read_from_onnx(imports: Imports, tmp_path: Path) -> None:
    _, manifest = imports.artifact(
        _onnx(Network(), tmp_path / "net.onnx"), "--head", "logits", "--action-space", "discrete:2"
    )
    assert str(manifest.observation) == "Box(4,) float32"


class Centred(torch.nn.Module):
    """Takes off the mean of the batch."""

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        return (observation - observation.mean(dim=0, keepdim=True))[:, :2]


class Exotic(Network):
    """Ends in a function that ONNX does not have."""

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        return torch.special.i0(self.layers(observation))


def test_what_onnx_cannot_say_is_served_as_torchscript(imports: Imports, tmp_path: Path) -> None:
    network = Exotic()
    path = _script(network, tmp_path / "net.pt")
    folder, manifest = imports.artifact(path, "--trust", "--head", "logits", *CARTPOLE)

    observations = seen_in(gymnasium.make("CartPole-v1"), 60)
    with torch.no_grad():
        wanted = network(torch.from_numpy(observations)).argmax(dim=1).numpy()
    np.testing.assert_array_equal(served(folder, manifest, observations), wanted)
    assert [entry.path for entry in manifest.files] == ["policy.pt"]
    assert "cannot be written as ONNX" in imports.told


def test_a_network_that_mixes_its_batch_is_refused(imports: Imports, tmp_path: Path) -> None:
    path = _script(Centred(), tmp_path / "net.pt")
    assert "must not mix" in imports.refused(path, "--trust", "--head", "logits", *CARTPOLE)


def test_a_network_that_takes_one_observation_only_is_refused(imports: Imports, tmp_path: Path) -> None:
    """Its batch of one stands in the middle of it, where nobody can free it."""
    nodes = [
        helper.make_node("Reshape", ["seen", "shape"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["out"]),
    ]
    weights = np.ones((4, 2), np.float32)
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("seen", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 2])],
        [onnx.numpy_helper.from_array(np.array([1, 4]), "shape"), onnx.numpy_helper.from_array(weights, "weights")],
    )  # fmt: skip
    path = tmp_path / "one.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    assert "dynamic_axes" in imports.refused(path, "--head", "logits", *CARTPOLE)


def test_weights_beside_an_onnx_file_are_not_looked_for(imports: Imports, tmp_path: Path) -> None:
    path = _onnx(Network(), tmp_path / "net.onnx")
    apart = {"save_as_external_data": True, "location": "weights", "size_threshold": 0}
    onnx.save(onnx.load(str(path)), str(tmp_path / "apart.onnx"), **apart)
    assert "files beside it" in imports.refused(tmp_path / "apart.onnx", "--head", "logits", *CARTPOLE)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "--head is not set"),
        (
            ("--head", "categorical"),
            "--head categorical is not known. With 2 outputs and actions Discrete(2), it can be",
        ),
        (("--head", "mean"), "a box is needed"),
        (("--head", "choice"), "--head choice reads 1 outputs"),
        (("--head", "logits", "--onnx-output", "x"), "none of its outputs"),
        (("--head", "logits", "--normalize", "x.pkl"), "--normalize goes with a zip of Stable-Baselines3"),
    ],
)
def test_a_head_that_does_not_fit_is_told_which_would(
    arguments: tuple[str, ...], says: str, imports: Imports, tmp_path: Path
) -> None:
    told = imports.refused(_onnx(Network(), tmp_path / "net.onnx"), *arguments, *CARTPOLE)
    assert says in told
    if "--head" in says:
        assert "logits or q-values" in told


@pytest.mark.parametrize(
    ("observation", "action", "says"),
    [
        ("box:5", "discrete:2", "takes (any, 4), and observations Box(5,) float32"),
        ("box:2x2", "discrete:2", "check the observation space"),
        ("box:4", "discrete:3", "none of logits, q-values, choice"),
        ("bax:4", "discrete:2", "neither a box nor a discrete space"),
        ("box:4:1:-1", "discrete:2", "a lower bound is above its upper bound"),
        ("box:4:0:1:text", "discrete:2", "--observation-space box:4:0:1:text"),
        ("box:0", "discrete:2", "at least 1"),
        ("box:4", "discrete:0", "at least one value"),
        ("box:4", "discrete:two", "--action-space discrete:two"),
        ('{"kind": "box", "shape": [4]}', "discrete:2", "dtype: Field required"),
        (
            '{"kind": "box", "shape": [4], "dtype": "float32", "low": [0], "high": [1]}',
            "discrete:2",
            "wanted 4 of each",
        ),
    ],
)
def test_spaces_that_cannot_be_are_told(
    observation: str, action: str, says: str, imports: Imports, tmp_path: Path
) -> None:
    spaces = ("--observation-space", observation, "--action-space", action)
    assert says in imports.refused(_onnx(Network(), tmp_path / "net.onnx"), "--head", "logits", *spaces)


def test_spaces_that_nobody_tells_are_asked_for(imports: Imports, tmp_path: Path) -> None:
    path = _onnx(Network(), tmp_path / "net.onnx")
    assert "--action-space is not set" in imports.refused(path, "--head", "logits")
    script = _script(Network(), tmp_path / "net.pt")
    assert "--observation-space is not set" in imports.refused(script, "--trust", "--head", "logits")
    both = ("--environment", "CartPole-v1", "--action-space", "discrete:2")
    assert "leave --action-space out" in imports.refused(path, "--head", "logits", *both)


class Two(Network):
    def forward(self, observation: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        scores = self.layers(observation)
        return scores, scores


def test_torchscript_needs_trust_and_one_answer(imports: Imports, tmp_path: Path) -> None:
    arguments = ("--head", "logits", *CARTPOLE)
    assert "is TorchScript, which is a program" in imports.refused(_script(Network(), tmp_path / "a.pt"), *arguments)
    told = imports.refused(_script(Two(), tmp_path / "two.pt"), "--trust", *arguments)
    assert "answers tuple" in told
    told = imports.refused(_script(Network(inputs=5), tmp_path / "five.pt"), "--trust", *arguments)
    assert "shape [2, 4]" in told


def _pickled(path: Path) -> None:
    torch.save(Network().state_dict(), path)


def _old_pickle(path: Path) -> None:
    torch.save(Network().state_dict(), path, _use_new_zipfile_serialization=False)


def _some_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")


def _cut(path: Path) -> None:
    _some_zip(path)
    path.write_bytes(path.read_bytes()[:-10])


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (_pickled, "was written by torch.save"),
        (_old_pickle, "is a pickle, which is not opened"),
        (_some_zip, "is a zip file of readme.txt. Wanted a zip of Stable-Baselines3"),
        (_cut, "was cut off"),
        (lambda path: path.write_bytes(b"\x1f\x8b" + b"\0" * 20), "packed with gzip"),
        (lambda path: path.write_bytes(b"no such thing at all"), "is no ONNX file"),
        (lambda path: path.write_bytes(b""), "is no ONNX file"),
        (lambda path: path.mkdir(), "there is no such file"),
    ],
)
def test_a_file_that_is_none_of_these_is_told(
    write: Callable[[Path], object], says: str, imports: Imports, tmp_path: Path
) -> None:
    write(tmp_path / "some.file")
    assert says in imports.refused(tmp_path / "some.file", "--trust", "--head", "logits", *CARTPOLE)


@pytest.mark.parametrize("file", WRITERS)
def test_a_changed_file_is_not_opened(file: str, imports: Imports, tmp_path: Path) -> None:
    path = WRITERS[file](Network(), tmp_path / file)
    told = imports.refused(path, "--trust", "--sha256", "0" * 64, "--head", "logits", *CARTPOLE)
    assert "It was not opened" in told


# --- archives of TorchServe -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("file", WRITERS)
def test_the_network_of_an_archive_is_imported_and_its_handler_is_not_run(
    file: str, imports: Imports, tmp_path: Path
) -> None:
    network, mark = Network(), tmp_path / "ran"
    content = WRITERS[file](network, tmp_path / file).read_bytes()
    handler = f"open({str(mark)!r}, 'w')\n".encode()
    path = _archive(tmp_path / "m.mar", {file: content, "handler.py": handler}, serializedFile=file)
    folder, manifest = imports.artifact(path, "--trust", "--head", "logits", *CARTPOLE)

    observations = seen_in(gymnasium.make("CartPole-v1"), 50)
    with torch.no_grad():
        wanted = network(torch.from_numpy(observations)).argmax(dim=1).numpy()
    np.testing.assert_array_equal(served(folder, manifest, observations), wanted)
    assert manifest.imported is not None
    assert manifest.imported.source == f"m.mar!{file}"
    assert not mark.exists()


def test_an_archive_of_onnx_needs_no_trust(imports: Imports, tmp_path: Path) -> None:
    content = _onnx(Network(), tmp_path / "net.onnx").read_bytes()
    path = _archive(tmp_path / "m.mar", {"net.onnx": content}, serializedFile="net.onnx")
    imports.artifact(path, "--head", "logits", *CARTPOLE)


def test_an_archive_that_holds_pickles_is_not_opened_further(imports: Imports, tmp_path: Path) -> None:
    arguments = ("--trust", "--head", "logits", *CARTPOLE)
    _pickled(tmp_path / "weights.pt")
    members = {"weights.pt": (tmp_path / "weights.pt").read_bytes(), "model.py": b""}
    path = _archive(tmp_path / "eager.mar", members, serializedFile="weights.pt", modelFile="model.py")
    assert "pickled weights for the Python class in 'model.py'" in imports.refused(path, *arguments)
    path = _archive(tmp_path / "plain.mar", members, serializedFile="weights.pt")
    assert "was written by torch.save" in imports.refused(path, *arguments)


@pytest.mark.parametrize("name", ["../evil.pt", "/tmp/evil.pt", "a/../../evil.pt", "..\\evil.pt", "C:evil.pt"])
def test_a_member_that_leads_out_of_the_archive_stops_the_import(name: str, imports: Imports, tmp_path: Path) -> None:
    content = _onnx(Network(), tmp_path / "net.onnx").read_bytes()
    path = _archive(tmp_path / "m.mar", {"net.onnx": content, name: b"evil"}, serializedFile="net.onnx")
    assert "leads out of the archive" in imports.refused(path, "--head", "logits", *CARTPOLE)
    assert not list(tmp_path.parent.glob("evil.pt"))


def test_a_link_and_a_name_that_stands_twice_stop_the_import(imports: Imports, tmp_path: Path) -> None:
    content = _onnx(Network(), tmp_path / "net.onnx").read_bytes()
    path = _archive(tmp_path / "m.mar", {"net.onnx": content}, serializedFile="net.onnx")
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("net.onnx", content)
    assert "two members named 'net.onnx'" in imports.refused(path, "--head", "logits", *CARTPOLE)

    path = _archive(tmp_path / "l.mar", {}, serializedFile="net.onnx")
    link = zipfile.ZipInfo("net.onnx")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    assert "is a link" in imports.refused(path, "--head", "logits", *CARTPOLE)


def test_a_tampered_archive_is_found(imports: Imports, tmp_path: Path) -> None:
    content = _onnx(Network(), tmp_path / "net.onnx").read_bytes()
    with zipfile.ZipFile(tmp_path / "m.mar", "w") as archive:  # stored, so that its bytes can be found
        archive.writestr("MAR-INF/MANIFEST.json", json.dumps({"model": {"serializedFile": "net.onnx"}}))
        archive.writestr("net.onnx", content)
    whole = (tmp_path / "m.mar").read_bytes()
    at = whole.index(content) + len(content) // 2
    (tmp_path / "m.mar").write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    assert "damaged zip file" in imports.refused(tmp_path / "m.mar", "--head", "logits", *CARTPOLE)


@pytest.mark.parametrize(
    ("manifest", "says"),
    [
        ({"model": {"serializedFile": "gone.pt"}}, "names 'gone.pt', which the archive lacks"),
        ({"model": {}}, "names no serializedFile"),
        ({"modell": {}}, "is not one that torch-model-archiver writes"),
        ([], "is not one that torch-model-archiver writes"),
        ({"model": {"serializedFile": "inner.mar"}}, "is no network"),
    ],
)
def test_an_archive_without_a_network_is_told(manifest: object, says: str, imports: Imports, tmp_path: Path) -> None:
    inner = _archive(tmp_path / "inner.mar", {}, serializedFile="x").read_bytes()
    with zipfile.ZipFile(tmp_path / "m.mar", "w") as archive:
        archive.writestr("MAR-INF/MANIFEST.json", json.dumps(manifest))
        archive.writestr("inner.mar", inner)
    assert says in imports.refused(tmp_path / "m.mar", "--head", "logits", *CARTPOLE)
