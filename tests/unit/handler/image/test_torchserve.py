"""What only the real server can show: actions, metrics, crashes, signals, an artifact that changed under its feet."""

import contextlib
import hashlib
import json
import os
import signal
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
from prometheus_client.parser import text_string_to_metric_families
from tests.unit.handler.artifacts import outputs, write
from tests.unit.handler.image.conftest import KEY, Pod, serving
from tests.unit.handler.image.onnx_files import critic_bytes, onnx_bytes
from tests.unit.handler.web import Request, Response
from tests.unit.handler.web import serving as serving_web

from belay_api import receipts


def sample(pod: Pod, name: str) -> float:
    families = text_string_to_metric_families(pod.metrics())
    return sum(one.value for family in families for one in family.samples if one.name == name)


def settled(pod: Pod, name: str) -> float:
    """A sample of the histogram once it has everything: half a second after the last answer."""
    sample(pod, name)
    time.sleep(0.6)
    return sample(pod, name)


def beyond(pod: Pod, bound: float) -> float:
    """Requests that took longer, once the histogram has everything."""
    settled(pod, "belay_request_seconds_count")
    families = text_string_to_metric_families(pod.metrics())
    buckets = {
        one.labels["le"]: one.value for family in families for one in family.samples if one.name.endswith("_bucket")
    }
    return buckets["+Inf"] - buckets[str(bound)]


def test_actions_are_those_of_the_network(pod: Pod) -> None:
    observations = np.random.default_rng(3).normal(size=(64, 4)).astype(np.float32)
    answer = httpx.post(pod.url, json=[{"observation": row} for row in observations.tolist()], timeout=10)

    actions = [item["action"] for item in answer.json()]
    assert actions == outputs(observations).argmax(axis=1).tolist()


def test_requests_are_counted_and_probes_are_not(pod: Pod) -> None:
    requests, errors = sample(pod, "belay_requests_total"), sample(pod, "belay_request_errors_total")
    for _ in range(3):
        httpx.get(pod.url, timeout=10)
        httpx.post(pod.url, json={"observation": [0, 0, 0, 0]}, timeout=10)
    httpx.post(pod.url, json={"observation": []}, timeout=10)

    assert sample(pod, "belay_requests_total") == requests + 4
    assert sample(pod, "belay_request_errors_total") == errors
    assert settled(pod, "belay_request_seconds_count") == sample(pod, "belay_requests_total")


def test_latency_has_the_wait_in_the_queue(pod: Pod) -> None:
    """A lone request waits out the batch delay of 1 ms, which the handler does not see."""
    before = settled(pod, "belay_request_seconds_sum")
    with httpx.Client(timeout=10) as client:
        for _ in range(50):
            client.post(pod.url, json={"observation": [0, 0, 0, 0]})

    assert (settled(pod, "belay_request_seconds_sum") - before) / 50 > 0.001


def test_each_caller_of_a_worker_that_stalls_is_known_by_what_it_waited(pod: Pod) -> None:
    """The handler sees nothing of it, and the mean wait of that second is far from what most of them waited."""
    before = beyond(pod, 0.25), beyond(pod, 0.75), settled(pod, "belay_request_seconds_count")
    ask = {"observation": [0, 0, 0, 0]}
    with ThreadPoolExecutor(20) as pool, httpx.Client(timeout=30) as client:
        for _ in range(100):
            client.post(pod.url, json=ask)
        worker = pod.worker_pid()
        os.kill(worker, signal.SIGSTOP)
        try:
            long = [pool.submit(client.post, pod.url, json=ask) for _ in range(5)]
            time.sleep(0.5)
            short = [pool.submit(client.post, pod.url, json=ask) for _ in range(3)]
            time.sleep(0.5)
        finally:
            os.kill(worker, signal.SIGCONT)
        assert {one.result().status_code for one in (*long, *short)} == {200}
        for _ in range(100):
            client.post(pod.url, json=ask)

    assert settled(pod, "belay_request_seconds_count") == before[2] + 208
    assert 8 <= beyond(pod, 0.25) - before[0] <= 12, "those eight, and whoever was slow on a busy machine"
    assert 5 <= beyond(pod, 0.75) - before[1] <= 7


def test_a_killed_worker_is_an_error_in_the_metrics_and_comes_back(tmp_path: Path) -> None:
    manifest = write(tmp_path / "artifact", {"policy.onnx": onnx_bytes()})
    with serving(tmp_path, manifest, BELAY_RESPONSE_TIMEOUT_S="90") as pod, ThreadPoolExecutor(32) as pool:
        pod.wait_ready()
        worker = pod.worker_pid()
        os.kill(worker, signal.SIGSTOP)
        sent: list[Future[httpx.Response]] = []
        while pod.queued() == 0:  # as soon as one has to wait, those before it are in the worker's hands
            assert len(sent) < 32, pod.log.read_text()
            sent.append(pool.submit(httpx.post, pod.url, json={"observation": [0, 0, 0, 0]}, timeout=60))
            time.sleep(0.2)
        os.kill(worker, signal.SIGKILL)
        statuses = {answer.result().status_code for answer in sent}
        pod.wait_ready()

        assert max(statuses) >= 500
        assert pod.worker_pid() != worker
        assert sample(pod, "belay_request_errors_total") >= 1
        assert sample(pod, "belay_requests_total") >= 1
        assert httpx.post(pod.url, json={"observation": [0, 0, 0, 0]}, timeout=10).status_code == 200


def test_an_answer_too_large_to_send_ends_nobody_else(pod: Pod) -> None:
    """TorchServe breaks with a worker whose answer exceeds its bound, and with it every request in its hands."""
    worker = pod.worker_pid()
    items = [{"observation": [0, 0, 0, 0], "episode": f"{index:08}" + "ü" * 120} for index in range(10_000)]
    answer = httpx.post(pod.url, json=items, timeout=60)

    assert answer.status_code == 413
    assert "send fewer" in answer.json()["error"]["message"]
    assert pod.worker_pid() == worker
    assert len(httpx.post(pod.url, json=items[:1000], timeout=60).json()) == 1000


def test_a_changed_artifact_is_not_loaded(tmp_path: Path) -> None:
    manifest = write(tmp_path / "artifact", {"policy.onnx": onnx_bytes()})
    (tmp_path / "artifact" / "policy.onnx").write_bytes(onnx_bytes(np.ones(2, np.float32)))

    with serving(tmp_path, manifest) as pod:
        deadline = time.monotonic() + 90
        while "DigestMismatch: policy.onnx has digest" not in pod.log.read_text():
            assert time.monotonic() < deadline, pod.log.read_text()
            time.sleep(0.1)
        pod.wait_listening()
        with contextlib.suppress(httpx.TimeoutException):  # without a worker TorchServe lets requests wait
            assert httpx.post(pod.url, json={"observation": [0, 0, 0, 0]}, timeout=2).status_code >= 500
        ping = 200
        while ping == 200:  # liveness must turn red
            assert time.monotonic() < deadline, pod.log.read_text()
            time.sleep(0.2)
            ping = httpx.get(f"http://127.0.0.1:{pod.port}/ping", timeout=10).status_code


def test_sigterm_ends_it(tmp_path: Path) -> None:
    with serving(tmp_path, write(tmp_path / "artifact", {"policy.onnx": onnx_bytes()})) as pod:
        pod.wait_ready()
        worker = pod.worker_pid()
        pod.process.send_signal(signal.SIGTERM)

        assert pod.process.wait(60) == 143
        deadline = time.monotonic() + 60
        while Path(f"/proc/{worker}").exists():  # it goes when it sees that java is gone
            assert time.monotonic() < deadline, "the worker outlives its server"
            time.sleep(0.05)


def test_episode_starts_reach_the_logbook(tmp_path: Path) -> None:
    told: list[Request] = []

    def answer(request: Request) -> Response:
        told.append(request)
        return Response(200, b'{"accepted": 1, "refused": []}')

    manifest = write(tmp_path / "artifact", {"policy.onnx": onnx_bytes()})
    with serving_web(answer) as url, serving(tmp_path, manifest, BELAY_LOGBOOK_URL=url) as pod:
        pod.wait_ready()
        for episode in ("a", "b"):
            for step in (0, 1):
                message = {"observation": [0, 0, 0, 0], "episode": episode, "step": step}
                httpx.post(pod.url, json=message, timeout=10)
        deadline = time.monotonic() + 60
        while sample(pod, "belay_starts_reported_total") < 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)

    tokens = [item["receipt"] for request in told for item in json.loads(request.body)["items"]]
    found = [receipts.check(token, KEY) for token in tokens]
    assert [(receipt.episode, receipt.step, receipt.version) for receipt in found] == [
        ("a", 0, "cartpole-1"),
        ("b", 0, "cartpole-1"),
    ]


def test_receipts_say_what_the_critic_that_the_route_names_foresees(tmp_path: Path) -> None:
    """The pod's own at once; another artifact's once it has been fetched, and no decision waits for that."""
    own = write(tmp_path / "artifact", {"policy.onnx": onnx_bytes(), "critic.onnx": critic_bytes()})
    other = write(tmp_path / "other", {"policy.onnx": onnx_bytes(), "critic.onnx": critic_bytes(turned=True)})
    blobs = {
        hashlib.sha256(file.read_bytes()).hexdigest(): file.read_bytes() for file in (tmp_path / "other").iterdir()
    }

    def answer(request: Request) -> Response:
        if request.method == "POST":
            return Response(200, b'{"accepted": 1, "refused": []}')
        blob = blobs.get(request.path.rsplit("/", 1)[1])
        return Response(404) if blob is None else Response(200, blob)

    def foreseen(pod: Pod, baseline: str | None, step: int = 0) -> receipts.Foreseen | None:
        headers = {"x-belay-rollout": "shop"} | ({"x-belay-baseline": baseline} if baseline else {})
        message = {"observation": [1, 0, 0, 0], "episode": "e", "step": step}
        answered = httpx.post(pod.url, json=message, headers=headers, timeout=10)
        assert answered.status_code == 200
        return receipts.check(answered.headers["x-belay-receipt"], KEY).foreseen

    ours, theirs = (manifest.digest().removeprefix("sha256:") for manifest in (own, other))
    with serving_web(answer) as url, serving(tmp_path, own, BELAY_LOGBOOK_URL=url) as pod:
        pod.wait_ready()
        assert foreseen(pod, ours) == receipts.Foreseen(ours, 1)
        assert foreseen(pod, ours, step=1) is None
        assert foreseen(pod, None) is None
        assert foreseen(pod, "0" * 64) is None, "nobody has such an artifact"
        deadline = time.monotonic() + 60
        while (said := foreseen(pod, theirs)) is None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert said == receipts.Foreseen(theirs, 0)
