"""The demo, in the order it is told: cluster, images, chart, training, serving, players, a good canary, a bad one."""

import os
import sys
from datetime import datetime
from typing import Any

import yaml

from belay_demo.install import BIN, EXAMPLES, SYSTEM, chart, cluster, gateway, use_cluster
from belay_demo.kube import Failed, Namespace, condition
from belay_demo.narrator import Narrator
from belay_demo.players import USERS, Players
from belay_demo.timeline import Timeline

DEMO = Namespace("belay-demo")
ROLLOUT = "cartpole"
JOBS = {"first": "cartpole", "second": "cartpole-other-seeds", "weak": "cartpole-undertrained"}
PLAYERS = Players(DEMO, rollout=ROLLOUT)


def main() -> int:
    """Run the demo; 0 when the good candidate was promoted and the bad one rolled back."""
    time = Timeline()
    try:
        with time.part("A real Kubernetes with Gateway API and Envoy Gateway"):
            cluster("up")
            use_cluster()
        with time.part("Images, and the chart with Helm"):
            cluster("images")
            chart()
            time.good("operator and logbook are ready")
        with time.part("Three training jobs, three seeds each or one: CartPole-v1 with PPO"):
            train(time)
        with time.part("The first policy serves, and users begin to play"):
            first = published("first")
            start(time, first)
        with time.part("A second, honestly trained policy becomes the candidate"):
            second = published("second")
            judge(time, second, wanted="Promoted")
        with time.part("A third, under-trained policy becomes the candidate"):
            weak = published("weak")
            judge(time, weak, wanted="RolledBack")
        finish(time)
    except Failed as error:
        time.bad(str(error))
        if time.took:  # there is a cluster
            print(f"What the commands need: {_reach()}", flush=True)
        return 1
    except KeyboardInterrupt:
        time.bad("interrupted. `make demo` goes on from here; `make cluster-down` takes away what has begun")
        return 130
    return 0


def train(time: Timeline) -> None:
    """Apply the training jobs and tell their progress until all have published."""
    gateway(DEMO)
    for file in ("10-training.yaml", "30-other-seeds.yaml", "40-undertrained.yaml"):
        DEMO.apply(EXAMPLES / file)
    DEMO.kubectl("wait", "--for=condition=Programmed", "gateway/public", "--timeout=180s")
    told: dict[str, Any] = {}

    def done() -> bool:
        ready = 0
        for name in JOBS.values():
            job = DEMO.get("rltj", name)
            status = job.get("status", {})
            shown = (status.get("phase"), status.get("progress", {}).get("percent", 0) // 25)
            if status and told.get(name) != shown:
                told[name] = shown
                time.say(f"{name}: {status.get('phase')} {status.get('progress', {}).get('percent', 0)} %")
            if condition(job, "Stalled").get("status") == "True":
                raise Failed(
                    f"{name}: {condition(job, 'Stalled')['message']} "
                    f"To train anew: kubectl -n {DEMO.name} delete rltj {name}; make demo"
                )
            ready += bool(status.get("publishedPolicy"))
        return ready == len(JOBS)

    DEMO.wait("the training jobs", done, timeout_s=1200)
    for name in JOBS.values():
        status = DEMO.status("rltj", name)
        aggregate = status["aggregate"]
        time.good(
            f"{name}: {aggregate['seeds']} seeds, IQM {aggregate['iqm']:.0f}, best seed {aggregate['best']['seed']} "
            f"with {aggregate['best']['return']:.0f} -> RLPolicy {status['publishedPolicy']}"
        )


def published(which: str) -> str:
    """Return the name of the policy a job published."""
    return DEMO.status("rltj", JOBS[which])["publishedPolicy"]


def start(time: Timeline, policy: str) -> None:
    """Serve the first policy and let users play. A rollout from an earlier demo is begun anew."""
    if DEMO.get("rlr", ROLLOUT):
        DEMO.kubectl("delete", "rlr", ROLLOUT, "--wait")
        time.say("the rollout of an earlier demo is deleted; its policies stay")
    manifest = yaml.safe_load((EXAMPLES / "20-rollout.yaml").read_text())
    manifest["spec"]["policy"]["name"] = policy
    DEMO.apply(manifest)
    narrator = Narrator()

    def healthy() -> bool:
        rollout = DEMO.get("rlr", ROLLOUT)
        for line in narrator.lines(rollout):
            time.say(line)
        return rollout.get("status", {}).get("phase") == "Healthy"

    DEMO.wait("the first policy to serve", healthy, timeout_s=300)
    time.good(f"{policy} serves")
    PLAYERS.start()
    time.say(f"{USERS} users play CartPole through the gateway and report their returns to the logbook")
    DEMO.wait("the first finished episodes", lambda: PLAYERS.totals().get("episodes", 0) >= USERS, timeout_s=180)
    time.good(PLAYERS.sentence())


def judge(time: Timeline, policy: str, *, wanted: str) -> None:
    """Make `policy` the candidate and tell what becomes of it."""
    DEMO.patch("rlr", ROLLOUT, {"spec": {"policy": {"name": policy}}})
    time.say(f"$ kubectl -n {DEMO.name} patch rlr {ROLLOUT} --type=merge -p '{{spec: {{policy: {{name: {policy}}}}}}}'")
    narrator = Narrator()

    def ended() -> dict[str, Any] | None:
        status = (rollout := DEMO.get("rlr", ROLLOUT)).get("status", {})
        for line in narrator.lines(rollout):
            time.say(line)
        return next((entry for entry in status.get("history", [])[::-1] if entry["policy"] == policy), None)

    entry = DEMO.wait(f"the verdict on {policy}", ended, timeout_s=1500)
    (time.good if entry["outcome"] == "Promoted" else time.bad)(f"{policy}: {entry['outcome']}. {entry['message']}")
    if entry["outcome"] == "RolledBack":
        rollback = DEMO.status("rlr", ROLLOUT)["rollback"]
        for name in ("weightZeroAt", "drainedAt"):
            time.say(f"decided -> {name}: {_between(rollback, 'decidedAt', name):.2f} s")
    time.say(PLAYERS.sentence())
    if entry["outcome"] != wanted:
        raise Failed(f"expected {policy} to be {wanted}; look at: kubectl -n {DEMO.name} get rlr {ROLLOUT} -o yaml")


def finish(time: Timeline) -> None:
    """Sum up, and leave the cluster for looking around."""
    events = DEMO.items("events")
    print("\n== Events of the rollout")
    for event in sorted(events, key=lambda event: event.get("lastTimestamp") or event["metadata"]["creationTimestamp"]):
        if event["involvedObject"]["kind"] == "RLRollout":
            print(f"  {event['reason']:<16} {event['message']}")
    time.summary()
    totals = PLAYERS.totals()
    print(f"\nUsers: {PLAYERS.sentence()}")
    DEMO.kubectl("scale", "deployment/players", "--replicas=0")  # or they would keep two cores busy for ever
    print(f"""
Look around (everything stays up; `make cluster-down` takes away what this has brought):
  {_reach()}
  kubectl -n {DEMO.name} get rl
  kubectl -n {DEMO.name} get rlr {ROLLOUT} -o yaml
  kubectl -n {DEMO.name} describe rlr {ROLLOUT}
  kubectl -n {DEMO.name} scale deploy/players --replicas=1      # the users have stopped; this lets them play on
  kubectl -n {SYSTEM} logs deploy/belay-operator --tail 20""")
    if totals.get("failed", 0):
        raise Failed(f"{totals['failed']} decisions failed: there should be none. {totals['errors']}")


def _reach() -> str:
    """What a shell needs to reach the demo's cluster; kubectl may be one that was built here."""
    return f"export KUBECONFIG={os.environ.get('KUBECONFIG', '')} PATH={BIN}:$PATH"


def _between(record: dict[str, Any], begin: str, end: str) -> float:
    return (datetime.fromisoformat(record[end]) - datetime.fromisoformat(record[begin])).total_seconds()


if __name__ == "__main__":
    sys.exit(main())
