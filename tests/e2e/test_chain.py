"""What comes before and after a training, each on what the one before left: a log, a search, gates, a judgement."""

import json
from typing import Any

import pytest
import yaml
from tests.e2e.test_training import job, succeeded

from belay_demo.install import EXAMPLES, images, pull_secrets
from belay_demo.kube import Namespace, condition

COLLECT = EXAMPLES.parent / "collect"
LOGS = ("learned", "judged")  # a policy is not judged by the log that it was learned from
COLLECT_ONE = "python3 -m belay_trainer collect --config {0}.yaml --out /logs/{0}.parquet"
COLLECT_BOTH = " && ".join(map(COLLECT_ONE.format, LOGS))
SHORT = {"seeds": {"count": 1}, "evaluation": {"every": 1024, "episodes": 5}}


@pytest.mark.timeout(600)
def test_a_search_then_a_training_that_begins_with_its_policy_and_has_to_pass_gates(here: Namespace) -> None:
    search = {"trials": 2, "steps": 512, "sampler": "random", "pruner": "none"}
    here.apply(job("searched", budget={"steps": 2048}, search=search, publish={"family": "searched"}, **SHORT))
    here.wait("the searched job to succeed", lambda: succeeded(here, "searched"), timeout_s=300)
    found = here.status("rltj", "searched")
    assert found["search"]["finished"] == 2
    assert "learning_rate" in found["search"]["best"]["settings"]
    begun = here.wait("the policy", lambda: here.status("rltj", "searched").get("publishedPolicy"), timeout_s=30)

    gates = [{"performance": {"minReturn": 5}}, {"robustness": {"noise": [0.01], "minReturn": 5, "episodes": 10}}]
    here.apply(
        job(
            "tuned",
            algorithm={"ppo": found["search"]["best"]["settings"]},
            budget={"steps": 1024},
            initFrom={"policy": begun},
            gates=gates,
            publish={"family": "tuned"},
            **SHORT,
        )
    )
    here.wait("the tuned job to succeed", lambda: succeeded(here, "tuned"), timeout_s=200)
    tuned = here.get("rltj", "tuned")
    assert tuned["status"]["initial"]["digest"] == here.get("rlp", begun)["spec"]["artifact"]["digest"]
    assert condition(tuned, "GatesPassed")["status"] == "True"
    [seed] = tuned["status"]["seeds"]
    assert (seed["validation"]["passed"], seed["validation"]["gates"]) == (True, 2)


@pytest.mark.timeout(600)
def test_a_log_is_collected_learned_from_and_judged_and_its_policy_served(here: Namespace) -> None:
    collection = yaml.safe_load((COLLECT / "collect.yaml").read_text())
    collection["environment"].pop("randomize")  # the policy is to be judged in the task that was logged
    collection |= {"episodes": 200, "policies": [{"policy": "random"}]}  # whose clone a log of so few episodes judges
    files = {f"{log}.yaml": yaml.safe_dump(collection | {"seed": seed}) for seed, log in enumerate(LOGS)}
    here.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "collect"}, "data": files})
    for made in yaml.safe_load_all((COLLECT / "job.yaml").read_text()):
        made["metadata"].pop("namespace")
        if made["kind"] == "Job":
            pod = made["spec"]["template"]["spec"]
            [container] = pod["containers"]
            container |= {"image": images()["belay-trainer"], "command": ["sh", "-c", COLLECT_BOTH]}
            del container["args"]
            pod["imagePullSecrets"] = [{"name": name} for name in pull_secrets()]
        here.apply(made)
    here.kubectl("wait", "--for=condition=Complete", "job/collect", "--timeout=180s")

    claim = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
    here.apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "store"}, "spec": claim})
    learned = job(
        "cloned",
        dataset={"path": "/data/logs/learned.parquet"},
        algorithm={"bc": {}},
        budget={"steps": 100},
        runtime={"data": [{"name": "logs", "claim": "logs"}]},
        storage={"pvc": {"claim": "store"}},
        publish={"family": "cloned", "serving": {"replicas": 1}},
        **SHORT | {"evaluation": {"every": 100, "episodes": 5, "environment": {"id": "CartPole-v1"}}},
    )
    del learned["spec"]["environment"]
    here.apply(learned)
    here.wait("the job to succeed", lambda: succeeded(here, "cloned"), timeout_s=300)
    policy = here.wait("the policy", lambda: here.status("rltj", "cloned").get("publishedPolicy"), timeout_s=30)
    uri = here.get("rlp", policy)["spec"]["artifact"]["uri"]

    words = ["evaluate-offline", "--dataset", "/logs/judged.parquet", "--actions", "sampled", "--estimator", "wis"]
    here.apply(_judge([*words, "--policy", uri.replace("pvc://store", "/store")]))
    done = ("Succeeded", "Failed")
    here.wait("the judgement", lambda: here.status("pod", "judge").get("phase") in done, timeout_s=120)
    said = here.kubectl("logs", "judge")
    assert here.status("pod", "judge")["phase"] == "Succeeded", said
    assert "The policy returns" in said

    here.kubectl("wait", "--for=condition=Loaded", f"rlp/{policy}", "--timeout=180s")

    # The same question of the RLPolicy, which a Job answers with what the pod by hand has said.
    asked = {"dataset": {"path": "/data/logs/judged.parquet"}, "actions": "sampled", "estimator": "wis"}
    asked |= {"runtime": {"data": [{"name": "logs", "claim": "logs"}]}}
    here.kubectl("patch", f"rlp/{policy}", "--type=merge", "-p", json.dumps({"spec": {"offlineEvaluation": asked}}))
    here.kubectl("wait", "--for=condition=EvaluatedOffline", f"rlp/{policy}", "--timeout=240s")
    found = here.status("rlp", policy)["offlineEvaluation"]
    assert found["judged"] is True
    assert found["return"]["low"] <= found["return"]["value"] <= found["return"]["high"]
    assert f"The policy returns {found['return']['value']:.4g} by wis" in said
    assert found["reports"]["html"].startswith("store://sha256/"), "the log lies on a claim, the report does not"


def _judge(words: list[str]) -> dict[str, Any]:
    container = {
        "name": "judge",
        "image": images()["belay-trainer"],
        "args": words,
        "volumeMounts": [{"name": "logs", "mountPath": "/logs"}, {"name": "store", "mountPath": "/store"}],
    }
    spec = {
        "restartPolicy": "Never",
        "imagePullSecrets": [{"name": name} for name in pull_secrets()],
        "containers": [container],
        "volumes": [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in ("logs", "store")],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "judge"}, "spec": spec}
