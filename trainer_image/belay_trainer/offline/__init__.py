"""Learning from logged episodes: all that such a training has in the place of an environment.

data.py       the episodes, split, and the spaces they were logged in
replay.py     logged episodes walked through, where something has to be shown to a network
held_out.py   what a policy is worth by episodes that were held back
from_dataset.py   what measuring and exporting ask of such a learner
policy.py     a network under training as the policy that would be served
floor.py      how a policy compares with behaviour cloning

The algorithms are in `learners`, estimators in `ope`. Guide: `docs/guides/offline.md`; why it is so: decision 041.
"""
