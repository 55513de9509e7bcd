"""The engine under every kind: queue, cache, client, executor, election, pollers."""
