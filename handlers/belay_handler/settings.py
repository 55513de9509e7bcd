"""What a serving pod is told by its environment, in one frozen value.

The operator sets the variables (see `belay_api.names`); the paths and ports have the defaults every Belay pod uses and
can be moved only so that tests and benchmarks run several servers side by side.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from belay_api import names

ARTIFACT_URI_ENV = "BELAY_ARTIFACT_URI"
ARTIFACT_DIGEST_ENV = "BELAY_ARTIFACT_DIGEST"
BATCH_SIZE_ENV = "BELAY_BATCH_SIZE"
BATCH_DELAY_ENV = "BELAY_BATCH_DELAY_MS"
RESPONSE_TIMEOUT_ENV = "BELAY_RESPONSE_TIMEOUT_S"


class SettingsError(Exception):
    """An environment variable is missing or malformed; the message names it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The environment of one serving pod."""

    policy: str  # name of the RLPolicy, answered in `x-belay-policy`
    namespace: str
    digest: str  # `sha256:<hex>` the artifact must have
    logbook_url: str | None  # None: no logbook, starts are not reported
    artifact_dir: Path
    receipt_key_file: Path  # may be absent: then no receipts are issued
    token_file: Path
    serving_port: int
    management_port: int  # loopback only
    frontend_metrics_port: int  # loopback only: TorchServe's own metrics
    metrics_port: int
    work_dir: Path  # writable: TorchServe's configuration and model folder
    batch_size: int
    batch_delay_ms: int
    response_timeout_s: int

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> "Settings":
        """Return the settings in `environment`. Raises: SettingsError naming the variable at fault."""

        def number(name: str, default: int, least: int) -> int:
            text = environment.get(name, str(default))
            if not text.isdigit() or int(text) < least:
                raise SettingsError(f"{name} is {text!r}: a whole number of at least {least} is needed")
            return int(text)

        return cls(
            policy=_required(environment, names.POLICY_ENV),
            namespace=_required(environment, names.NAMESPACE_ENV),
            digest=_required(environment, ARTIFACT_DIGEST_ENV),
            logbook_url=environment.get(names.LOGBOOK_URL_ENV, "").rstrip("/") or None,
            artifact_dir=Path(environment.get("BELAY_ARTIFACT_DIR", names.ARTIFACT_DIR)),
            receipt_key_file=Path(environment.get("BELAY_RECEIPT_KEY_FILE", names.RECEIPT_KEY_FILE)),
            token_file=Path(environment.get("BELAY_TOKEN_FILE", names.TOKEN_FILE)),
            serving_port=number("BELAY_SERVING_PORT", names.SERVING_PORT, 1),
            management_port=number("BELAY_MANAGEMENT_PORT", 8081, 1),
            frontend_metrics_port=number("BELAY_FRONTEND_METRICS_PORT", 8082, 1),
            metrics_port=number("BELAY_METRICS_PORT", names.METRICS_PORT, 1),
            work_dir=Path(environment.get("BELAY_SERVE_DIR", "/tmp/belay")),
            batch_size=number(BATCH_SIZE_ENV, 8, 1),
            batch_delay_ms=number(BATCH_DELAY_ENV, 1, 0),
            response_timeout_s=number(RESPONSE_TIMEOUT_ENV, 2, 1),
        )


def _required(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name, "")
    if not value:
        raise SettingsError(f"{name} is not set: the operator sets it in every serving pod")
    return value
