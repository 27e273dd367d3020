from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

class _Interval:
    low: float
    high: float

class _BinomTest:
    pvalue: float
    def proportion_ci(self, confidence_level: float = 0.95, method: str = "exact") -> _Interval: ...

class _Bootstrap:
    confidence_interval: _Interval

class _Permutation:
    pvalue: float

class _Continuous:
    def cdf(self, x: float, *shapes: float) -> float: ...
    def ppf(self, q: float, *shapes: float) -> float: ...

class _Discrete:
    def sf(self, k: float, *shapes: float) -> float: ...
    def cdf(self, k: float, *shapes: float) -> float: ...

t: _Continuous
beta: _Continuous
norm: _Continuous
binom: _Discrete

def binomtest(k: int, n: int, p: float = 0.5) -> _BinomTest: ...
def bootstrap(
    data: tuple[NDArray[np.float64]],
    statistic: Callable[..., object],
    *,
    n_resamples: int = 9999,
    method: str = "BCa",
    rng: int = ...,
) -> _Bootstrap: ...
def permutation_test(
    data: tuple[NDArray[np.float64]],
    statistic: Callable[..., object],
    *,
    permutation_type: str,
    n_resamples: int = 9999,
    rng: int = ...,
) -> _Permutation: ...
