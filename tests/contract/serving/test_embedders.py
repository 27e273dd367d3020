"""The bundled embedder holds to the contract, without a network."""

import pytest

from rondel.chat import Embedder
from rondel.serving.ports import EMBEDDERS
from rondel.testing.embedders import EmbedderContract


class TestWordLlama(EmbedderContract):
    @pytest.fixture
    def embedder(self) -> Embedder:
        return EMBEDDERS.get("wordllama")()
