"""Pollers that measure: they write facts into the cache and wake rollouts; a decision never waits on them."""
