"""One action space for each head, and outputs that fit it."""

import math
from statistics import NormalDist

import numpy as np

from belay_api.spaces import BoxSpace, DiscreteSpace, MultiBinarySpace, MultiDiscreteSpace, Space
from belay_heads import HEADS, Head, head_of

THREE = DiscreteSpace(n=3, start=5)
TWO_BY_TWO = BoxSpace(shape=[2, 2], dtype="float32", low=[-1.0, 0.0, -2.0, 10.0], high=[1.0, 3.0, 2.0, 20.0])
CHOICES = MultiDiscreteSpace(nvec=[3, 2, 4], start=[0, 5, -1])
SWITCHES = MultiBinarySpace(shape=[2, 2])

FITTING: dict[str, Space] = {
    "logits": THREE,
    "q-values": THREE,
    "choice": THREE,
    "mean": TWO_BY_TWO,
    "gaussian": TWO_BY_TWO,
    "squashed-gaussian": TWO_BY_TWO,
    "multi-categorical": CHOICES,
    "bernoulli": SWITCHES,
    "masked-logits": THREE,
    "masked-multi-categorical": CHOICES,
}
ALL = sorted(HEADS)
STOCHASTIC = [name for name in ALL if head_of(name, FITTING[name]).stochastic]


def one_dimension(low: float | None, high: float | None, *, dtype: str = "float64") -> BoxSpace:
    return BoxSpace(shape=[1], dtype=dtype, low=[low], high=[high])


def some_outputs(head: Head, rows: int, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, head.width)).astype(np.float32)


def furthest_by_chance(draws: int, *, once_in: int = 10_000) -> float:
    """Return how far shares of draws lie from their probabilities in one of so many tests, whatever is drawn.

    The largest distance of the two cumulative functions: Massart, "The tight constant in the Dvoretzky-Kiefer-Wolfowitz
    inequality", Annals of Probability 18 (1990) 1269-1283.
    """
    return math.sqrt(math.log(2 * once_in) / (2 * draws))


def chi_square_by_chance(freedom: int, *, once_in: int = 10_000) -> float:
    """Return what Pearson's chi-square exceeds in one of so many tests, whatever is drawn.

    Source: Wilson, Hilferty, "The distribution of chi-square", PNAS 17 (1931) 684-688: its cube root is nearly normal.
    """
    z, spread = NormalDist().inv_cdf(1 - 1 / once_in), 2 / (9 * freedom)
    return freedom * (1 - spread + z * math.sqrt(spread)) ** 3
