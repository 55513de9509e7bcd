"""A model archive of TorchServe: the network in it is imported, and nothing else.

Its handler is code and is not run. What that does to observations before and to answers after the network is no part of
the policy, unless the network does it itself.
"""

import json
from pathlib import Path

from belay_trainer.errors import BadConfiguration
from belay_trainer.importing import archives
from belay_trainer.importing.found import Source

MANIFEST = "MAR-INF/MANIFEST.json"
LONGEST = 1 << 20  # bytes of a manifest


def network_in(source: Source, scratch: Path) -> Source:
    """Return the file of the network in an archive, copied into `scratch`.

    Raises: BadConfiguration for an archive that is damaged, and for one whose network is not a file of its own.
    """
    with archives.opened(source) as archive:
        # One too long is none that the archiver writes, and is treated as none.
        short = archive.getinfo(MANIFEST).file_size <= LONGEST
        name = _serialized_file(source, archive.read(MANIFEST) if short else b"")
        if name not in archive.namelist():
            raise BadConfiguration(
                f"{source.name}: {MANIFEST} names {name!r}, which the archive lacks: build it again with "
                "torch-model-archiver."
            )
        path = scratch / "network"
        archives.copy_member(archive, name, path)
    return Source(path, name=f"{source.name}!{name}", sha256=source.sha256)


def _serialized_file(source: Source, manifest: bytes) -> str:
    try:
        model = json.loads(manifest)["model"]
        name, code = model.get("serializedFile"), model.get("modelFile")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadConfiguration(f"{source.name}: {MANIFEST} is not one that torch-model-archiver writes.") from error
    if code:
        raise BadConfiguration(
            f"{source.name} holds pickled weights for the Python class in {code!r}, not a network: archive it as "
            "TorchScript (`torch.jit.trace(network, example).save(path)`) or ONNX, with --serialized-file and without "
            "--model-file."
        )
    if not isinstance(name, str) or not name:
        raise BadConfiguration(f"{source.name}: {MANIFEST} names no serializedFile: there is no network in it.")
    return name
