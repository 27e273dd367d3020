"""Which examples to show a model: few, diverse, and together covering the labels."""

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from rondel.datasets.models import Example, is_list, is_object
from rondel.datasets.near import jaccard, shingles
from rondel.datasets.schema import enumerated_fields, schema_from_examples

LENGTH_WEIGHT = 0.15  # how much an input of the median length costs, beside 1 for the first cover of a label
DIVERSITY_WEIGHT = 0.5


def choose_examples(
    train: Sequence[Example], k: int, *, seed: int = 0, embeddings: NDArray[np.float32] | None = None
) -> tuple[Example, ...]:
    """`k` examples with a known answer, greedily: new labels first, then unlike those chosen, then short.

    What is covered: each value of an enumerated field and null (of a string answer: each label), and for free fields
    "given" and "null". The n-th cover of the same thing counts 1/2^n, weighted by the square root of its frequency, so
    frequent labels come first when k is small. Unlikeness is one minus the largest cosine similarity of `embeddings`
    (rows of `train`, L2-normalised), or of shingle overlap without them. `seed` breaks ties. The same arguments always
    give the same choice.
    """
    known = [position for position, example in enumerate(train) if example.expected is not None]
    if not known or k <= 0:
        return ()
    facets = _facets([train[position].expected for position in known])
    frequency = Counter(facet for each in facets for facet in each)
    lengths = np.array([len(msgspec.json.encode(train[position].input)) for position in known], dtype=np.float64)
    lengths /= max(float(np.median(lengths)), 1.0)
    ties = np.random.default_rng(seed).random(len(known)) * 1e-6
    likeness = _Likeness(train, known, embeddings)
    nearest = np.zeros(len(known))
    covered: Counter[str] = Counter()
    chosen: list[int] = []
    for _ in range(min(k, len(known))):
        gains = np.array(
            [sum((frequency[f] / len(known)) ** 0.5 / 2 ** covered[f] for f in each) for each in facets],
            dtype=np.float64,
        )
        worth = gains + DIVERSITY_WEIGHT * (1 - nearest) - LENGTH_WEIGHT * lengths + ties
        worth[chosen] = -np.inf
        best = int(np.argmax(worth))
        chosen.append(best)
        covered.update(facets[best])
        nearest = np.maximum(nearest, likeness.to(best))
    return tuple(train[known[index]] for index in chosen)


class _Likeness:
    """How like one example the others are, 0 to 1."""

    def __init__(self, train: Sequence[Example], known: Sequence[int], embeddings: NDArray[np.float32] | None) -> None:
        self._vectors = None if embeddings is None else embeddings[np.asarray(known)]
        self._pieces = [] if embeddings is not None else [shingles(text_of(train[p].input)) for p in known]

    def to(self, index: int) -> NDArray[np.float64]:
        if self._vectors is not None:
            return np.clip(self._vectors @ self._vectors[index], 0, 1).astype(np.float64)
        return np.array([jaccard(pieces, self._pieces[index]) for pieces in self._pieces])


def _facets(expected: Sequence[object]) -> list[frozenset[str]]:
    schema = schema_from_examples(expected)
    closed = enumerated_fields(schema)
    is_labels = "enum" in schema
    return [_facets_of(value, closed, is_labels) for value in expected]


def _facets_of(value: object, closed: Mapping[str, tuple[object, ...]], is_labels: bool) -> frozenset[str]:
    if is_object(value):
        found: set[str] = set()
        for name in {**closed, **value}:
            field = value.get(name)
            shown = msgspec.json.encode(field).decode() if name in closed or field is None else "given"
            found.add(f"{name}={shown}")
        return frozenset(found)
    return frozenset({f"={value}"} if is_labels else {"=given"})


def text_of(value: object) -> str:
    """All the text in a JSON value, in order, a line each: what is compared, embedded and searched."""
    if isinstance(value, str):
        return value
    if is_object(value):
        return "\n".join(filter(None, (text_of(part) for part in value.values())))
    if is_list(value):
        return "\n".join(filter(None, (text_of(part) for part in value)))
    return "" if value is None else str(value)
