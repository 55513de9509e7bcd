"""Tell people, and the systems they use, what happens to their policies: over HTTP, at least once.

    statuses ──told/──▶ ledger (a ConfigMap) ──▶ one queue a receiver ──formats/──▶ receiver

What to tell follows from statuses alone, as decisions do, so an operator that dies right after a decision leaves what
the next one tells. It is written into the ledger before it is sent and taken out after it: who dies in between sends
the same event again, with the same id. No pass waits for any of it, and one receiver waits for no other.
"""
