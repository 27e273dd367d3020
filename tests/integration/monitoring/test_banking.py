"""Drift on real text: bank customers' messages, when the data set is on this machine."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from rondel.chat import Embedder
from rondel.monitoring.detectors.mean_embedding import MeanEmbedding
from rondel.monitoring.ports import Vectors
from rondel.plugins import Plugins
from tests.requirements import missing

DATA = os.environ.get("RONDEL_TEST_DATA")
WINDOWS = 120


@pytest.fixture(scope="module")
def banking() -> tuple[Vectors, list[str]]:
    """Embedded messages and their intents."""
    if DATA is None:
        missing("data", "RONDEL_TEST_DATA names no folder with banking77/train.csv")
    with (Path(DATA) / "banking77" / "train.csv").open() as file:
        rows = list(csv.DictReader(file))
    embedders: Plugins[Embedder] = Plugins("rondel.embedders")
    embedder = embedders.get("wordllama")()
    return embedder.embed([row["text"] for row in rows]), [row["category"] for row in rows]


def test_windows_of_the_same_people_seldom_alarm(banking: tuple[Vectors, list[str]]) -> None:
    vectors, _ = banking
    rng = np.random.default_rng(11)
    alarms = 0
    for seed in range(WINDOWS):
        chosen = rng.permutation(len(vectors))[:1200]
        alarms += MeanEmbedding().compare(vectors[chosen[:1000]], vectors[chosen[1000:]], seed=seed).p_value <= 0.05
    assert alarms <= 13  # 6 expected; 14 or more has a chance below 1 %


def test_an_intent_nobody_had_asked_about_is_found_at_ten_percent(banking: tuple[Vectors, list[str]]) -> None:
    vectors, intents = banking
    rng = np.random.default_rng(2)
    names = sorted(set(intents))
    labels = np.array([names.index(intent) for intent in intents])
    found = 0
    for seed in range(20):
        new = int(rng.integers(len(names)))
        old = rng.permutation(np.flatnonzero(labels != new))[:1180]
        fresh = rng.permutation(np.flatnonzero(labels == new))[:20]
        window = np.concatenate([vectors[old[1000:]], vectors[fresh]])
        found += MeanEmbedding().compare(vectors[old[:1000]], window, seed=seed).p_value <= 0.05
    assert found >= 10
