"""Controllers as people write them, for `belay-trainer import rules:...`."""

import math
import random

import numpy as np

K = np.array([0.5, 1.0, 20.0, 3.0])
CALLS = [0]
PLAN = [3, 0, 2, 1, 1, 0, 2, 3]


def steer(observation):
    """Hold the pole: a rule with a branch."""
    _, _, angle, velocity = observation
    return 1 if angle + 0.3 * velocity > 0 else 0


def steer_linearly(observation):
    return int(K @ observation > 0)


def steer_carefully(observation):
    """Many branches, loops and helpers."""
    x, v, angle, spin = observation
    pushes = [0.1 * x + 0.2 * v, 10 * angle + 2.0 * spin]
    total = sum(push for push in pushes if not -0.01 < push < 0.01)
    if abs(x) > 2 and (angle < 0) != (x < 0):
        return int(x < 0)
    return int(max(total, -5.0) > 0)


def swing(observation):
    """Pendulum by energy and a PD rule near the top."""
    cos, sin, speed = observation
    angle = np.arctan2(sin, cos)
    if cos > 0.9:
        return np.array([np.clip(-10 * angle - 2 * speed, -2.0, 2.0)])
    energy = 0.5 * speed**2 + 10 * (cos - 1) / 2
    return [-energy * speed]


def wrapped(observation):
    """Angles brought between -pi and pi; numpy's functions; a constant on one path."""
    angle = (observation[0] * 5 + np.pi) % (2 * np.pi) - np.pi
    if np.sqrt(abs(observation[1])) > 1.5:
        return [0.25]
    return [np.tanh(angle) + np.exp(-(observation[1] ** 2)) - np.floor(observation[0])]


def through_rooms(room):
    return PLAN[room]


def raises_far_out(observation):
    if observation[0] > 1000:
        raise ValueError("that far out nobody knows")
    return int(observation[2] > 0)


def raises(observation):
    raise RuntimeError("out of order")


def by_chance(observation):
    return int(observation[0] > random.random())


def with_memory(observation):
    CALLS[0] += 1
    return CALLS[0] % 2


def with_math(observation):
    return int(math.sin(observation[2]) > 0)


def as_float(observation):
    return int(float(observation[2]) > 0)


def too_many(observation):
    return [0, 1]


def out_of_range(observation):
    return 7 if observation[0] > 0 else 1


def half(observation):
    return 0.5


def in_words(observation):
    return "left"


def without_end(observation):
    x = observation[0]
    while x != 0:
        x = x / 2
    return 0


def in_all_directions(observation):
    return sum(int(number > step / 10) for number in observation for step in range(10)) % 2


not_a_function = 3
