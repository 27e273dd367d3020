"""Where secrets are read from: one plugin a kind of place."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from rondel.errors import Invalid, Unavailable
from rondel.gateway.secrets.models import Asked, Sealed, Secret
from rondel.plugins import Plugins


@dataclass(frozen=True, slots=True)
class Means:
    """What a source may use.

    `folder` holds the files of `file:NAME`. `sealed` are the secrets of the encrypted store by project, environment
    and name, and `keys` gives what opens them, the newest first (it raises Unavailable). `read` reads another
    reference, for a source that makes something of it.
    """

    environ: Mapping[str, str]
    folder: Path
    keys: Callable[[], tuple[bytes, ...]]
    sealed: Mapping[tuple[str, str, str], Sealed]
    now_ns: Callable[[], int]
    read: Callable[[Asked], Secret]


class SecretSource(Protocol):
    """One kind of place. An instance is used from several threads at once, and may keep its connection."""

    @property
    def renewed_every_s(self) -> float | None:
        """How often a secret is read again, in seconds; None when it changes only with the configuration."""
        ...

    def check(self, name: str, field: str) -> None:
        """Look at a reference as it is written down; nothing is read.

        Raises:
            Invalid: it cannot be one of this kind; the sentence says what one looks like and does not repeat it.
        """
        ...

    def read(self, asked: Asked, means: Means) -> Secret:
        """The secret, within a few seconds.

        Raises:
            Unavailable: it cannot be read now; one sentence without a capital at its beginning, and without secrets.
        """
        ...


@dataclass
class KeptSecrets:
    """Texts in memory by name, for tests; `is_down` makes every reading fail, `lost` those of some names."""

    texts: dict[str, Secret] = field(default_factory=dict[str, Secret])
    is_down: bool = False
    lost: set[str] = field(default_factory=set[str])
    renewed_every_s: float | None = 60.0
    reads: list[Asked] = field(default_factory=list[Asked])

    def check(self, name: str, field: str) -> None:
        """Names are what a test says."""
        if name not in self.texts or field:
            raise Invalid("There is no such name in this test.")

    def read(self, asked: Asked, means: Means) -> Secret:
        """The text as it is now."""
        self.reads.append(asked)
        if self.is_down or asked.reference.name in self.lost or asked.reference.name not in self.texts:
            raise Unavailable(f"{asked.reference.name!r} cannot be read.")
        return self.texts[asked.reference.name]


SECRETS = Plugins[SecretSource]("rondel.secrets")
"""The bundled kinds: environment, files, our encrypted store, and the stores of others."""
