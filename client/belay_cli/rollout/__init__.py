"""`kubectl belay rollout NAME`: one RLRollout for the person on call, as its status tells it."""
