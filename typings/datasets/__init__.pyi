# What Rondel uses of datasets (Hugging Face); the set `train` is not installed where types are checked.
from collections.abc import Mapping, Sequence

class Dataset:
    @staticmethod
    def from_list(rows: Sequence[Mapping[str, object]]) -> Dataset: ...
