"""What the logbook says of itself at /metrics."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()

ITEMS = Counter(
    "belay_logbook_items_total",
    "Items of batches by kind (progress, start, outcome, shadow) and result: accepted, malformed, not_finite, forged, "
    "future.",
    ["kind", "result"],
    registry=REGISTRY,
)
REQUEST_SECONDS = Histogram(
    "belay_logbook_request_seconds",
    "Time to answer, by route; long-polls include their wait.",
    ["method", "route", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    registry=REGISTRY,
)
COMMIT_SECONDS = Histogram(
    "belay_logbook_commit_seconds",
    "Time of one durable transaction.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
    registry=REGISTRY,
)
COMMIT_JOBS = Histogram(
    "belay_logbook_commit_requests",
    "Requests that shared one transaction.",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
    registry=REGISTRY,
)
WRITE_FAILURES = Counter(
    "belay_logbook_write_failures_total", "Requests that the disk refused; their senders were told.", registry=REGISTRY
)
STATISTICS_SECONDS = Histogram(
    "belay_logbook_statistics_seconds",
    "Time of one look, without waiting.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
    registry=REGISTRY,
)
TOKEN_REVIEWS = Counter(
    "belay_logbook_token_reviews_total",
    "Questions to the API server by answer: authenticated, refused, unavailable.",
    ["answer"],
    registry=REGISTRY,
)
BLOB_BYTES = Counter(
    "belay_logbook_blob_bytes_total", "Bytes of the store by direction.", ["direction"], registry=REGISTRY
)
WAITING = Gauge("belay_logbook_waiting", "Long-polls under way.", registry=REGISTRY)
