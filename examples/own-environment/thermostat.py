"""A room is to be 20 °C, and the heater is on or off: an environment of one's own, in one file.

A day has 96 timesteps of a quarter of an hour. It is cold outside, more so at night, and heat leaks out.
"""

import math

import gymnasium
import numpy as np
from gymnasium import spaces

WANTED = 20.0  # °C
HEATER = 1.5  # °C it adds in a quarter of an hour
LEAK = 0.05  # share of the difference to the outside that is lost in that time
COLD = 18.0  # °C below which people put a coat on
PRICE = 0.1  # of a quarter of an hour's heating, in °C of comfort


class Thermostat(gymnasium.Env):
    """The reward is minus the distance to 20 °C, at most 10, and minus what heating costs."""

    observation_space = spaces.Box(-60.0, 60.0, (3,), np.float32)  # inside, outside, hours until midnight
    action_space = spaces.Discrete(2)  # 0: off, 1: on

    def __init__(self, leak=LEAK):
        self.leak = leak

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.quarter = 0
        self.mean_outside = self.np_random.uniform(-10.0, 10.0)
        self.inside = self.np_random.uniform(10.0, 25.0)
        return self._observation(), {}

    def step(self, action):
        self.inside += HEATER * float(action) - self.leak * (self.inside - self._outside())
        self.quarter += 1
        reward = -min(abs(self.inside - WANTED), 10.0) - PRICE * float(action)
        told = {"cold": float(self.inside < COLD), "heating": float(action)}
        return self._observation(), reward, False, self.quarter == 96, told

    def _outside(self):
        return self.mean_outside - 5.0 * math.cos(2 * math.pi * self.quarter / 96)

    def _observation(self):
        return np.array([self.inside, self._outside(), 24.0 - self.quarter / 4], np.float32)


def comfort(observation):
    """How near the room is to 20 °C, as a potential; of the latest of several stacked observations."""
    return -abs(float(observation[-3]) - WANTED)


def put(room, observation):
    """Put the room where it was seen, for `belay-trainer fit-simulator --state thermostat:put`."""
    room.inside, outside, left = map(float, observation)
    room.quarter = round(96 - 4 * left)
    room.mean_outside = outside + 5.0 * math.cos(2 * math.pi * room.quarter / 96)


gymnasium.register(id="Thermostat-v0", entry_point=Thermostat, max_episode_steps=96)
