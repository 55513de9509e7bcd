"""The init container: fetch the artifact, check every byte of it, and only then put it where the server looks.

    python3 -m belay_handler.fetch

Bytes are gathered in a folder beside the target and renamed as a whole once verified, so the server finds either the
artifact the RLPolicy names or nothing. What was found goes to the operator as a `LoadReport` in the termination
message, whatever happens. Exit codes: 0 in place; 1 not, and the kubelet tries again; 3 the environment is wrong.
"""

import argparse
import os
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from belay_api import names
from belay_api.artifact import (
    MANIFEST,
    ArtifactError,
    DigestMismatch,
    Manifest,
    check_file,
    parse_manifest,
    verify_served,
)
from belay_api.environment import MOST_CONSTRAINTS
from belay_api.policy import KnownOutcomes, LoadReport
from belay_handler.networks import network_file
from belay_handler.settings import ARTIFACT_DIGEST_ENV, ARTIFACT_URI_ENV
from belay_handler.stores import PATIENCE_S, LogbookStore, NotFound, Store, StoreError, VolumeStore

MESSAGE_LIMIT = 2000  # characters; the kubelet keeps 4096 bytes of a termination message

_STORE_URI = re.compile(r"store://sha256/([0-9a-f]{64})")
_VOLUME_URI = re.compile(r"pvc://[a-z0-9.-]+/(.+)")


class BadEnvironment(Exception):
    """A variable is missing or malformed; the message names it."""


def main() -> None:
    """Fetch as the environment says; leave the report, exit accordingly."""
    options = _options()
    try:
        store = open_store(os.environ, options)
        report = fetch(store, digest=_required(os.environ, ARTIFACT_DIGEST_ENV), target=options.target)
    except BadEnvironment as error:
        sys.exit(_leave(LoadReport(reason="ArtifactInvalid", message=str(error)), options.termination_log, 3))
    sys.exit(_leave(report, options.termination_log, 0 if report.reason == "Verified" else 1))


def fetch(store: Store, *, digest: str, target: Path) -> LoadReport:
    """Put the verified artifact into `target` and report; on any failure `target` does not exist.

    Args:
        digest: `sha256:<hex>` the RLPolicy names.
        target: A folder that may be left over from an earlier life of the pod; it is believed only after a check.
    """
    staging = target.with_name(target.name + ".partial")
    try:
        if target.is_dir():
            try:
                return _verified(verify_served(target, wanted=digest), digest)
            except ArtifactError:
                shutil.rmtree(target)
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        manifest = _gather(store, staging, digest)
        staging.rename(target)
        return _verified(manifest, digest)
    except NotFound as error:
        return LoadReport(reason="ArtifactNotFound", message=_short(error))
    except (StoreError, OSError) as error:  # OSError: the pod's own disk, most likely full, and that may pass
        told = error if isinstance(error, StoreError) else f"{target} cannot be written: {error}"
        return LoadReport(reason="StoreUnavailable", message=_short(told))
    except DigestMismatch as error:
        return LoadReport(reason="DigestMismatch", message=_short(error), digest=_prefixed(error.found))
    except ArtifactError as error:
        return LoadReport(reason="ArtifactInvalid", message=_short(error), digest=_prefixed(error.found))
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def open_store(environment: Mapping[str, str], options: argparse.Namespace) -> Store:
    """Return the store the artifact's URI names. Raises: BadEnvironment."""
    uri = _required(environment, ARTIFACT_URI_ENV)
    if match := _STORE_URI.fullmatch(uri):
        return LogbookStore(
            _required(environment, names.LOGBOOK_URL_ENV),
            _required(environment, names.NAMESPACE_ENV),
            manifest_hex=match[1],
            token_file=options.token_file,
            patience_s=options.patience,
        )
    if match := _VOLUME_URI.fullmatch(uri):
        folder = (options.volume / match[1]).resolve()
        if not folder.is_relative_to(options.volume.resolve()):
            raise BadEnvironment(f"{ARTIFACT_URI_ENV} is {uri!r}: the path leads out of the volume")
        return VolumeStore(folder)
    raise BadEnvironment(f"{ARTIFACT_URI_ENV} is {uri!r}: store://sha256/<hex> or pvc://<claim>/<path> is needed")


def _gather(store: Store, staging: Path, digest: str) -> Manifest:
    store.manifest(staging / MANIFEST)
    manifest = parse_manifest((staging / MANIFEST).read_bytes(), wanted=digest)
    network_file(manifest)  # before the download: without a network there is nothing to serve
    for entry in manifest.served:
        store.file(entry, staging / entry.path)
        check_file(staging, entry)
    return manifest


def _verified(manifest: Manifest, digest: str) -> LoadReport:
    size = sum(entry.size for entry in manifest.served)
    return LoadReport(
        reason="Verified",
        message=f"{len(manifest.served)} files, {size} bytes",
        digest=digest,
        observation=str(manifest.observation),
        action=str(manifest.action),
        state=None if manifest.state is None else str(manifest.state),
        outcomes=_outcomes(manifest),
        imported=_imported(manifest),
        absent=manifest.absent,
    )


def _outcomes(manifest: Manifest) -> KnownOutcomes | None:
    known = dict(manifest.outcomes)
    if not known:
        return None
    total, length = known.pop("return", None), known.pop("length", None)
    # Without what random actions cost: no rollout asks for it, and the kubelet keeps 4,096 bytes.
    others = sorted(known.items())[:MOST_CONSTRAINTS]
    costs = {name: one.model_copy(update={"random": None}) for name, one in others}
    return KnownOutcomes(return_=total, length=length, costs=costs or None)


def _imported(manifest: Manifest) -> str | None:
    made = manifest.imported
    return f"{made.format} {made.source}" if made else None


def _leave(report: LoadReport, termination_log: Path, code: int) -> int:
    print(f"belay-fetch: {report.reason}: {report.message}", flush=True)
    termination_log.write_text(report.model_dump_json(by_alias=True, exclude_none=True))
    return code


def _short(error: object) -> str:
    return str(error)[:MESSAGE_LIMIT]


def _prefixed(found: str | None) -> str | None:
    if found is None or found.startswith("sha256:"):
        return found
    return f"sha256:{found}" if re.fullmatch(r"[0-9a-f]{64}", found) else None


def _required(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name, "")
    if not value:
        raise BadEnvironment(f"{name} is not set: the operator sets it in every serving pod")
    return value


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="belay_handler.fetch", description="Fetch and verify a policy artifact.")
    parser.add_argument("--target", type=Path, default=Path(names.ARTIFACT_DIR))
    parser.add_argument("--volume", type=Path, default=Path(names.PVC_DIR))
    parser.add_argument("--token-file", type=Path, default=Path(names.TOKEN_FILE))
    parser.add_argument("--termination-log", type=Path, default=Path(names.TERMINATION_LOG))
    parser.add_argument("--patience", type=float, default=PATIENCE_S, help="seconds without a byte before giving up")
    return parser.parse_args()


if __name__ == "__main__":
    main()
