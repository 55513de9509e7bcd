"""Off-policy estimates beside the truth: six policies on CartPole, judged by logs of another one.

    make bench-training ARGS="ope [--logs N]"

True values are means of played episodes. For each policy: in how many logs it is judged, how far the headline is from
the truth where it is, how often its interval holds, and what each estimator says. About four minutes of one core.

Does not show: continuous actions, long delays, logs of several policies, networks (both sides are softmaxes of four
numbers).
"""

import argparse
import statistics
import sys
from pathlib import Path

import gymnasium
import numpy as np
import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path[:0] = [str(ROOT / room) for room in ("bench", "api", "trainer_image")]

from belay_trainer.datasets.dataset import Dataset  # noqa: E402  found only now
from belay_trainer.ope import ESTIMATORS, Judgement, Logged, judge  # noqa: E402
from ranges import check  # noqa: E402

CAP = 500  # timesteps of CartPole-v1
WRONG = 0.1  # of the true value: a headline that is further off would have misled


class Softmax:
    """See `belay_trainer.ope.TargetPolicy`."""

    choices, stochastic = np.arange(2), True

    def __init__(self, gains: list[float], steepness: float) -> None:
        self._slope = steepness * np.array(gains)

    def probabilities(self, observations: np.ndarray) -> np.ndarray:
        right = 1 / (1 + np.exp(-np.clip(observations @ self._slope, -500, 500)))
        return np.stack([1 - right, right], axis=1)

    def log_propensity(self, observations: np.ndarray, actions: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):
            return np.log(self.probabilities(observations)[np.arange(len(actions)), actions])

    def sample(self, observations: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        return (generator.random(len(observations)) < self.probabilities(observations)[:, 1]).astype(np.int64)


def play(task: str, policy: Softmax, episodes: int, seed: int) -> Dataset:
    """Play episodes side by side, one in each copy; what a copy does after its first one is dropped."""
    copies = gymnasium.make_vec(task, num_envs=episodes, vectorization_mode="vector_entry_point")
    generator = np.random.default_rng([seed, 1])  # of `seed` alone are the numbers that episodes begin with
    seen, _ = copies.reset(seed=seed)
    under_way = np.ones(episodes, dtype=bool)
    terminated, last, columns = np.zeros(episodes, dtype=bool), np.zeros_like(seen), []
    while under_way.any():
        seen = seen.copy()  # the environment writes into its own
        action = policy.sample(seen, generator)
        propensity = np.exp(policy.log_propensity(seen, action))
        after, reward, ended, cut, _ = copies.step(action)
        who = np.flatnonzero(under_way)
        columns.append((who, seen[who], action[who], reward[who], propensity[who]))
        done = under_way & (ended | cut)
        terminated |= under_way & ended
        last[done] = after[done]
        under_way &= ~done
        seen = after
    copies.close()
    episode, observations, actions, rewards, propensities = (
        np.concatenate(column) for column in zip(*columns, strict=True)
    )
    order = np.argsort(episode, kind="stable")
    return Dataset(
        observations=observations[order].astype(np.float64),
        actions=actions[order],
        rewards=rewards[order].astype(np.float64),
        starts=np.concatenate([[0], np.cumsum(np.bincount(episode, minlength=episodes))]),
        terminated=terminated,
        ids=tuple(str(number) for number in range(episodes)),
        propensities=propensities[order],
        last_observations=last.astype(np.float64),
    )


def returns(dataset: Dataset, discount: float) -> np.ndarray:
    """Discounted return of each episode."""
    return np.add.reduceat(dataset.rewards * discount ** dataset.step_of.astype(float), dataset.starts[:-1])


def main() -> int:
    """Judge, print the table, hold it against the bands."""
    load = yaml.safe_load((HERE / "load.yaml").read_text())
    parser = argparse.ArgumentParser(description="off-policy estimates beside the truth")
    parser.add_argument("--logs", type=int, default=load["logs"], help="logs to judge each policy by")
    options = parser.parse_args()

    task, discount = load["task"], load["discount"]
    logging = Softmax(**load["logging"])
    logs = [play(task, logging, load["episodes"], seed) for seed in range(options.logs)]
    measured: dict[str, float] = {}
    wrong = 0
    for name, settings in load["policies"].items():
        policy = Softmax(**settings)
        played = returns(play(task, policy, load["played"], 10_000), discount)
        truth = float(played.mean())
        found = [judge(Logged(log, policy, discount=discount), cap=CAP) for log in logs]
        print(line(name, truth, found), flush=True)
        judged = [one.headline.found for one in found if one.headline and one.headline.found]
        wrong += sum(abs(one.value / truth - 1) > WRONG for one in judged)
        measured[f"{name}.judged"] = len(judged) / len(found)
        if measured[f"{name}.judged"] > 0.5:
            slack = 2 * float(played.std()) / np.sqrt(len(played))  # the truth is a sample as well
            measured[f"{name}.error"] = statistics.mean(abs(one.value / truth - 1) for one in judged)
            measured[f"{name}.covered"] = statistics.mean(
                float(one.low - slack < truth < one.high + slack) for one in judged
            )
    measured["wrong"] = wrong / (len(load["policies"]) * len(logs))
    return check(HERE / "ranges.yaml", measured)


def line(name: str, truth: float, found: list[Judgement]) -> str:
    """Return what each estimator says on average, in how many logs it counts, and its effective episodes."""
    parts = [f"{name:8} truth {truth:5.1f}"]
    for estimator in ESTIMATORS:
        ones = [one for judgement in found for one in judgement.estimates if one.estimator == estimator]
        values = [one.found.value for one in ones if one.found]
        size = statistics.mean(one.effective or 0.0 for one in ones)
        said = f"{statistics.mean(values):.1f}" if values else "-"
        parts.append(f"{estimator} {said} ({len(values)} of {len(ones)}, size {size:.0f})")
    return "   ".join(parts)


if __name__ == "__main__":
    sys.exit(main())
