"""From what people have to an artifact: one file per format, and which one a file is in.

    stable_baselines.py   a zip of Stable-Baselines3; pickles
    onnx_file.py          an ONNX file; data
    torchscript.py        a TorchScript file; a program
    mar.py                an archive of TorchServe around one of the two
    controller.py         a Python function; a program

Each reader returns a `Found`. `artifact.py` writes it down, proves that what is written acts as what was found, and
measures it where an environment is known. A file is told by its content, whatever its name is.
"""

import zipfile
from collections.abc import Callable
from pathlib import Path

from belay_api.artifact import file_sha256
from belay_trainer.errors import BadConfiguration
from belay_trainer.importing import archives, controller, mar, onnx_file, stable_baselines, torchscript
from belay_trainer.importing.found import Declared, Found, Source

WANTED = (
    "a zip of Stable-Baselines3, an ONNX file, a TorchScript file, a .mar archive of TorchServe, or a Python "
    "function as package.module:function"
)
READERS: dict[str, Callable[[Source, Declared], Found]] = {
    "stable-baselines3": stable_baselines.read,
    "onnx": onnx_file.read,
    "torchscript": torchscript.read,
}


def read(name: str, declared: Declared, *, sha256: str | None, scratch: Path) -> Found:
    """Return the policy in a file, or that a function is.

    Args:
        sha256: What the file's digest must be; it is opened only then. None: anything is opened.
        scratch: A folder that outlives the result.
    Raises: BadConfiguration.
    """
    path = Path(name)
    if not path.exists() and ":" in name:
        if sha256 is not None:
            raise BadConfiguration(f"--sha256 goes with a file, and {name} is a Python function: leave it out.")
        _check_flags("a Python function", name, declared)
        return controller.read(name, declared)
    if not path.is_file():
        raise BadConfiguration(f"{name}: there is no such file. Wanted {WANTED}.")
    source = Source(path, name=path.name, sha256=file_sha256(path))
    if sha256 is not None and source.sha256 != sha256:
        raise BadConfiguration(
            f"{name} has sha256 {source.sha256}, wanted {sha256}. It was not opened: get the file again from whom the "
            "digest is."
        )
    kind = kind_of(source)
    if kind == "mar":
        source = mar.network_in(source, scratch)
        kind = kind_of(source)
        if kind not in ("onnx", "torchscript"):
            raise BadConfiguration(f"{source.name} is no network: a TorchScript or ONNX file is needed in the archive.")
    _check_flags(kind, source.name, declared)
    return READERS[kind](source, declared)


def _check_flags(kind: str, name: str, declared: Declared) -> None:
    """Refuse what would say nothing of such a file. Raises: BadConfiguration."""
    if declared.output is not None and kind == "stable-baselines3":
        raise BadConfiguration(f"--head {declared.output}: {name} tells itself what its outputs mean, leave it out.")
    if declared.statistics is not None and kind != "stable-baselines3":
        raise BadConfiguration(
            f"--normalize goes with a zip of Stable-Baselines3, and {name} is {kind}: let the network itself scale "
            "what goes in."
        )
    if declared.onnx_output is not None and kind != "onnx":
        raise BadConfiguration(f"--onnx-output goes with an ONNX file, and {name} is {kind}: leave it out.")


def kind_of(source: Source) -> str:
    """Return the format of a file, without unpickling or running anything of it. Raises: BadConfiguration."""
    with source.path.open("rb") as file:
        head = file.read(4)
    if zipfile.is_zipfile(source.path):
        with archives.opened(source) as archive:
            return _kind_of_archive(source.name, archive.namelist())
    if head.startswith(b"PK"):
        raise BadConfiguration(f"{source.name} is a zip file that was cut off: copy or download it again.")
    if head.startswith(b"\x1f\x8b"):
        raise BadConfiguration(
            f"{source.name} is packed with gzip: unpack it; a .mar is wanted as torch-model-archiver makes it without "
            "--archive-format."
        )
    if head.startswith(b"\x80"):
        raise BadConfiguration(f"{source.name} is a pickle, which is not opened. Wanted {WANTED}.")
    return "onnx"  # which has no mark; its own reader says whether it is one


def _kind_of_archive(name: str, members: list[str]) -> str:
    if mar.MANIFEST in members:
        return "mar"
    if "data" in members and "policy.pth" in members:
        return "stable-baselines3"
    if any("/code/" in member for member in members) and any(member.endswith("/constants.pkl") for member in members):
        return "torchscript"
    if any(member.endswith("data.pkl") for member in members):
        raise BadConfiguration(
            f"{name} was written by torch.save: it holds pickled weights or objects, not the network itself. "
            "Write the network as TorchScript, `torch.jit.trace(network, example).save(path)`, or as ONNX."
        )
    raise BadConfiguration(f"{name} is a zip file of {', '.join(sorted(members)[:5]) or 'nothing'}. Wanted {WANTED}.")
