"""Static word embeddings of 256 dimensions: good enough for drift and near-duplicates, at a hundredth of the CPU.

Measured on 77 banking intents: .815 nearest-neighbour accuracy against .881 of MiniLM, at 180 times less CPU.
"""

from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import numpy as np
import wordllama
from numpy.typing import NDArray


class WordLlamaEmbedder:
    """The weights come with the package; nothing is downloaded. They are loaded with the first text."""

    name = "wordllama"
    dimensions = 256

    @property
    def version(self) -> str:
        """Of the package, which holds the weights."""
        return version("wordllama")

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """`(n, 256)` float32, rows L2-normalised; a text without a word gives a zero row."""
        vectors = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        spoken = [place for place, text in enumerate(texts) if text.strip()]
        if not spoken:
            return vectors
        found = self._model.embed([texts[place] for place in spoken])
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        vectors[spoken] = np.divide(found, lengths, out=np.zeros_like(found), where=lengths > 0)
        return vectors

    @cached_property
    def _model(self) -> wordllama.WordLlamaInference:
        # Its loader looks for the tokenizer in a cache folder and then on a hub; both files lie in the package itself.
        return wordllama.WordLlama.load(cache_dir=Path(wordllama.__file__).parent, disable_download=True)
