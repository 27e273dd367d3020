"""The drift detector: its false alarms are as stated, and it sees both kinds of change."""

import math

import numpy as np

from rondel.monitoring.detectors.mean_embedding import MeanEmbedding
from rondel.monitoring.ports import DRIFT_DETECTORS, Vectors

DETECTOR = MeanEmbedding(permutations=199)


def texts(rng: np.random.Generator, n: int, topics: Vectors, shares: list[float]) -> Vectors:
    """Points around topics on the sphere, as embeddings of texts lie."""
    chosen = topics[rng.choice(len(topics), n, p=shares)]
    rows = chosen + 0.2 * rng.normal(size=chosen.shape)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def topics(rng: np.random.Generator, n: int) -> Vectors:
    rows = rng.normal(size=(n, 32))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


SHARES = [0.4, 0.3, 0.2, 0.1, 0.0]


def test_false_alarms_are_as_many_as_stated() -> None:
    rng = np.random.default_rng(3)
    known = topics(rng, 5)
    alarms = 0
    for seed in range(200):
        reference, window = texts(rng, 200, known, SHARES), texts(rng, 60, known, SHARES)
        alarms += DETECTOR.compare(reference, window, seed=seed).p_value <= 0.05
    assert alarms / 200 <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 200)


def test_a_surge_of_a_known_topic_is_seen_by_the_mean() -> None:
    rng = np.random.default_rng(4)
    known = topics(rng, 5)
    found = 0
    for seed in range(20):
        reference = texts(rng, 400, known, SHARES)
        window = texts(rng, 100, known, [0.15, 0.15, 0.2, 0.5, 0.0])
        found += DETECTOR.compare(reference, window, seed=seed).p_value <= 0.05
    assert found >= 19


def test_a_new_topic_is_seen_and_its_inputs_are_named() -> None:
    rng = np.random.default_rng(5)
    known = topics(rng, 5)
    found, named = 0, 0
    for seed in range(20):
        reference = texts(rng, 400, known, SHARES)
        window = np.concatenate([texts(rng, 88, known, SHARES), texts(rng, 12, known, [0.0, 0.0, 0.0, 0.0, 1.0])])
        drift = DETECTOR.compare(reference, window, seed=seed)
        found += drift.p_value <= 0.05
        named += sum(index >= 88 for index in drift.strange[:5])
    assert found >= 18
    assert named >= 80


def test_the_same_inputs_give_the_same_answer_and_doubled_texts_are_no_drift() -> None:
    rng = np.random.default_rng(6)
    known = topics(rng, 5)
    reference = texts(rng, 100, known, SHARES)
    again = DETECTOR.compare(reference, reference[:50], seed=1)
    assert again == DETECTOR.compare(reference, reference[:50], seed=1)
    same = np.repeat(reference[:1], 60, axis=0)
    assert DETECTOR.compare(np.repeat(reference[:1], 90, axis=0), same, seed=2).p_value > 0.05


def test_it_is_chosen_by_name() -> None:
    assert DRIFT_DETECTORS.get("mean_embedding") is MeanEmbedding
