"""What releases need of other areas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from rondel.releases.models import ComponentKind
from rondel.storage.models import Scope
from rondel.storage.ports import Tx


class Part(NamedTuple):
    """A component as its own area knows it: the exact reference, the sha256 of its content, and the content."""

    ref: str
    digest: str
    value: Mapping[str, object]


class Parts(Protocol):
    """Finds what a release names by reference (`extract@production`, `local/smollm2`)."""

    def find(self, tx: Tx, scope: Scope, kind: ComponentKind, ref: str) -> Part:
        """The part called `ref`.

        Raises:
            NotFound, Invalid: in a sentence, with the nearest name.
        """
        ...
