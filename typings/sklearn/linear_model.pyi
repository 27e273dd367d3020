class LogisticRegression:
    def __init__(
        self, *, C: float = 1.0, max_iter: int = 100, class_weight: str | None = None, random_state: int | None = None
    ) -> None: ...
