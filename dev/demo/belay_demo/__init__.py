"""`make demo`: the whole life of a policy on a real cluster, told as a timeline. Nothing in it is pre-recorded."""
