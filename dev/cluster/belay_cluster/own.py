"""A cluster of the user's own: nothing in it is changed but what is installed for Belay, and that can be taken back.

Namespaces made here carry a label, which `down` goes by; one that is there already without it is somebody else's, and
is never used. Images are pushed to a registry the user names, since nobody here can know where the nodes pull from.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from belay_cluster import gateway
from belay_cluster.builder import Builder, builder_here
from belay_cluster.images import PREFIX
from belay_cluster.kube import Kube, ensure
from belay_cluster.paths import Paths
from belay_cluster.shell import Laps, Problem, run

SYSTEM, DEMO, RELEASE = "belay-system", "belay-demo", "belay"
MADE_HERE = "dev.belay.dev/made-by"
"""Label of namespaces made here; the value is of no interest."""
PULL_SECRET = "belay-pull"
KINDS = ("rlrollouts.belay.dev", "rlprogressions.belay.dev", "rltrainingjobs.belay.dev", "rlpolicies.belay.dev")
"""Deleted in this order: jobs before their namespace, or a failed pod may keep it terminating for ever."""
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user says about their cluster."""

    why: str
    """Which variable names it."""
    kubeconfig: str | None
    """KUBECONFIG as it is, so perhaps several files; None: kubectl's own default."""
    context: str | None
    """None: the current one."""
    registry: str | None
    """Registry and folder the nodes pull from, e.g. `registry.example.com/me`; None: not said."""
    pull_auth: Path | None
    """Docker config.json with which the nodes may pull; None: anybody may."""


class OwnCluster:
    """The cluster; every method may be called at any time."""

    def __init__(self, paths: Paths, laps: Laps, wanted: Wanted) -> None:
        self.paths, self.laps, self.wanted = paths, laps, wanted
        self.kube = Kube(paths, paths.own_kubeconfig)

    @property
    def registry(self) -> str:
        """Where images go.

        Raises: Problem when the user has not said.
        """
        found = (self.wanted.registry or "").rstrip("/")
        if not found:
            raise Problem(
                f"{self.wanted.why}, so the cluster is yours: say which registry its nodes can pull from and you can "
                "push to (docker login or buildah login first), as in REGISTRY=registry.example.com/me make demo; with "
                "PULL_AUTH=FILE, a Docker config.json, if pulling needs a login. For a throw-away cluster on this "
                "machine instead: env -u KUBECONFIG -u BELAY_KUBECONFIG -u BELAY_CONTEXT make demo"
            )
        if "://" in found:
            raise Problem(
                f"REGISTRY={found}: write it as it stands in an image's name, without {found.split('//')[0]}//"
            )
        return found

    def kubeconfig(self) -> Path:
        """The user's kubeconfig, cut down to the one context and complete in itself."""
        ensure(self.paths, self.laps, "kubectl", only="api")
        named = {"KUBECONFIG": self.wanted.kubeconfig} if self.wanted.kubeconfig else {}
        context = [f"--context={self.wanted.context}"] if self.wanted.context else []
        view = [self.kube.command()[0], "config", "view", "--minify", "--flatten", "--raw", *context]
        text = run(view, what=f"reading the kubeconfig ({self.wanted.why})", env=named)
        path = self.paths.own_kubeconfig
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        return path

    def up(self) -> None:
        """See that it answers and has a gateway, and make our namespaces; nothing is built before all is known."""
        auth = self._login()
        self.builder()
        self.kubeconfig()
        ensure(self.paths, self.laps, "helm", only="helm")
        server = self.kube.kubectl("config", "view", "-o", "jsonpath={.clusters[0].cluster.server}")
        if not self.kube.answers("get", "--raw", "/readyz"):
            asked = " ".join(self.kube.command("get", "--raw", "/readyz"))
            raise Problem(f"your cluster at {server} ({self.wanted.why}) does not answer. Try: {asked}")
        self._check_nodes()
        self.laps(f"using {server}; images go to {self.registry}")
        names = [SYSTEM, DEMO, *([gateway.NAMESPACE] if gateway.needed(self.kube) else [])]
        self._claim(names, auth)
        secret = PULL_SECRET if auth else None
        gateway.provide(self.paths, self.laps, self.kube, self, pull_secret=secret)

    def builder(self) -> Builder:
        """Whatever builds images here, but nothing before it is known where they go."""
        _ = self.registry
        return builder_here(self.paths, self.laps)

    def pulled(self, ref: str) -> str:
        """The same name and tag in the user's registry."""
        return self.registry + ref.removeprefix(PREFIX)

    def give(self, references: Mapping[str, str]) -> None:
        """Push; layers the registry has are not sent again."""
        builder = self.builder()
        for ref in references.values():
            builder.push(ref, self.pulled(ref))
            self.laps(f"pushed {self.pulled(ref)}")

    def down(self, *, wipe: bool) -> None:
        """Remove what was installed: our namespaces with all in them, and what else nobody uses by now.

        The cluster itself, the Gateway API's CRDs and the images in the registry stay.
        """
        self.kubeconfig()
        ours = self.ours()
        if not ours:
            self.paths.own_kubeconfig.unlink()
            self.laps(f"nothing to remove from your cluster ({self.wanted.why}): no namespace there was made here")
            return
        ensure(self.paths, self.laps, "helm", only="helm")
        for kind in KINDS:
            if DEMO in ours and self.kube.items(kind, "-n", DEMO):
                self.kube.kubectl("-n", DEMO, "delete", kind, "--all", "--cascade=foreground", "--timeout=120s")
        if SYSTEM in ours:
            self._uninstall(RELEASE, SYSTEM)
        self._delete("namespace", [name for name in (DEMO, SYSTEM) if name in ours])
        if SYSTEM in ours:
            self._remove_crds()
        if gateway.NAMESPACE in ours:
            self._remove_gateway()
        self.paths.own_kubeconfig.unlink()  # a copy of the user's credentials that nothing needs any more
        self.laps("removed; what stays: CRDs of the Gateway API, if they were installed here, and pushed images")

    def ours(self) -> set[str]:
        """Namespaces that were made here."""
        return {one["metadata"]["name"] for one in self.kube.items("namespaces", "-l", MADE_HERE)}

    def _login(self) -> str | None:
        """Contents of the file to pull with, read before anything is done; None: none is named."""
        if self.wanted.pull_auth is None:
            return None
        try:
            text = self.wanted.pull_auth.read_text()
            json.loads(text)["auths"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Problem(
                f"PULL_AUTH={self.wanted.pull_auth} is no Docker config.json with `auths`: {error!r}"
            ) from error
        return text

    def _check_nodes(self) -> None:
        """Raise a Problem when no node can run what this machine builds; who may not list nodes is not asked."""
        nodes = self.kube.items("nodes") if self.kube.answers("get", "nodes") else []
        found = {node["status"]["nodeInfo"]["architecture"] for node in nodes}
        here = ARCHITECTURES.get(platform.machine(), platform.machine())
        if found and here not in found:
            raise Problem(
                f"your nodes are {', '.join(sorted(found))}, and this machine builds {here}: use one like them."
            )

    def _claim(self, names: list[str], auth: str | None) -> None:
        """Make our namespaces, with the secret to pull with where there is one.

        Raises: Problem before anything is made, when one belongs to somebody else.
        """
        there = {one["metadata"]["name"] for one in self.kube.items("namespaces")}
        if foreign := sorted((there & set(names)) - self.ours()):
            raise Problem(
                f"your cluster has {', '.join(foreign)} already, and not from here, so it is left alone: remove it, "
                "or name another cluster."
            )
        things = [thing for name in names for thing in claim(name, auth)]
        listing = {"apiVersion": "v1", "kind": "List", "items": things}
        arguments = ("apply", "--server-side", "--field-manager=belay-dev", "-f", "-")
        self.kube.kubectl(*arguments, stdin=json.dumps(listing))

    def _uninstall(self, release: str, namespace: str) -> None:
        arguments = ("uninstall", release, "--namespace", namespace, "--ignore-not-found", "--wait", "--timeout=120s")
        self.kube.helm(*arguments, what=f"uninstalling {release}")

    def _delete(self, kind: str, names: list[str]) -> None:
        if names:
            self.kube.kubectl("delete", kind, *names, "--ignore-not-found", "--timeout=180s")
            self.laps(f"deleted {kind} {', '.join(names)}")

    def _remove_crds(self) -> None:
        """Delete Belay's CRDs, and with them nothing else: not while an object of theirs is left anywhere."""
        if left := [kind for kind in KINDS if self.kube.items(kind, "-A")]:
            self.laps(f"Belay's CRDs stay: there are {', '.join(left)} in other namespaces")
        else:
            self._delete("crd", list(KINDS))

    def _remove_gateway(self) -> None:
        """Uninstall Envoy Gateway, unless somebody else's Gateway has come to use it."""
        gateways = self.kube.items("gateways.gateway.networking.k8s.io", "-A")
        if any(one["spec"].get("gatewayClassName") == gateway.CLASS for one in gateways):
            self.laps(f"Envoy Gateway stays: a Gateway of class {gateway.CLASS} uses it")
            return
        self._delete("gatewayclass", [gateway.CLASS])
        self._uninstall(gateway.RELEASE, gateway.NAMESPACE)
        # What a chart makes by hooks, Helm forgets; these are cluster-wide, and named after the namespace.
        for kind in ("clusterrolebinding", "clusterrole", "mutatingwebhookconfiguration"):
            names = [one["metadata"]["name"] for one in self.kube.items(kind, "-l", gateway.LABELS)]
            self._delete(kind, [name for name in names if name.endswith(gateway.NAMESPACE)])
        self._delete("namespace", [gateway.NAMESPACE])


def claim(namespace: str, auth: str | None) -> list[dict[str, object]]:
    """A namespace of ours, and what pods there pull with.

    The default service account names the secret, because trainers, policies and users run as it.
    """
    labels = {MADE_HERE: "belay_cluster"}
    made: dict[str, object] = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": namespace, "labels": labels},
    }
    if auth is None:
        return [made]
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": PULL_SECRET, "namespace": namespace},
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": auth},
    }
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "default", "namespace": namespace},
        "imagePullSecrets": [{"name": PULL_SECRET}],
    }
    return [made, secret, account]
