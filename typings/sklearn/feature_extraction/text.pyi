class TfidfVectorizer:
    def __init__(
        self,
        *,
        analyzer: str = "word",
        ngram_range: tuple[int, int] = (1, 1),
        sublinear_tf: bool = False,
        min_df: int = 1,
    ) -> None: ...
