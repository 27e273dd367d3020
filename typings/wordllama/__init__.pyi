from pathlib import Path

import numpy as np
from numpy.typing import NDArray

class WordLlamaInference:
    def embed(self, texts: list[str], norm: bool = ..., batch_size: int = ...) -> NDArray[np.float32]: ...

class WordLlama:
    @staticmethod
    def load(*, cache_dir: Path, disable_download: bool = ...) -> WordLlamaInference: ...
