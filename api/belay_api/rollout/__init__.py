"""RLRollout: which policy serves a route, and how a change of policy is brought about or taken back."""
