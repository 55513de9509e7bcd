"""Write a log to learn from: a few CartPole episodes of somebody who balances well, many of somebody who does not.

    python3 log.py cartpole.parquet

Runs in the trainer's image, and wherever `belay-trainer` is installed.
"""

import sys

import gymnasium
import numpy as np
from arro3.core import Array, DataType, Table, fixed_size_list_array
from arro3.io import write_parquet

GOOD, BAD = 10, 800  # episodes of each; those of the bad one are short
ERRS = 0.2  # share of actions by chance: what nobody has ever tried cannot be judged

environment = gymnasium.make("CartPole-v1")
generator = np.random.default_rng(0)
rows: dict[str, list] = {name: [] for name in ("episode", "step", "observation", "action", "reward", "terminated",
                                               "truncated", "next_observation")}  # fmt: skip
for episode in range(GOOD + BAD):
    observation, _ = environment.reset(seed=episode)
    step, ended = 0, False
    while not ended:
        cart, speed, angle, turning = observation
        good = int(angle + 0.3 * turning + 0.05 * cart + 0.1 * speed > 0)
        action = good if episode < GOOD else 1 - good
        if generator.random() < ERRS:
            action = int(generator.integers(2))
        following, reward, terminated, truncated, _ = environment.step(action)
        values = (str(episode), step, observation, action, float(reward), terminated, truncated, following)
        for column, value in zip(rows.values(), values, strict=True):
            column.append(value)
        observation, step, ended = following, step + 1, terminated or truncated

columns = {name: np.array(values) for name, values in rows.items() if name != "episode"}
arrays = [Array(rows["episode"], DataType.utf8())]
for values in columns.values():
    flat = Array.from_numpy(np.ascontiguousarray(values).ravel())
    arrays.append(fixed_size_list_array(flat, values.shape[1]) if values.ndim == 2 else flat)
write_parquet(Table.from_arrays(arrays, names=["episode", *columns]), sys.argv[1])
print(f"{len(rows['step'])} timesteps of {GOOD + BAD} episodes")
