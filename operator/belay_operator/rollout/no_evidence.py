"""Reasons of a rollback that are no evidence against the candidate: its digest may be tried again."""

SUPERSEDED = "Superseded"  # the spec names another policy
PODS_GONE = "PodsGone"  # no pod of it was to be had, as when a node is drained
POLICY_DELETED = "PolicyDeleted"  # somebody removed it, or put another one in its place
OTHER_TAKEN_BACK = "OtherTakenBack"  # it was to change together with another rollout's
NO_EVIDENCE = frozenset({SUPERSEDED, PODS_GONE, POLICY_DELETED, OTHER_TAKEN_BACK})
