"""A policy from elsewhere, imported as a person does it, with a token of the namespace, is served."""

import json

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


@pytest.mark.timeout(400)
def test_a_zip_of_stable_baselines_serves(here: Namespace) -> None:
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
    here.apply(policy)
    name = policy["metadata"]["name"]
    here.kubectl("wait", "--for=condition=Ready", f"rlp/{name}", "--timeout=180s")
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
