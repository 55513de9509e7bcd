"""Serving on real pods: what serves is what was published, to the byte; `kubectl scale` works."""

import copy
import json
from typing import Any

import pytest
import yaml

from belay_demo.install import EXAMPLES, SYSTEM
from belay_demo.kube import Namespace, condition, run

FLIP = """
import pathlib, sys
path = next(p for p in pathlib.Path("/data").rglob("*" + sys.argv[1][2:]) if p.is_file())
data = bytearray(path.read_bytes())
data[len(data) // 2] ^= 1
path.chmod(0o644)
path.write_bytes(data)
print(path)
"""


@pytest.fixture(scope="module")
def policy(here: Namespace) -> dict[str, Any]:
    """Return a policy trained and published in this namespace."""
    job = yaml.safe_load((EXAMPLES / "10-training.yaml").read_text())
    job["spec"] |= {"budget": {"steps": 2048}, "seeds": {"count": 1}, "evaluation": {"every": 1024, "episodes": 5}}
    here.apply(job)
    name = here.wait(
        "the policy", lambda: here.status("rltj", job["metadata"]["name"]).get("publishedPolicy"), timeout_s=240
    )
    return here.get("rlp", name)


@pytest.mark.timeout(400)
def test_scale_serves_and_ends(here: Namespace, policy: dict[str, Any]) -> None:
    name = policy["metadata"]["name"]
    here.kubectl("patch", f"rlp/{name}", "--type=merge", "-p", '{"spec":{"serving":{"replicas":1}}}')
    here.kubectl("wait", "--for=condition=Ready", f"rlp/{name}", "--timeout=180s")
    here.wait("the replica", lambda: here.status("rlp", name).get("readyReplicas") == 1, timeout_s=180)
    found = here.get("rlp", name)
    assert condition(found, "Verified")["status"] == "True"
    assert found["status"]["digest"] == found["spec"]["artifact"]["digest"]
    assert found["status"]["signature"]["action"] == "Discrete(2)"
    here.kubectl("scale", f"rlp/{name}", "--replicas=0")
    here.wait("no pods", lambda: not here.items("pods", f"belay.dev/policy={name}"), timeout_s=120)


@pytest.mark.timeout(400)
def test_one_changed_byte_in_the_store_never_serves(here: Namespace, policy: dict[str, Any]) -> None:
    manifest = run(
        *("kubectl", "-n", SYSTEM, "exec", "deploy/belay-logbook", "--", "python3", "-c"),
        FLIP.replace("data[len(data) // 2] ^= 1", "pass").replace("print(path)", "print(data.decode())"),
        policy["spec"]["artifact"]["digest"].removeprefix("sha256:"),
    )
    victim = next(entry for entry in json.loads(manifest)["files"] if entry["path"] == "policy.onnx")["sha256"]
    flip = ("kubectl", "-n", SYSTEM, "exec", "deploy/belay-logbook", "--", "python3", "-c", FLIP, victim)
    run(*flip)
    try:
        corrupt = copy.deepcopy(policy)
        corrupt["metadata"] = {"name": "corrupt"}
        corrupt["spec"]["serving"] = {"replicas": 1}
        corrupt.pop("status", None)
        here.apply(corrupt)
        verified = here.wait(
            "the verdict on the bytes",
            lambda: (
                condition(here.get("rlp", "corrupt"), "Verified").get("reason") == "DigestMismatch"
                and condition(here.get("rlp", "corrupt"), "Verified")
            ),
            timeout_s=180,
        )
        assert verified["status"] == "False"
        assert victim in verified["message"], "the digest wanted"
        assert "policy.onnx has digest" in verified["message"], "the file, and the digest found"
        assert here.status("rlp", "corrupt").get("readyReplicas", 0) == 0
    finally:
        run(*flip)
    here.kubectl("delete", "rlp", "corrupt", "--wait")
