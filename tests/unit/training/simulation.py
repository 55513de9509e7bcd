"""The Job controller and the kubelet, as far as a training job can tell: they start, end and remove pods."""

from dataclasses import dataclass, field
from typing import Any

from tests.unit.training.given import NAME, heartbeat, pod, report, training_job
from tests.world import START, World, key_of

from belay_operator.training.observe import KIND

JOB = ("Job", "default", f"{NAME}-a1")
CHILD = f"{NAME}-a1"
Json = dict[str, Any]


@dataclass
class Cluster:
    """One training job, its operator, and the rest of the cluster."""

    returns: list[float]  # what each seed will report
    required: int
    retries: int = 1
    world: World = field(init=False)
    lives: dict[int, int] = field(default_factory=dict)  # pods so far by index
    failures: dict[int, int] = field(default_factory=dict)
    edits: int = 0

    def __post_init__(self) -> None:
        self.world = World(
            [
                training_job(
                    {
                        "seeds": {"count": len(self.returns), "required": self.required},
                        "failure": {"retriesPerSeed": self.retries},
                        "publish": {"family": "cartpole"},
                    }
                )
            ]
        )
        self.key = key_of(self.world.objects["RLTrainingJob", "default", NAME])

    # --- the operator -------------------------------------------------------------------------------------------------
    def look(self, effects: int | None = None) -> None:
        """One pass, which may die after some effects."""
        self.world.reconcile(KIND, self.key, now=START, effects=effects)

    @property
    def status(self) -> Json:
        status: Json = self.world.objects["RLTrainingJob", "default", NAME].get("status", {})
        return status

    # --- the world ----------------------------------------------------------------------------------------------------
    def start(self, index: int) -> None:
        job = self.world.objects.get(JOB)
        if job is None or self._ended(job) or job["spec"]["suspend"] or self._pod(index, "Running"):
            return
        if index in self._indexes("completedIndexes") | self._indexes("failedIndexes"):
            return
        life = self.lives[index] = self.lives.get(index, -1) + 1
        self.world.put(
            pod(index, life=life, failures=self.failures.get(index, 0), owner=job["metadata"]["uid"]), now=START
        )

    def beat(self, index: int) -> None:
        if self._pod(index, "Running"):
            facts = self.world.facts.setdefault(("progress", "default", NAME), {})
            step = 100 * (self.lives[index] + 1)
            found = {"reason": "PolicyJumps", "message": f"Seen at timestep {step}.", "advice": "Lower learning_rate."}
            facts[index] = heartbeat(index, step, findings=[found] if index else None)

    def succeed(self, index: int) -> None:
        if self._end(index, "Succeeded", report=report(index, self.returns[index])):
            self._add("completedIndexes", index)

    def fail(self, index: int) -> None:
        if self._end(index, "Failed", exit=1):
            self.failures[index] = self.failures.get(index, 0) + 1
            if self.failures[index] > self.retries:
                self._add("failedIndexes", index)

    def judge(self, index: int = 0) -> None:
        """The Job controller ends the Job once it can."""
        job = self.world.objects.get(JOB)
        if job is None or self._ended(job):
            return
        done, failed = self._indexes("completedIndexes"), self._indexes("failedIndexes")
        if len(done) >= self.required:
            self._condition("Complete", "")
        elif len(failed) > len(self.returns) - self.required:
            self._condition("Failed", "MaxFailedIndexesExceeded")

    def toggle(self, index: int) -> None:
        """The user suspends or resumes; the Job controller deletes the pods of a suspended Job."""
        spec = self.world.objects["RLTrainingJob", "default", NAME]["spec"]
        self.world.patch("RLTrainingJob", NAME, {"spec": {"suspend": not spec.get("suspend", False)}})
        job = self.world.objects.get(JOB)
        for one in range(len(self.returns)):
            if job is not None and job["spec"]["suspend"] and (running := self._pod(one, "Running")):
                self.world.remove("Pod", running["metadata"]["name"])

    def edit(self, index: int) -> None:
        """The user gives a suspended job more memory; with seed 0 in the change that resumes it."""
        spec = self.world.objects["RLTrainingJob", "default", NAME]["spec"]
        if spec.get("suspend"):
            self.edits += 1
            resources = {"requests": {"memory": f"{self.edits}Gi"}}
            suspend = {"suspend": False} if index == 0 else {}
            self.world.patch("RLTrainingJob", NAME, {"spec": {"runtime": {"resources": resources}, **suspend}})

    def reap(self, index: int) -> None:
        """The pod of a seed is removed once its report was read: by a full node, or by hand."""
        seeds = self.status.get("seeds", [])
        if index < len(seeds) and "artifact" in seeds[index] and (pod := self._pod(index, "Succeeded")):
            self.world.remove("Pod", pod["metadata"]["name"])

    def delete_job(self, index: int) -> None:
        """Somebody deletes the Job; its pods go with it."""
        if JOB in self.world.objects:
            self.world.remove("Job", CHILD)
            self.lives.clear()
            self.failures.clear()

    def finish(self) -> None:
        """Let everything that still can come to its end, with an operator that lives."""
        for _ in range(8):
            self.look()
            if self.world.objects["RLTrainingJob", "default", NAME]["spec"].get("suspend"):
                self.toggle(0)
            self.look()
            for index in range(len(self.returns)):
                self.start(index)
                self.succeed(index)
            self.look()
            self.judge()
            self.look()
        self.world.settle(KIND, self.key)

    # --- private ------------------------------------------------------------------------------------------------------
    def _pod(self, index: int, phase: str) -> Json | None:
        found = self.world.objects.get(("Pod", "default", f"{CHILD}-{index}-{self.lives.get(index, 0)}"))
        return found if found is not None and found["status"]["phase"] == phase else None

    def _end(self, index: int, phase: str, **how: Any) -> bool:
        running = self._pod(index, "Running")
        if running is None:
            return False
        owner = running["metadata"]["ownerReferences"][0]["uid"]
        count = self.failures.get(index, 0)
        self.world.put(pod(index, phase, life=self.lives[index], failures=count, owner=owner, **how))
        return True

    def _indexes(self, which: str) -> set[int]:
        text = self.world.objects[JOB].get("status", {}).get(which, "")
        return {int(part) for part in text.split(",") if part}

    def _add(self, which: str, index: int) -> None:
        text = ",".join(map(str, sorted(self._indexes(which) | {index})))
        self.world.patch("Job", CHILD, {"status": {which: text}})

    def _ended(self, job: Json) -> bool:
        return bool(job.get("status", {}).get("conditions"))

    def _condition(self, kind: str, reason: str) -> None:
        said = {"type": kind, "status": "True", "reason": reason, "lastTransitionTime": "2026-05-04T09:30:00Z"}
        self.world.patch("Job", CHILD, {"status": {"conditions": [said]}})
