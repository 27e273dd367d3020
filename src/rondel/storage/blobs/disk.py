"""Blobs as files: `<folder>/ab/abcdef...`, written beside and moved into place."""

import hashlib
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from rondel.errors import Invalid, NotFound
from rondel.storage.models import BlobRef

_SHA256 = re.compile(r"[0-9a-f]{64}")
_CHUNK = 1024 * 1024


class DiskBlobs:
    """Content-addressed files in one folder; safe with several processes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def put(self, content: bytes | Path | Iterable[bytes]) -> BlobRef:
        """Keep the bytes, durably: fsync before the name appears."""
        digest, size = hashlib.sha256(), 0
        descriptor, name = tempfile.mkstemp(prefix=".incoming-", dir=self._folder)
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                for part in _parts(content):
                    digest.update(part)
                    size += len(part)
                    file.write(part)
                file.flush()
                os.fsync(file.fileno())
            target = self._locate(digest.hexdigest())
            target.parent.mkdir(exist_ok=True)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
        return BlobRef(digest.hexdigest(), size)

    def open(self, sha256: str) -> BinaryIO:
        """A stream of the bytes."""
        return self.path(sha256).open("rb")

    def read(self, sha256: str) -> bytes:
        """All the bytes at once."""
        return self.path(sha256).read_bytes()

    def path(self, sha256: str) -> Path:
        """The file itself."""
        target = self._locate(sha256)
        if not target.is_file():
            raise NotFound(f"There is no blob {sha256!r}: it was removed, or never kept here.")
        return target

    def exists(self, sha256: str) -> bool:
        """Whether the blob is here."""
        return self._locate(sha256).is_file()

    def remove(self, sha256: str) -> None:
        """Forget the bytes."""
        self._locate(sha256).unlink(missing_ok=True)

    def _locate(self, sha256: str) -> Path:
        if not _SHA256.fullmatch(sha256):
            raise Invalid(f"{sha256!r} is no blob name: 64 hex digits of a sha256 are.")
        return self._folder / sha256[:2] / sha256


def _parts(content: bytes | Path | Iterable[bytes]) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
    elif isinstance(content, Path):
        with content.open("rb") as file:
            while part := file.read(_CHUNK):
                yield part
    else:
        yield from content
