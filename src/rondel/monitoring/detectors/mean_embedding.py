"""Mean-embedding distance and novelty share, both with exact p-values, combined."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rondel.monitoring.ports import Drift, Vectors


@dataclass(frozen=True)
class MeanEmbedding:
    """Sees a surge of known topics by the mean, and a new topic by its distance from all that is known.

    The distance of the means is tested by permutation; the novelty share counts how many of the strangest inputs,
    strangeness being the distance to the k-th nearest of one half of the reference, come from the window and not from
    the other half. Each is blind to what the other sees, so both run at half the false-alarm rate (Bonferroni).
    Exact when reference and window are exchangeable.

    Source: Phipson, Smyth: Permutation p-values should never be zero. SAGMB 9 (2010), section 2; the hypergeometric
    test of exchangeable scores is Fisher's exact test.
    """

    permutations: int = 499
    neighbours: int = 5
    strange_share: float = 0.05

    def compare(self, reference: Vectors, window: Vectors, *, seed: int) -> Drift:
        """As the port says."""
        rng = np.random.default_rng(seed)
        distance, distance_p = self._distance(reference, window, rng)
        order = rng.permutation(len(reference))
        half = len(reference) // 2
        known, other = reference[order[:half]], reference[order[half:]]
        strangeness = _strangeness(known, window, self.neighbours)
        novel, expected, novelty_p = self._novelty(_strangeness(known, other, self.neighbours), strangeness, rng)
        sentence = (
            f"{len(window)} inputs against {len(reference)} before: mean moved by {distance:.3f} (p {distance_p:.3g}), "
            f"{novel} unlike anything known where {expected:.1f} are expected (p {novelty_p:.3g})"
        )
        strange = tuple(int(index) for index in np.argsort(-strangeness, kind="stable")[:10])
        return Drift(min(1.0, 2 * min(distance_p, novelty_p)), sentence, strange)

    def _distance(self, reference: Vectors, window: Vectors, rng: np.random.Generator) -> tuple[float, float]:
        """Norm of the difference of the means, and its permutation p-value; all permutations are one product."""
        n, m = len(reference), len(window)
        pooled = np.concatenate([reference, window])
        total = pooled.sum(axis=0)
        chosen = np.zeros((self.permutations + 1, n + m), dtype=np.float32)
        chosen[0, n:] = 1
        for row in chosen[1:]:
            row[rng.permutation(n + m)[:m]] = 1
        sums = chosen @ pooled
        distances = np.linalg.norm(sums / m - (total - sums) / n, axis=1)
        as_far = int((distances[1:] >= distances[0] - 1e-9).sum())
        return float(distances[0]), (1 + as_far) / (1 + self.permutations)

    def _novelty(
        self, other: NDArray[np.float32], window: NDArray[np.float32], rng: np.random.Generator
    ) -> tuple[int, float, float]:
        """How many of the strangest come from the window, how many would by chance, and how likely so many are."""
        scores = np.concatenate([other, window])
        is_window = np.arange(len(scores)) >= len(other)
        mixed = rng.permutation(len(scores))  # ties are broken by chance
        strangest = mixed[np.argsort(-scores[mixed], kind="stable")][: math.ceil(self.strange_share * len(scores))]
        count = int(is_window[strangest].sum())
        expected = len(strangest) * len(window) / len(scores)
        return count, expected, _hypergeometric_tail(count, len(strangest), len(window), len(scores))


def _strangeness(known: Vectors, rows: Vectors, neighbours: int) -> NDArray[np.float32]:
    """Cosine distance to the k-th nearest row of `known`."""
    k = min(neighbours, len(known))
    similar = rows @ known.T
    return 1 - np.partition(similar, -k, axis=1)[:, -k]


def _hypergeometric_tail(count: int, drawn: int, marked: int, total: int) -> float:
    """The chance of `count` or more marked ones among `drawn` out of `total`, `marked` of which are marked."""

    def choose(n: int, k: int) -> float:
        return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)

    most = min(drawn, marked)
    least = max(count, drawn - (total - marked))
    terms = (
        math.exp(choose(marked, i) + choose(total - marked, drawn - i) - choose(total, drawn))
        for i in range(least, most + 1)
    )
    return min(1.0, math.fsum(terms)) if count > 0 else 1.0
