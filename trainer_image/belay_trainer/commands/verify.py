"""Check every byte of an artifact in a folder, and say what it is.

    belay-trainer verify cartpole/
    belay-trainer verify cartpole/ --digest sha256:7f3a9c...

Nothing of it is loaded. Exit codes: 0 intact · 3 a byte differs, or it is no artifact.
"""

import argparse
import hashlib
import sys
from pathlib import Path

from belay_api import names
from belay_api.artifact import MANIFEST, ArtifactError, verify
from belay_trainer.commands.import_policy import summary

HELP = "check every byte of an artifact in a folder"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the folder and what it must be."""
    parser.add_argument("folder", metavar="DIR", type=Path)
    parser.add_argument("--digest", help="that an RLPolicy names; left out: the manifest is believed, and told")


def run(options: argparse.Namespace) -> int:
    """Check and return the exit code."""
    path = options.folder / MANIFEST
    try:
        wanted = options.digest or "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
        manifest = verify(options.folder, wanted=wanted)
    except (ArtifactError, OSError) as error:
        print(f"belay-trainer verify: {options.folder}: {error}", file=sys.stderr)
        return names.EXIT_BAD_CONFIG
    print(f"{options.folder} is intact: {', '.join([MANIFEST, *(entry.path for entry in manifest.files)])}")
    for line in summary(manifest):
        print(line)
    return names.EXIT_DONE
