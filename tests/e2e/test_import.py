"""A policy from elsewhere, imported as a person does it, with a token of the namespace, is validated and served."""

import json
from typing import Any

import pytest
import yaml

from belay_demo.install import SYSTEM, images, pull_secrets
from belay_demo.kube import Namespace, condition

SCRIPT = f"""
set -e
cd /tmp
python3 -c '
from stable_baselines3 import PPO
model = PPO("MlpPolicy", "CartPole-v1", n_steps=64, seed=0, device="cpu")
model.learn(256)
model.save("ppo.zip")
'
python3 -m belay_trainer import ppo.zip --trust --family elsewhere --environment CartPole-v1 --episodes 5 \
    --namespace "$NAMESPACE" --store http://belay-logbook.{SYSTEM}.svc:8600 \
    --token-file /token/token > /dev/termination-log
"""
ASK = """
import json, urllib.request
body = json.dumps({"observation": [0.0, 0.0, 0.1, 0.0]}).encode()
url, kind = "http://127.0.0.1:8080/predictions/policy", {"Content-Type": "application/json"}
print(urllib.request.urlopen(urllib.request.Request(url, body, kind)).read().decode())
"""


READ = f"""
import json, os, urllib.request
url = "http://belay-logbook.{SYSTEM}.svc:8600/v1/namespaces/" + os.environ["BELAY_NAMESPACE"] + "/blobs/" + "HEX"
token = open("/var/run/belay/token").read().strip()
asked = urllib.request.Request(url, headers={{"Authorization": "Bearer " + token}})
print(urllib.request.urlopen(asked).read().decode())
"""


@pytest.mark.timeout(700)
def test_a_zip_of_stable_baselines_is_held_to_gates_and_serves(here: Namespace) -> None:
    token = here.kubectl("create", "token", "default", "--audience", "belay-logbook").strip()
    here.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "mine"}, "stringData": {"token": token}})
    container = {
        "name": "import",
        "image": images()["belay-trainer"],
        "command": ["sh", "-c", SCRIPT],
        "env": [{"name": "NAMESPACE", "value": here.name}],
        "volumeMounts": [{"name": "token", "mountPath": "/token"}],
    }
    spec = {
        "restartPolicy": "Never",
        "imagePullSecrets": [{"name": name} for name in pull_secrets()],
        "containers": [container],
        "volumes": [{"name": "token", "secret": {"secretName": "mine"}}],
    }
    here.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "laptop"}, "spec": spec})
    done = ("Succeeded", "Failed")
    here.wait("the import", lambda: here.status("pod", "laptop").get("phase") in done, timeout_s=180)
    assert here.status("pod", "laptop")["phase"] == "Succeeded", here.kubectl("logs", "laptop")
    ended = here.status("pod", "laptop")["containerStatuses"][0]["state"]["terminated"]

    policy = yaml.safe_load(ended["message"])
    policy["spec"]["serving"] = {"replicas": 1}
    policy["spec"]["validation"] = _gates(5)
    here.apply(policy)
    name = policy["metadata"]["name"]
    # The same bytes under another name, held to what so short a training cannot show: told, and not served.
    poor = {"artifact": policy["spec"]["artifact"], "serving": {"replicas": 1}, "validation": _gates(495)}
    here.apply({**policy, "metadata": {"name": "poor"}, "spec": poor})
    here.kubectl("wait", "--for=condition=Ready", f"rlp/{name}", "--timeout=400s")
    here.wait("the replica", lambda: here.status("rlp", name).get("readyReplicas") == 1, timeout_s=180)
    found = here.get("rlp", name)
    assert condition(found, "Verified")["status"] == "True"
    assert found["status"]["imported"] == "stable-baselines3 ppo.zip"
    assert found["status"]["absent"] == ["lineage"]
    assert found["status"]["outcomes"]["return"]["evaluated"]["episodes"] == 5
    pod = here.items("pods", f"belay.dev/policy={name}")[0]["metadata"]["name"]
    answer = json.loads(here.kubectl("exec", pod, "--", "python3", "-c", ASK))
    assert answer["action"] in (0, 1)
    assert answer["policy"] == name

    for one, wanted in ((name, "Passed"), ("poor", "Failed")):
        said = here.wait(
            f"the verdict on {one}", lambda one=one: _verdict(here, one, wanted=("Passed", "Failed")), timeout_s=240
        )
        assert said["reason"] == wanted, said["message"]
    validation = here.status("rlp", name)["validation"]
    assert validation["digest"] == policy["spec"]["artifact"]["digest"]
    assert [gate["verdict"] for gate in validation["gates"]] == ["Pass"]
    facts = READ.replace("HEX", validation["reports"]["json"].removeprefix("store://sha256/"))
    told = json.loads(here.kubectl("exec", pod, "--", "python3", "-c", facts))
    assert (told["passed"], told["policy"]["digest"]) == (True, validation["digest"])
    page = READ.replace("HEX", validation["reports"]["html"].removeprefix("store://sha256/"))
    assert "<h1>Validation of" in here.kubectl("exec", pod, "--", "python3", "-c", page)

    held_back = here.get("rlp", "poor")
    assert condition(held_back, "Ready")["reason"] == "NotValidated"
    assert here.items("pods", "belay.dev/policy=poor") == []


def _gates(minimum: float) -> dict[str, Any]:
    """Gates that the policy is only served behind; where it is played the import has measured it."""
    return {"required": True, "gates": [{"performance": {"minReturn": minimum, "episodes": 20}}]}


def _verdict(here: Namespace, name: str, *, wanted: tuple[str, ...]) -> dict[str, Any] | None:
    """Return what is said of the gates, once they are answered. Fails where the Job is over and did not."""
    said = condition(here.get("rlp", name), "Validated")
    assert said.get("reason") not in ("BadConfiguration", "JobFailed", "ReportLost"), said["message"]
    return said if said.get("reason") in wanted else None
