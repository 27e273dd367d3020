"""The real model, fetched once and kept between runs of the tests."""

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

from rondel.errors import RondelError
from rondel.registry.catalogue import Catalogue
from rondel.storage.blobs.disk import DiskBlobs
from tests.requirements import missing


@pytest.fixture(scope="session")
def kept_blobs() -> DiskBlobs:
    """Blobs that stay: RONDEL_CACHE, or the user's cache folder."""
    root = os.environ.get("RONDEL_CACHE")
    return DiskBlobs((Path(root) if root else Path.home() / ".cache" / "rondel") / "blobs")


@pytest.fixture(scope="session")
def smollm2_gguf(kept_blobs: DiskBlobs) -> Path:
    """SmolLM2-135M-Instruct in Q4_1."""
    if find_spec("xllamacpp") is None:
        missing("model", "xllamacpp is not installed")
    catalogue = Catalogue(blobs=kept_blobs)
    try:
        return kept_blobs.path(catalogue.fetch(catalogue.get("smollm2")).sha256)
    except RondelError as error:
        missing("model", f"SmolLM2 cannot be fetched: {error}")
        raise
