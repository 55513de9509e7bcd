"""Every metric of the operator, in one place, so that the reference page can list them.

Names start with `belay_`. Durations are seconds. Labels have few values: kind, verb, code, reason; never object
names. What the statuses of objects say has those: see `statuses.py`.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)

RECONCILES = Counter(
    "belay_reconciles", "Passes over an object, by kind and how they ended.", ["kind", "result"], registry=REGISTRY
)
RECONCILE_SECONDS = Histogram(
    "belay_reconcile_seconds", "Time of one pass, its writes included.", ["kind"], buckets=_FAST, registry=REGISTRY
)
CHURN = Counter(
    "belay_reconcile_churn",
    "Objects put on back-off because pass after pass found something to write.",
    ["kind"],
    registry=REGISTRY,
)
QUEUE_DEPTH = Gauge("belay_queue_depth", "Keys waiting for a worker.", ["priority"], registry=REGISTRY)
QUEUE_AGE = Gauge("belay_queue_age_seconds", "Age of the key that waits longest.", registry=REGISTRY)
QUEUE_BUSY = Gauge("belay_queue_busy_workers", "Workers with a key in hand.", registry=REGISTRY)
API_CALLS = Counter(
    "belay_api_calls", "Calls to the API server, every try counted.", ["verb", "kind", "code"], registry=REGISTRY
)
API_SECONDS = Histogram(
    "belay_api_call_seconds", "Time to the whole answer of one call.", ["verb"], buckets=_FAST, registry=REGISTRY
)
API_THROTTLED = Counter("belay_api_throttled_seconds", "Time calls waited for our own rate limit.", registry=REGISTRY)
APPLIES_SAVED = Counter(
    "belay_applies_saved", "Applies left out because the object is already as wanted.", ["kind"], registry=REGISTRY
)
CACHE_OBJECTS = Gauge("belay_cache_objects", "Objects in the cache.", ["kind"], registry=REGISTRY)
ALARMS = Gauge(
    "belay_alarms",
    "Objects at which a condition stands that is an alarm: Degraded (stable does worse than when it was promoted), "
    "Unwatched (nobody would see if it did) or SampleRatio (episodes do not begin where the weights send them).",
    ["kind", "condition"],
    registry=REGISTRY,
)
WATCH_EVENTS = Counter("belay_watch_events", "Events from the watches, echoes included.", ["kind"], registry=REGISTRY)
WATCH_MISSED = Counter(
    "belay_watch_missed",
    "Changes and deletions that only a resync found: the watch had lost them.",
    ["kind"],
    registry=REGISTRY,
)
SOURCE_FAILURES = Counter(
    "belay_source_failures",
    "Times a poller ended by an exception and was started again.",
    ["source"],
    registry=REGISTRY,
)
EVENTS_DROPPED = Counter("belay_events_dropped", "Kubernetes Events that could not be posted.", registry=REGISTRY)
NOTIFICATIONS = Counter(
    "belay_notifications",
    "Notifications by receiver, and what became of them: sent; failed, a try that is repeated; lost because refused, "
    "expired after a day, or dropped because too many waited.",
    ["receiver", "result"],
    registry=REGISTRY,
)
NOTIFICATIONS_WAITING = Gauge(
    "belay_notifications_waiting", "Notifications that are not sent yet.", ["receiver"], registry=REGISTRY
)
LOOP_LAG = Gauge("belay_loop_lag_seconds", "Delay of the event loop, last measured.", registry=REGISTRY)
LEADING = Gauge("belay_leading", "1 while this process holds the Lease.", registry=REGISTRY)
FIRST_SYNC = Gauge("belay_first_sync_seconds", "Time from the start of leading to a complete cache.", registry=REGISTRY)


def exposition() -> bytes:
    """Return all metrics in the Prometheus text format."""
    return generate_latest(REGISTRY)
