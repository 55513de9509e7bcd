"""What only Events tell about the Jobs that pods of the trainer belong to: a poller for each sort of words.

`creation.py` says why a Job's pods cannot be made, `starting.py` why they cannot start. A fact is filed under the name
of the Job, whoever made it, and wakes who did.
"""
