"""How many requests has the API server been asked to change something with, by whoever asked?

Its own metric counts every client: the controller under measurement, its plugins, the controller manager, the
scheduler, kwok and the user. Every try counts, refused ones too. Leases do not: they are renewed by the clock.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

METRIC = "apiserver_request_total{"
VERBS = frozenset({"POST", "PUT", "PATCH", "DELETE", "APPLY", "DELETECOLLECTION"})
BY_THE_CLOCK = frozenset({"leases"})
LABEL = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True, slots=True)
class Mutations:
    """Requests so far, by verb and resource (with its subresource)."""

    counts: Mapping[str, float] = field(default_factory=dict)

    @property
    def events(self) -> float:
        """Of them, those of Events."""
        return sum(count for name, count in self.counts.items() if name.split()[1] == "events")

    @property
    def others(self) -> float:
        """All but Events."""
        return sum(self.counts.values()) - self.events

    def since(self, before: "Mutations") -> "Mutations":
        """Return what has come after `before`."""
        later = {name: count - before.counts.get(name, 0) for name, count in self.counts.items()}
        return Mutations({name: count for name, count in later.items() if count})

    def table(self, size: int) -> str:
        """Return one line a verb and resource, the most frequent first, as requests for each of `size` objects."""
        rows = sorted(self.counts.items(), key=lambda row: -row[1])
        return "\n".join(f"  {count / size:7.2f}  {name}" for name, count in rows)


def parse(metrics: str) -> Mutations:
    """Read the API server's metrics in Prometheus' text format."""
    counts: Counter[str] = Counter()
    for line in metrics.splitlines():
        if not line.startswith(METRIC):
            continue
        labels, _, value = line.rpartition(" ")
        found = dict(LABEL.findall(labels))
        if found["verb"] not in VERBS or found["resource"] in BY_THE_CLOCK or found.get("dry_run"):
            continue
        subresource = f"/{found['subresource']}" if found["subresource"] else ""
        counts[f"{found['verb']} {found['resource']}{subresource}"] += float(value)
    return Mutations(counts)
