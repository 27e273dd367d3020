from collections.abc import Iterable

from scipy.sparse import csr_matrix

class LogisticRegression:
    def __init__(
        self,
        *,
        C: float = 1.0,
        max_iter: int = 100,
        class_weight: str | None = None,
        random_state: int | None = None,
    ) -> None: ...
    def fit(self, X: csr_matrix, y: list[str]) -> LogisticRegression: ...
    def predict(self, X: csr_matrix) -> Iterable[object]: ...
