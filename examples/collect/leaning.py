"""A controller of one's own: push to where the pole leans, or is about to."""


def stand_up(observation):
    """Return the action for one observation of CartPole: 0 pushes to the left, 1 to the right."""
    return int(observation[2] + 0.5 * observation[3] > 0)
