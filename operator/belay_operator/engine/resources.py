"""The kinds the operator reads or writes: where the API server keeps them, and which of them are cached.

A fixed table instead of discovery: the operator touches a dozen kinds, and a table cannot be slow, stale or absent at
start. HTTPRoute and RLProgression may be missing in a cluster; it is asked once, and `Reader.serves` tells the kinds.
"""

from dataclasses import dataclass
from datetime import timedelta

from belay_api import names

MANAGED_SELECTOR = f"{names.MANAGED_BY_LABEL}={names.MANAGED_BY}"
"""Server-side: other people's Jobs and Pods never reach this process."""


WITHIN = timedelta(seconds=30)
SOON = timedelta(seconds=5)
"""For what a rollback writes first. A webhook of the cluster that takes longer is one that a rollback cannot wait for
either, and workers that wait for it do nothing else."""
BEYOND_WEBHOOKS = timedelta(seconds=12)  # a webhook has ten seconds by default


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind as the API server serves it."""

    kind: str
    group: str  # "" for the core group
    version: str
    plural: str
    cached: bool = False  # listed, watched and kept in the cache
    selector: str | None = None  # label selector of list and watch; None: all objects of the kind
    optional: bool = False  # a cluster may not serve it
    within: timedelta = WITHIN  # time limit of one try of a call about one object

    @property
    def api_version(self) -> str:
        """Return what stands in an object's apiVersion."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def base(self) -> str:
        """Return the path below which the kind's group is served."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def path(self, namespace: str | None, name: str | None = None, subresource: str | None = None) -> str:
        """Return the URL path of a collection, an object or its subresource; namespace None: all namespaces."""
        parts = [self.base]
        if namespace is not None:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        parts += [part for part in (name, subresource) if part is not None]
        return "/".join(parts)


_OURS = [
    Resource("RLTrainingJob", names.GROUP, names.VERSION, "rltrainingjobs", cached=True),
    Resource("RLPolicy", names.GROUP, names.VERSION, "rlpolicies", cached=True, within=SOON),
    Resource("RLRollout", names.GROUP, names.VERSION, "rlrollouts", cached=True, within=SOON),
]
_READ = [
    # Optional: an operator that is newer than the CRDs of its cluster works on.
    Resource("RLProgression", names.GROUP, names.VERSION, "rlprogressions", cached=True, optional=True),
]
_CHILDREN = [
    Resource("Job", "batch", "v1", "jobs", cached=True, selector=MANAGED_SELECTOR),
    Resource("Pod", "", "v1", "pods", cached=True, selector=MANAGED_SELECTOR),
    Resource("Deployment", "apps", "v1", "deployments", cached=True, selector=MANAGED_SELECTOR, within=BEYOND_WEBHOOKS),
    # The API server gives Services their addresses one after the other, to those as well whose client has gone: whoever
    # gives up before its turn and asks again only makes the line longer (fault 149).
    Resource("Service", "", "v1", "services", cached=True, selector=MANAGED_SELECTOR, within=WITHIN),
    # Those of a rollout's Service: ours, and the ones Kubernetes makes, which take over the Service's labels. Each
    # policy's Service has some as well, which say nothing that its pods do not.
    Resource(
        "EndpointSlice",
        "discovery.k8s.io",
        "v1",
        "endpointslices",
        cached=True,
        selector=f"{MANAGED_SELECTOR},{names.ROLLOUT_LABEL}",
        within=SOON,
    ),
    Resource(
        "HTTPRoute",
        "gateway.networking.k8s.io",
        "v1",
        "httproutes",
        cached=True,
        selector=MANAGED_SELECTOR,
        optional=True,
        within=SOON,
    ),
]
_WRITTEN_ONLY = [
    Resource("ConfigMap", "", "v1", "configmaps"),
    Resource("Secret", "", "v1", "secrets"),
    Resource("Event", "", "v1", "events"),
    Resource("Lease", "coordination.k8s.io", "v1", "leases"),
]

OURS = tuple(resource.kind for resource in _OURS)
RESOURCES = {resource.kind: resource for resource in (*_OURS, *_READ, *_CHILDREN, *_WRITTEN_ONLY)}
CACHED = tuple(resource for resource in RESOURCES.values() if resource.cached)

PARENT_LABELS = {
    names.TRAINING_JOB_LABEL: "RLTrainingJob",
    names.POLICY_LABEL: "RLPolicy",
    names.JUDGED_POLICY_LABEL: "RLPolicy",
    names.ROLLOUT_LABEL: "RLRollout",
}
"""Label -> kind of the object it names: Pods belong to a Job or ReplicaSet and find who made that by label."""

INDEXED_LABELS = (*PARENT_LABELS, names.FAMILY_LABEL)


def resource_of(kind: str) -> Resource:
    """Return the table's entry. Raises: KeyError for a kind the operator never touches (a bug in a plan)."""
    try:
        return RESOURCES[kind]
    except KeyError:
        raise KeyError(f"{kind} is not in engine/resources.py: the operator neither reads nor writes it") from None
