"""Who calls the logbook, answered by a real API server: TokenReview, audiences, deleted accounts, an outage."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.api.engine.kube import Kube
from tests.unit.logbook.support import Process, new_namespace

from belay_api.names import TOKEN_AUDIENCE
from belay_cluster.api import Api, ApiServer


class Cluster:
    """kubectl with service accounts in mind."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.kube = Kube(api.kubeconfig)

    def account(self, namespace: str, name: str) -> None:
        if namespace not in self.kube.run("get", "namespace", "-o", "name"):
            self.kube.run("create", "namespace", namespace)
        self.kube.run("-n", namespace, "create", "serviceaccount", name)

    def token(self, namespace: str, name: str, audience: str = TOKEN_AUDIENCE, *, pod: str | None = None) -> str:
        words = ["create", "token", name, "-n", namespace, "--duration", "10m"]
        words += ["--bound-object-kind", "Pod", "--bound-object-name", pod] if pod else []
        return self.kube.run(*words, *(["--audience", audience] if audience else [])).strip()

    def pod(self, namespace: str, name: str, account: str) -> None:
        container = {"name": "c", "image": "x"}
        spec = {"serviceAccountName": account, "automountServiceAccountToken": False, "containers": [container]}
        made = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace}, "spec": spec}
        Kube(self.api.kubeconfig, namespace).apply(made)


@pytest.fixture(scope="module")
def cluster(api: Api) -> Cluster:
    made = Cluster(api)
    made.account("logbook-system", "belay-logbook")
    made.account("logbook-system", "belay-operator")
    made.kube.run(
        "create", "clusterrole", "belay-logbook", "--verb=create", "--resource=tokenreviews.authentication.k8s.io"
    )
    made.kube.run(
        "create", "clusterrolebinding", "belay-logbook", "--clusterrole=belay-logbook",
        "--serviceaccount=logbook-system:belay-logbook",
    )  # fmt: skip
    return made


def start(cluster: Cluster, folder: Path) -> Process:
    (folder / "token").write_text(cluster.token("logbook-system", "belay-logbook", audience=""))
    arguments = ["--api-server", cluster.api.server, "--api-server-token", str(folder / "token")]
    arguments += ["--api-server-ca", str(cluster.api.folder / "pki" / "ca.crt")]
    return Process(folder, arguments).start(BELAY_OPERATOR_SERVICE_ACCOUNT="logbook-system:belay-operator")


@pytest.fixture(scope="module")
def logbook(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    process = start(cluster, tmp_path_factory.mktemp("logbook"))
    yield process
    process.stop()


def ask(logbook: Process, token: str, namespace: str) -> int:
    with logbook.client(namespace, token=token) as client:
        return client.get("/statistics", params={"versions": "a"}).status_code


def test_a_pod_of_a_namespace_may_use_that_namespace_and_no_other(cluster: Cluster, logbook: Process) -> None:
    mine, other = new_namespace(), new_namespace()
    cluster.account(mine, "trainer")
    token = cluster.token(mine, "trainer")
    assert ask(logbook, token, mine) == 200
    assert ask(logbook, token, other) == 403
    with logbook.client(token=token) as client:
        assert client.get("/v1/progress").status_code == 403


def test_a_training_pod_is_known_by_the_name_that_the_api_server_says(cluster: Cluster, logbook: Process) -> None:
    namespace, train, serve = new_namespace(), "cartpole-a1-0-abcde", "cartpole-7f3a9c-5d8f7b6c9-x2x9z"
    cluster.account(namespace, "trainer")
    for pod in (train, serve):
        cluster.pod(namespace, pod, "trainer")
    answers = {}
    for pod in (train, serve, None):
        with logbook.client(namespace, token=cluster.token(namespace, "trainer", pod=pod)) as client:
            answers[pod] = client.get("/checkpoints/uid/0").status_code
    assert answers == {train: 200, serve: 403, None: 403}


def test_a_token_that_belongs_to_no_pod_brings_policies_to_its_namespace(cluster: Cluster, logbook: Process) -> None:
    mine, other, serve = new_namespace(), new_namespace(), "cartpole-7f3a9c-5d8f7b6c9-x2x9z"
    cluster.account(mine, "default")
    cluster.pod(mine, serve, "default")

    def upload(token: str, namespace: str, content: bytes) -> int:
        headers = {"Upload-Offset": "0", "Upload-Length": str(len(content))}
        with logbook.client(namespace, token=token) as client:
            path = f"/blobs/{hashlib.sha256(content).hexdigest()}"
            return client.patch(path, content=content, headers=headers).status_code

    person, pod = cluster.token(mine, "default"), cluster.token(mine, "default", pod=serve)
    assert upload(person, mine, b"policy") == 201
    assert upload(person, other, b"policy") == 403
    assert upload(pod, mine, b"another") == 403


def test_the_operator_may_see_all(cluster: Cluster, logbook: Process) -> None:
    token = cluster.token("logbook-system", "belay-operator")
    assert ask(logbook, token, new_namespace()) == 200
    with logbook.client(token=token) as client:
        assert client.get("/v1/progress").status_code == 200


def test_a_token_for_the_api_server_is_not_one_for_the_logbook(cluster: Cluster, logbook: Process) -> None:
    namespace = new_namespace()
    cluster.account(namespace, "trainer")
    assert ask(logbook, cluster.token(namespace, "trainer", audience=""), namespace) == 401
    token = cluster.token(namespace, "trainer")
    head, payload, signature = token.split(".")
    assert ask(logbook, f"{head}.{payload}.{signature[::-1]}", namespace) == 401
    with logbook.client(namespace) as client:
        answer = client.get("/statistics", headers={"Authorization": b"Bearer " + token.encode() + b"\xe9"})
    assert answer.status_code == 401


def test_the_token_of_a_deleted_account_is_refused(cluster: Cluster, logbook: Process) -> None:
    namespace = new_namespace()
    cluster.account(namespace, "gone")
    token = cluster.token(namespace, "gone")
    cluster.kube.run("-n", namespace, "delete", "serviceaccount", "gone")
    assert ask(logbook, token, namespace) == 401


def test_an_api_server_that_does_not_answer_is_no_refusal(tmp_path: Path) -> None:
    with ApiServer() as server:
        cluster = Cluster(server)
        cluster.account("logbook-system", "belay-logbook")
        cluster.kube.run(
            "create", "clusterrolebinding", "belay-logbook", "--clusterrole=system:auth-delegator",
            "--serviceaccount=logbook-system:belay-logbook",
        )  # fmt: skip
        known, fresh = (cluster.token("logbook-system", "belay-logbook") for _ in range(2))
        process = start(cluster, tmp_path)
        assert ask(process, known, "logbook-system") == 200
    try:
        assert ask(process, known, "logbook-system") == 200  # remembered
        with process.client("logbook-system", token=fresh) as client:
            answer = client.get("/statistics")
        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == "1"
    finally:
        process.stop()
