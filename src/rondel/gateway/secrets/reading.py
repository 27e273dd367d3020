"""Reads references by their kind; holds the sources, so that their connections are kept."""

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from rondel.errors import Unavailable
from rondel.gateway.secrets.models import Asked, Sealed, Secret
from rondel.gateway.secrets.ports import SECRETS, Means, SecretSource
from rondel.gateway.secrets.rules import SECRET_LIMIT, written

SealedByName = Mapping[tuple[str, str, str], Sealed]


class Reading:
    """Reads secrets; from any thread."""

    def __init__(
        self,
        *,
        environ: Mapping[str, str],
        folder: Path,
        keys: Callable[[], tuple[bytes, ...]],
        now_ns: Callable[[], int],
        find: Callable[[str], Callable[[], SecretSource]] = SECRETS.get,
    ) -> None:
        self._environ, self._folder, self._keys, self._now_ns, self._find = environ, folder, keys, now_ns, find
        self._sources: dict[str, SecretSource] = {}
        self._lock = threading.Lock()

    def source(self, kind: str) -> SecretSource:
        """The source of a kind, imported at its first use.

        Raises:
            NotFound, Unavailable: there is none, or it needs a library that is not installed.
        """
        with self._lock:
            if kind not in self._sources:
                self._sources[kind] = self._find(kind)()
            return self._sources[kind]

    def read(self, asked: Asked, sealed: SealedByName) -> Secret:
        """The secret that a connection asks for.

        Raises:
            Invalid, NotFound, Unavailable: it cannot be read; the sentence says why.
        """
        source = self.source(asked.reference.kind)
        source.check(asked.reference.name, asked.reference.field)
        means = Means(
            environ=self._environ,
            folder=self._folder,
            keys=self._keys,
            sealed=sealed,
            now_ns=self._now_ns,
            read=lambda other: self.read(other, sealed),
        )
        secret = source.read(asked, means)
        if not secret.text:
            raise Unavailable(f"its secret {written(asked.reference)!r} is empty.")
        if len(secret.text) > SECRET_LIMIT:
            raise Unavailable(f"its secret {written(asked.reference)!r} has more than {SECRET_LIMIT:,} characters.")
        return secret
