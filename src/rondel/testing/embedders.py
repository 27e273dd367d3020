"""The contract of embedders. Subclass it and give `embedder`."""

import numpy as np
import pytest

from rondel.chat import Embedder

TEXTS = ["where is my parcel", "my order has not arrived", "the recipe needs two eggs", "Grüße aus Köln – 東京 🎈"]


class EmbedderContract:
    """What every embedder holds to."""

    @pytest.fixture
    def embedder(self) -> Embedder:
        """The embedder under test."""
        raise NotImplementedError

    def test_rows_are_float32_of_length_one(self, embedder: Embedder) -> None:
        vectors = embedder.embed(TEXTS)
        assert vectors.shape == (len(TEXTS), embedder.dimensions)
        assert vectors.dtype == np.float32
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)

    def test_no_text_gives_no_row(self, embedder: Embedder) -> None:
        assert embedder.embed([]).shape == (0, embedder.dimensions)

    def test_an_empty_text_gives_a_zero_row_and_leaves_the_others_as_they_are(self, embedder: Embedder) -> None:
        vectors = embedder.embed(["", TEXTS[0]])
        assert not vectors[0].any()
        assert np.allclose(vectors[1], embedder.embed([TEXTS[0]])[0], atol=1e-5)

    def test_the_same_text_gives_the_same_row_in_any_company(self, embedder: Embedder) -> None:
        alone = embedder.embed([TEXTS[0]])[0]
        among = embedder.embed([*TEXTS[1:], "a much longer text " * 50, TEXTS[0]])[-1]
        assert np.allclose(alone, among, atol=1e-5)

    def test_texts_of_one_meaning_are_nearer_than_others(self, embedder: Embedder) -> None:
        parcel, order, recipe, _ = embedder.embed(TEXTS)
        assert parcel @ order > parcel @ recipe

    def test_name_and_version_are_told(self, embedder: Embedder) -> None:
        assert embedder.name
        assert embedder.version
