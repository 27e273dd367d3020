"""The bundled embedder, with its real weights."""

import numpy as np
import pytest

from rondel.chat import Embedder
from rondel.plugins import Plugins


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    """By its name, as everybody gets it."""
    return Plugins[Embedder]("rondel.embedders").get("wordllama")()


def test_rows_are_unit_vectors_and_nothing_said_is_zero(embedder: Embedder) -> None:
    vectors = embedder.embed(["where is my parcel", "", "   ", "the tent leaks"])
    assert vectors.shape == (4, embedder.dimensions)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), [1, 0, 0, 1], atol=1e-5)
    assert embedder.embed([]).shape == (0, embedder.dimensions)


def test_near_in_meaning_is_near_in_space(embedder: Embedder) -> None:
    parcel, package, recipe = embedder.embed(["Where is my parcel?", "My package is late", "Boil the eggs, add salt"])
    assert parcel @ package > parcel @ recipe


def test_the_same_text_gives_the_same_vector_in_any_company(embedder: Embedder) -> None:
    alone = embedder.embed(["where is my parcel"])[0]
    among = embedder.embed(["a", "where is my parcel", "a much longer text that changes the padding of the batch"])[1]
    assert np.allclose(alone, among, atol=1e-5)
