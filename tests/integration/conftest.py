"""The real model, fetched once and kept between runs of the tests."""

import fcntl
import os
from importlib.util import find_spec
from pathlib import Path

import pytest

from rondel.errors import RondelError
from rondel.registry.catalogue import Catalogue, sha256_of
from rondel.storage.blobs.disk import DiskBlobs
from tests.requirements import missing


@pytest.fixture(scope="session")
def smollm2_gguf() -> Path:
    """SmolLM2-135M-Instruct in Q4_1: the file that RONDEL_TEST_MODEL names, or what `rondel model pull` takes.

    It is kept in the user's cache folder under its sha256. Processes that want it at once wait for the first.
    """
    if find_spec("xllamacpp") is None:
        missing("model", "xllamacpp is not installed")
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rondel"
    blobs = DiskBlobs(folder / "blobs")
    catalogue = Catalogue(blobs=blobs)
    entry = catalogue.get("smollm2")
    given = os.environ.get("RONDEL_TEST_MODEL")
    if given and sha256_of(Path(given)) != entry.member_sha256:
        pytest.fail(f"RONDEL_TEST_MODEL names {given!r}, which is not {entry.member!r} by its sha256")
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if given and not blobs.exists(entry.member_sha256):
            blobs.put(Path(given))
        try:
            return blobs.path(catalogue.fetch(entry).sha256)
        except RondelError as error:
            missing("model", f"SmolLM2 cannot be fetched: {error}")
