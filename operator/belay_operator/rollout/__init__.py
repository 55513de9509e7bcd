"""RLRollout: which policy serves a route, and the way from one policy to the next."""
