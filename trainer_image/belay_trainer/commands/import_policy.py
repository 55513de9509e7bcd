"""Make an artifact of a policy that Belay did not train, and print its RLPolicy.

    belay-trainer import ppo.zip --trust --family cartpole --environment CartPole-v1 --out cartpole/
    belay-trainer import actor.onnx --family robot --head mean --observation-space box:8 --action-space box:2:-1:1 ...
    belay-trainer import rules:steer --trust --family rules --environment CartPole-v1 ...

SOURCE is a zip of Stable-Baselines3 (PPO, A2C, DQN, SAC, TD3), an ONNX file, a TorchScript file, a .mar archive of
TorchServe around one of the two, or a Python function of one observation, as package.module:function. What is written
is proved to act as the source does. With --environment the policy is measured there as well; without, the RLPolicy says
that it is not.

The RLPolicy goes to standard output, all else to standard error. Exit codes: 0 done · 3 something is wrong with what
was given, and the message says what to do · 4 returns are no numbers · 1 anything else, such as a store that is away.
"""

import argparse
import json
import logging
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from pydantic import ValidationError

from belay_api import names
from belay_api.artifact import Manifest, Output
from belay_api.environment import EnvironmentSpec
from belay_api.policy import ArtifactSpec
from belay_api.training import MOST_EPISODES
from belay_trainer.errors import BadConfiguration, StoreError
from belay_trainer.stop import Stop

if TYPE_CHECKING:
    from belay_trainer.importing.found import Declared
    from belay_trainer.store import LogbookStore

HELP = "make an artifact of a policy from elsewhere: SB3 zip, ONNX, TorchScript, .mar, a Python function"
EPISODES = 100
STORE_PATIENCE_S = 600.0  # with a store that answered when the import began
OUTPUTS = get_args(Output)
DIGITS = 6  # of the digest in the policy's name, as an RLTrainingJob names its own
log = logging.getLogger("belay_trainer")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what is known of the policy, and where it goes."""
    parser.add_argument("source", metavar="SOURCE", help="a file, or package.module:function")
    parser.add_argument("--family", required=True, help="family of the RLPolicy, whose name begins with it")
    parser.add_argument("--namespace", default="default", help="of the RLPolicy (default: %(default)s)")
    parser.add_argument("--trust", action="store_true", help="run the code in the source: all but ONNX hold some")
    parser.add_argument("--sha256", help="what the file's digest must be; else it is not opened")

    task = parser.add_argument_group("where it acts")
    task.add_argument("--environment", metavar="ID", help="Gymnasium id: gives the spaces, and the policy is measured")
    task.add_argument("--environment-kwargs", metavar="JSON", default="{}", help="keyword arguments of gymnasium.make")
    task.add_argument("--episodes", type=int, default=EPISODES, help="to measure it in (default: %(default)s)")
    task.add_argument("--observation-space", metavar="SPACE", help="box:4, box:84x84x4:0:255:uint8, discrete:16")
    task.add_argument("--action-space", metavar="SPACE", help="discrete:2, box:1:-2:2")

    what = parser.add_argument_group("what it is")
    what.add_argument("--head", help=f"what the outputs of an ONNX or TorchScript network mean: {', '.join(OUTPUTS)}")
    what.add_argument("--onnx-output", metavar="NAME", help="which of several outputs acts")
    what.add_argument("--normalize", metavar="PKL", type=Path, help="VecNormalize of a Stable-Baselines3 model")

    where = parser.add_argument_group("where it goes").add_mutually_exclusive_group(required=True)
    where.add_argument("--out", metavar="DIR", type=Path, help="a new or empty folder")
    where.add_argument("--store", metavar="URL", help="the built-in store, e.g. http://127.0.0.1:8600")
    where.add_argument("--claim", help="a PersistentVolumeClaim, mounted at --pvc-dir")
    more = parser.add_argument_group("how it gets there")
    more.add_argument("--uri", help="with --out: where the folder will lie, pvc://CLAIM/PATH")
    more.add_argument("--token-file", type=Path, default=Path(names.TOKEN_FILE), help="with --store (%(default)s)")
    more.add_argument("--pvc-dir", type=Path, default=Path(names.PVC_DIR), help="with --claim (%(default)s)")


def run(options: argparse.Namespace) -> int:
    """Import and return the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    _check(options)
    _ask_store(options)
    with _folder(options) as folder:
        manifest = _imported(options, folder)
        uri = _published(options, folder, manifest)
    for line in summary(manifest):
        log.info("%s", line)
    if uri is None:
        log.info("written to %s; with --uri pvc://CLAIM/PATH its RLPolicy is printed", options.out)
    else:
        sys.stdout.write(resource(manifest, uri, family=options.family, namespace=options.namespace))
    return names.EXIT_DONE


def summary(manifest: Manifest) -> Iterator[str]:
    """Yield what a reader wants to know of an imported policy, a sentence a line."""
    made, report = manifest.imported, manifest.evaluation
    if made is not None:
        trained = f", {made.timesteps} timesteps of {manifest.algorithm}" if made.timesteps is not None else ""
        yield f"{made.source}: {made.format}{trained}; {manifest.observation} to {manifest.action}, {manifest.output}"
        if made.format == "stable-baselines3" and manifest.normaliser is None:
            yield "without statistics of observations: if it was trained behind VecNormalize, give --normalize"
    if report is not None:
        known = manifest.outcomes.get("return")
        random = known.random if known is not None else None
        beside = f", of random actions {random.mean:.1f}" if random is not None else ""
        yield (
            f"mean return {report.mean:.1f} (standard deviation {report.std:.1f}) over {report.episodes} episodes of "
            f"{manifest.environment}{beside}"
        )
    if manifest.absent:
        yield f"the artifact has no {', no '.join(manifest.absent)}, and its RLPolicy says so"
    yield f"digest {manifest.digest()}"


def resource(manifest: Manifest, uri: str, *, family: str, namespace: str) -> str:
    """Return the RLPolicy as YAML."""
    digest = manifest.digest()
    name = f"{family}-{digest.removeprefix('sha256:')[:DIGITS]}"
    return (
        f"apiVersion: {names.API_VERSION}\n"
        "kind: RLPolicy\n"
        f"metadata: {{name: {name}, namespace: {namespace}, labels: {{{names.FAMILY_LABEL}: {family}}}}}\n"
        "spec:\n"
        "  artifact:\n"
        f"    uri: {json.dumps(uri)}\n"  # its path may hold anything
        f"    digest: {digest}\n"
    )


def _check(options: argparse.Namespace) -> None:
    """Raises: BadConfiguration for what no file is needed to find."""
    if not re.fullmatch(r"[a-z]([-a-z0-9]{0,37}[a-z0-9])?", options.family):  # as publish.family
        raise BadConfiguration(
            f"--family {options.family}: a letter, then letters, digits and -, at most 39 in all, are wanted: the "
            "RLPolicy is called after it."
        )
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", options.namespace):
        raise BadConfiguration(f"--namespace {options.namespace}: no namespace of Kubernetes can be called so.")
    if options.sha256 is not None and not re.fullmatch(r"[0-9a-f]{64}", options.sha256):
        raise BadConfiguration("--sha256: 64 hex digits are wanted, as sha256sum prints them.")
    if not 1 <= options.episodes <= MOST_EPISODES:
        raise BadConfiguration(f"--episodes {options.episodes}: 1 to {MOST_EPISODES} are wanted.")
    if options.uri is not None:
        if options.out is None:
            raise BadConfiguration("--uri says where the folder of --out will lie; without --out it is known.")
        try:
            ArtifactSpec(uri=options.uri, digest="sha256:" + "0" * 64)
        except ValidationError as error:
            raise BadConfiguration(f"--uri {options.uri}: pvc://CLAIM/PATH is wanted.") from error
    if options.out is not None and options.out.exists() and (not options.out.is_dir() or any(options.out.iterdir())):
        raise BadConfiguration(f"--out {options.out} is there and not an empty folder: name another one.")
    if options.claim is not None and not options.pvc_dir.is_dir():
        raise BadConfiguration(f"--claim {options.claim}: {options.pvc_dir} is no folder; --pvc-dir says where it is.")


def _ask_store(options: argparse.Namespace) -> None:
    """Ask whether the store will take it, before anything is read and played. Raises: StoreError, BadConfiguration."""
    if options.store is None:
        return
    if not options.token_file.is_file() and options.token_file != Path(names.TOKEN_FILE):
        raise BadConfiguration(f"--token-file {options.token_file}: there is no such file.")
    try:
        _store(options).ask()
    except StoreError as error:
        raise type(error)(
            f"--store {options.store}: {error}. Nothing was imported. Look whether the address is right and its "
            "port-forward still there, and whether the token of --token-file is one for the namespace."
        ) from error


@contextmanager
def _folder(options: argparse.Namespace) -> Iterator[Path]:
    """Where the artifact is made: it appears under --out whole or not at all."""
    beside = options.out.parent if options.out is not None else None
    if beside is not None:
        beside.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".importing-", dir=beside) as name:
        folder = Path(name) / "artifact"
        folder.mkdir()
        yield folder


def _imported(options: argparse.Namespace, folder: Path) -> Manifest:
    # torch takes seconds to import; what is wrong with the flags is told before.
    from belay_trainer import importing  # noqa: PLC0415
    from belay_trainer.importing.artifact import write_artifact  # noqa: PLC0415

    task = _task(options)
    asked = _declared(options, task)
    found = importing.read(options.source, asked, sha256=options.sha256, scratch=folder.parent)
    return write_artifact(found, folder, task=task, episodes=options.episodes)


def _task(options: argparse.Namespace) -> EnvironmentSpec | None:
    if options.environment is None:
        return None
    try:
        return EnvironmentSpec(id=options.environment, kwargs=json.loads(options.environment_kwargs))
    except ValueError as error:
        raise BadConfiguration(
            f"--environment-kwargs {options.environment_kwargs}: a JSON object is wanted, such as '{{\"g\": 9.8}}'."
        ) from error


def _declared(options: argparse.Namespace, task: EnvironmentSpec | None) -> "Declared":
    from belay_trainer.importing.found import Declared  # noqa: PLC0415

    observation, action = _spaces(options, task)
    return Declared(
        observation=observation,
        action=action,
        output=options.head,
        statistics=options.normalize,
        onnx_output=options.onnx_output,
        trust=options.trust,
    )


def _spaces(options: argparse.Namespace, task: EnvironmentSpec | None) -> tuple[Any, Any]:
    from belay_trainer import environments  # noqa: PLC0415
    from belay_trainer.importing import spaces  # noqa: PLC0415

    said = {"--observation-space": options.observation_space, "--action-space": options.action_space}
    if task is None:
        return tuple(None if text is None else spaces.parse(text, flag) for flag, text in said.items())
    for flag, text in said.items():
        if text is not None:
            raise BadConfiguration(f"{flag} and --environment: the environment has its own, leave {flag} out.")
    probe = environments.maker(task)()
    environments.check_spaces(probe)
    environments.check_wrappers(probe)
    environments.try_out(probe)
    probe.close()
    return probe.observation_space, probe.action_space


def _published(options: argparse.Namespace, folder: Path, manifest: Manifest) -> str | None:
    """Bring the artifact where it belongs and return its uri; None: nobody said where it will lie."""
    from belay_trainer.publish import kept  # noqa: PLC0415
    from belay_trainer.store import FolderStore  # noqa: PLC0415

    if options.out is not None:
        if options.out.exists():
            options.out.rmdir()  # empty, or it would have been refused
        folder.rename(options.out)
        return options.uri
    if options.claim is not None:
        return FolderStore(options.pvc_dir, claim=options.claim, seed="imported").publish(folder, manifest)
    store = _store(options)
    # It answered before; what it took minutes to measure is not thrown away for one answer that does not come.
    return kept("the artifact", lambda: store.publish(folder, manifest), Stop(), patience_s=STORE_PATIENCE_S)


def _store(options: argparse.Namespace) -> "LogbookStore":
    from belay_trainer.logbook import connect  # noqa: PLC0415
    from belay_trainer.store import LogbookStore  # noqa: PLC0415

    return LogbookStore(connect(options.store, options.token_file), namespace=options.namespace, seed="imported")
