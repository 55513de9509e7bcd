"""The engine under every kind. Its words beside those of controller-runtime:

informer     `watch.py` (kopf) and `resync.py` fill `Cache`, the store with its indexes; `Kind.related` maps to keys
predicate    `Cache.put` drops echoes and older versions; `Debounce` delays a status that nobody acts on
workqueue    `WorkQueue`: keys, a `Priority` for each, not-before times; its AddAfter is `requeue_at`
controller   `Queue`: the workers, the rate limiter (`backoff`), and the episodes of trouble; its Enqueue is `wake`
reconciler   `Reconciler`: observe, decide (pure: a `Plan`), execute; answers a `Result` (requeue, requeue_after)
client       `Client`; `Executor` applies the owned children server-side, `Drift` leaves out what would change nothing
"""
