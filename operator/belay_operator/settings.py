"""What the installation decides, read once from the environment at start.

Raises at the first value that cannot be read, with the variable's name: a wrong setting must stop the start, not show
hours later.
"""

import os
import socket
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from belay_api import names
from belay_api.cost import Rates
from belay_operator.engine.election import Terms
from belay_operator.engine.health import PORT
from belay_operator.engine.plan import ENVOY_GATEWAY, Settings
from belay_operator.engine.queue import WORKERS
from belay_operator.engine.resync import PERIOD
from belay_operator.notify.receivers import Receiver, read_receivers


class BadSetting(ValueError):
    """An environment variable holds what Belay cannot use."""


@dataclass(frozen=True, slots=True)
class Installation:
    """Everything the process needs to know before it connects."""

    kinds: Settings
    """What the kinds are told; `receipt_master` is still unset."""
    namespace: str
    """Where the operator itself lives: Lease and master receipt key."""
    watch: tuple[str, ...]
    """Namespaces to care for; empty: all."""
    identity: str
    """This process among its replicas; differs after every restart."""
    token_file: Path
    rate_per_s: float
    burst: int
    workers: int
    port: int
    """Of health and metrics; 0: a free one."""
    resync: timedelta
    terms: Terms | None
    """None: no election; for one process on a laptop."""
    log_level: str
    receivers: tuple[Receiver, ...] = ()
    """Who is notified."""


def from_environment(env: Mapping[str, str] = os.environ) -> Installation:
    """Return the settings. Raises: BadSetting."""
    return Installation(
        kinds=Settings(
            trainer_image=env.get("BELAY_TRAINER_IMAGE", "localhost/belay-trainer:dev"),
            handler_image=env.get("BELAY_HANDLER_IMAGE", "localhost/belay-handler:dev"),
            logbook_url=env.get(names.LOGBOOK_URL_ENV) or None,
            prometheus_url=env.get("BELAY_PROMETHEUS_URL") or None,
            gateway_namespaces=_names(env, "BELAY_GATEWAY_NAMESPACES") or ENVOY_GATEWAY,
            image_pull_policy=env.get("BELAY_IMAGE_PULL_POLICY") or "IfNotPresent",
            package_index=env.get("BELAY_PACKAGE_INDEX") or None,
            rates=_rates(env),
        ),
        namespace=env.get("BELAY_SYSTEM_NAMESPACE") or "belay-system",
        watch=_names(env, "BELAY_WATCH_NAMESPACES"),
        identity=f"{env.get('BELAY_POD_NAME') or socket.gethostname()}_{uuid.uuid4().hex[:8]}",
        token_file=Path(env.get("BELAY_LOGBOOK_TOKEN_FILE") or names.TOKEN_FILE),
        rate_per_s=_number(env, "BELAY_QPS", 100, least=1),
        burst=int(_number(env, "BELAY_BURST", 200, least=1)),
        workers=int(_number(env, "BELAY_WORKERS", WORKERS, least=1)),
        port=int(_number(env, "BELAY_PORT", PORT, least=0)),
        resync=timedelta(seconds=_number(env, "BELAY_RESYNC_S", PERIOD.total_seconds(), least=1)),
        terms=_terms(env),
        log_level=(env.get("BELAY_LOG_LEVEL") or "INFO").upper(),
        receivers=_receivers(env),
    )


def _names(env: Mapping[str, str], name: str) -> tuple[str, ...]:
    """What a variable lists, between commas."""
    return tuple(part.strip() for part in env.get(name, "").split(",") if part.strip())


def _receivers(env: Mapping[str, str]) -> tuple[Receiver, ...]:
    try:
        return read_receivers(env)
    except ValueError as error:
        raise BadSetting(str(error)) from None


def _terms(env: Mapping[str, str]) -> Terms | None:
    """Read BELAY_LEADER_ELECTION: unset or "on", "off", or "lease/renew/retry" in seconds."""
    text = env.get("BELAY_LEADER_ELECTION") or "on"
    if text in ("on", "off"):
        return Terms() if text == "on" else None
    try:
        lease, renew, retry = (timedelta(seconds=float(part)) for part in text.split("/"))
    except ValueError:
        raise BadSetting(f"BELAY_LEADER_ELECTION={text}: wanted on, off, or three seconds like 15/10/2") from None
    return Terms(lease, renew, retry)


def _rates(env: Mapping[str, str]) -> Rates:
    """Read what trainings pay; 0, as the chart has it, is a rate that nobody has set."""
    return Rates(
        cpu_hour=_number(env, "BELAY_CPU_HOUR", 0, least=0) or None,
        gpu_hour=_number(env, "BELAY_GPU_HOUR", 0, least=0) or None,
        memory_gib_hour=_number(env, "BELAY_MEMORY_GIB_HOUR", 0, least=0) or None,
        currency=env.get("BELAY_CURRENCY") or None,
    )


def _number(env: Mapping[str, str], name: str, default: float, *, least: float) -> float:
    text = env.get(name) or str(default)
    try:
        value = float(text)
    except ValueError:
        raise BadSetting(f"{name}={text}: wanted a number") from None
    if value < least:
        raise BadSetting(f"{name}={text}: wanted at least {least:g}")
    return value
