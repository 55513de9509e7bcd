"""What a spec puts around an environment: wrappers, draws for each episode, costs, and the reward that is learned from.

    environment of the id → wrappers → draws for each episode    the task: trained, measured and served in
    → count of returns → costs → reward that is learned from     the copies that experience is collected in, alone

So evaluations, gates and serving see the task, and every return that is told is the task's.
"""
