"""How near the answer is in meaning."""

from dataclasses import dataclass
from typing import ClassVar

from rondel.datasets.models import as_text
from rondel.errors import Invalid
from rondel.evaluation.models import Case, Grade
from rondel.evaluation.ports import EMBEDDER, EXPECTED, Means


@dataclass(frozen=True, slots=True)
class EmbeddingSimilarity:
    """Cosine of answer and expected text, cut to 0 to 1; with `at_least` above 0, 1 when it reaches that, else 0."""

    capabilities: ClassVar[frozenset[str]] = frozenset({EXPECTED, EMBEDDER})
    at_least: float = 0.0

    def grade(self, case: Case, means: Means) -> Grade:
        """0 to 1; `details` holds the cosine."""
        if means.embedder is None:
            raise Invalid("'embedding_similarity' needs an embedder, and none is set up.")
        vectors = means.embedder.embed([case.output, as_text(case.expected)])
        cosine = float(vectors[0] @ vectors[1])
        value = float(cosine >= self.at_least) if self.at_least > 0 else min(max(cosine, 0.0), 1.0)
        return Grade(value, f"Cosine {cosine:.2f}.", {"cosine": round(cosine, 6)})
