"""How the logbook is started: arguments, environment, and what is refused before anything listens."""

import argparse
import ipaddress
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from belay_api.names import LOGBOOK_PORT, RECEIPT_KEY_FILE
from belay_logbook.tokenreview import ApiServer

RECEIPT_KEY_ENV = "BELAY_RECEIPT_KEY_FILE"
API_KEYS_ENV = "BELAY_API_KEYS_FILE"
OPERATOR_ENV = "BELAY_OPERATOR_SERVICE_ACCOUNT"  # "<namespace>:<name>", several separated by commas
KEY_BYTES = 32
_POD_CREDENTIALS = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class BadSettings(ValueError):
    """The logbook cannot be started this way; the message says what to change."""


@dataclass(frozen=True, slots=True)
class Settings:
    """One logbook."""

    data: Path
    """Folder of the database and the store."""
    host: str
    port: int
    master_key: bytes
    """Every namespace's receipt key is derived from it."""
    api_keys: Path | None
    """JSON list of wire.ApiKey; None: there are none."""
    operators: frozenset[str]
    """User names of the operator's service accounts."""
    api_server: ApiServer | None
    """None: tokens of service accounts are not known."""
    open_to_all: bool
    """Development on loopback: nobody is asked who they are."""


def read_settings(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings. Raises: BadSettings."""
    options = _parser(environment).parse_args(arguments)
    host, _, port = options.listen.rpartition(":")
    host = host.strip("[]")
    if not host or not port.isdecimal():
        raise BadSettings(f"--listen is {options.listen!r}: write address:port, e.g. 0.0.0.0:{LOGBOOK_PORT}")
    if options.insecure_local and not _loopback(host):
        raise BadSettings(
            f"--insecure-local with --listen {options.listen}: without credentials only a loopback address is served; "
            "listen on 127.0.0.1, or drop the flag"
        )
    server = _api_server(options, environment)
    operators = [name.strip() for name in environment.get(OPERATOR_ENV, "").split(",") if name.strip()]
    if wrong := next((name for name in operators if name.count(":") != 1), None):
        raise BadSettings(f"{OPERATOR_ENV} names {wrong!r}: write namespace:name")
    return Settings(
        data=options.data,
        host=host,
        port=int(port),
        master_key=_master_key(options.receipt_key),
        api_keys=options.key_file,
        operators=frozenset(f"system:serviceaccount:{name}" for name in operators),
        api_server=server,
        open_to_all=options.insecure_local,
    )


def _parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="belay_logbook", description="Belay's logbook and built-in store")
    parser.add_argument("--data", type=Path, default=Path("/data"), help="folder of the database and the store")
    parser.add_argument("--listen", default=f"0.0.0.0:{LOGBOOK_PORT}", help="address:port")
    keys = environment.get(API_KEYS_ENV)
    parser.add_argument(
        "--key-file", type=Path, default=Path(keys) if keys else None, help="JSON list of API keys; re-read on change"
    )
    parser.add_argument(
        "--receipt-key",
        type=Path,
        default=Path(environment.get(RECEIPT_KEY_ENV, RECEIPT_KEY_FILE)),
        help=f"file with the {KEY_BYTES} bytes of the master receipt key",
    )
    parser.add_argument("--api-server", help="https://host:port; default: the cluster this pod runs in")
    parser.add_argument("--api-server-token", type=Path, default=_POD_CREDENTIALS / "token", help="our own token")
    parser.add_argument("--api-server-ca", type=Path, default=_POD_CREDENTIALS / "ca.crt", help="its authority")
    parser.add_argument("--insecure-local", action="store_true", help="development: no credentials, loopback only")
    return parser


def _api_server(options: argparse.Namespace, environment: Mapping[str, str]) -> ApiServer | None:
    url = options.api_server
    if url is None and (host := environment.get("KUBERNETES_SERVICE_HOST")):
        host = f"[{host}]" if ":" in host else host
        url = f"https://{host}:{environment.get('KUBERNETES_SERVICE_PORT', '443')}"
    if url is None:
        return None
    for path in (options.api_server_token, options.api_server_ca):
        if not path.is_file():
            raise BadSettings(f"{path} is missing: without it nobody's token can be checked at {url}")
    return ApiServer(url, options.api_server_token, options.api_server_ca)


def _master_key(path: Path) -> bytes:
    try:
        key = path.read_bytes()
    except OSError as error:
        raise BadSettings(f"receipt key {path}: {error.strerror}; mount it, or name it by {RECEIPT_KEY_ENV}") from error
    if len(key) != KEY_BYTES:
        raise BadSettings(
            f"receipt key {path} has {len(key)} bytes, wanted {KEY_BYTES}; make one with `openssl rand 32`"
        )
    return key


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
