"""RLPolicy: one immutable version of a policy, its pods and its Service."""
