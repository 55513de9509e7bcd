"""Certificates and kubeconfigs: one elliptic-curve CA, one certificate per component, made by the openssl command.

Authorization is Node,RBAC, so a component *is* its certificate's subject. Files that exist are kept: running twice
changes nothing, and a new CA comes only with a new state folder.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path

from belay_cluster import layout
from belay_cluster.shell import run

DAYS = "3650"
NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True, slots=True)
class Certificate:
    """Who a component is (subject) and under which names it may be reached."""

    name: str
    subject: str
    names: tuple[str, ...] = ()
    """Subject alternative names, `DNS:…` or `IP:…`; empty for a mere client."""


ADMIN = Certificate("admin", "/O=system:masters/CN=admin")
CONTROLLER_MANAGER = Certificate("controller-manager", "/CN=system:kube-controller-manager")


def apiserver(address: str) -> Certificate:
    """Serving certificate of an API server that listens on `address`."""
    cluster = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
    addresses = dict.fromkeys(("127.0.0.1", layout.SERVICE_IP, address))
    names = (*(f"DNS:{name}" for name in (*cluster, "localhost")), *(f"IP:{one}" for one in addresses))
    return Certificate("apiserver", "/CN=kube-apiserver", names)


def cluster_certificates() -> tuple[Certificate, ...]:
    """Every certificate of the local cluster."""
    node = layout.NODE
    return (
        apiserver(layout.NODE_IP),
        ADMIN,
        CONTROLLER_MANAGER,
        Certificate("scheduler", "/CN=system:kube-scheduler"),
        Certificate("kube-proxy", "/CN=system:kube-proxy"),
        Certificate("coredns", "/CN=system:coredns"),
        Certificate("kubelet", f"/O=system:nodes/CN=system:node:{node}", (f"DNS:{node}", f"IP:{layout.NODE_IP}")),
        Certificate("front-proxy", "/CN=front-proxy-client"),
    )


def extensions(certificate: Certificate) -> str:
    """The x509 extensions file openssl signs with."""
    lines = [
        "basicConstraints=CA:FALSE",
        "keyUsage=digitalSignature,keyEncipherment",
        "extendedKeyUsage=serverAuth,clientAuth",
    ]
    if certificate.names:
        lines.append("subjectAltName=" + ",".join(certificate.names))
    return "\n".join(lines) + "\n"


def make(folder: Path, certificates: tuple[Certificate, ...]) -> None:
    """Make the CA, the service-account key pair and the certificates that are missing in `folder`."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    ca, ca_key = folder / "ca.crt", folder / "ca.key"
    if not ca.exists():
        usage = "keyUsage=critical,keyCertSign,cRLSign,digitalSignature"
        subject = ("-subj", "/CN=belay-dev-ca", "-addext", usage)
        run(["openssl", "req", "-x509", *NEW_KEY, "-keyout", ca_key, "-out", ca, "-days", DAYS, *subject], what="CA")
    if not (folder / "sa.pub").exists():
        run(["openssl", "genrsa", "-out", folder / "sa.key", "2048"], what="service-account key")
        public = ["openssl", "rsa", "-in", folder / "sa.key", "-pubout", "-out", folder / "sa.pub"]
        run(public, what="service-account key")
    for one in certificates:
        if not (folder / f"{one.name}.crt").exists():
            _sign(folder, one)


def _sign(folder: Path, one: Certificate) -> None:
    key, request, extra, signed = (folder / f"{one.name}.{end}" for end in ("key", "csr", "ext", "crt"))
    extra.write_text(extensions(one))
    what = f"certificate of {one.name}"
    run(["openssl", "req", "-new", *NEW_KEY, "-keyout", key, "-subj", one.subject, "-out", request], what=what)
    ca = ("-CA", folder / "ca.crt", "-CAkey", folder / "ca.key", "-CAcreateserial")
    part = signed.with_suffix(".part")
    run(["openssl", "x509", "-req", "-in", request, *ca, "-days", DAYS, "-extfile", extra, "-out", part], what=what)
    part.rename(signed)


def kubeconfig(folder: Path, name: str, server: str) -> str:
    """A kubeconfig with everything inside it, so that it can be copied or mounted alone. JSON, which is YAML."""

    def data(file: str) -> str:
        return base64.b64encode((folder / file).read_bytes()).decode()

    user = {"client-certificate-data": data(f"{name}.crt"), "client-key-data": data(f"{name}.key")}
    cluster = {"server": server, "certificate-authority-data": data("ca.crt")}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "belay", "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": "belay", "context": {"cluster": "belay", "user": name}}],
        "current-context": "belay",
    }
    return json.dumps(document, indent=1) + "\n"


def write_private(path: Path, text: str) -> None:
    """Write a file only its owner may read, at once or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.touch(mode=0o600)
    part.write_text(text)
    part.rename(path)
