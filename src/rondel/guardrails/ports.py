"""The protocol of guardrail plugins."""

from typing import ClassVar, Protocol

from rondel.guardrails.models import Capability, Released
from rondel.plugins import Plugins


class TextCheck(Protocol):
    """One text on its way through, in pieces. Pure, and bounded in memory.

    For every way of cutting a text into pieces, the concatenation of what is released and the last verdict are those of
    the whole text fed at once.
    """

    def feed(self, text: str) -> Released:
        """Take the next piece; release what no later piece can change."""
        ...

    def end(self) -> Released:
        """Release the rest; the verdict is set."""
        ...


class Guardrail(Protocol):
    """A check with its options, which are the fields of its frozen dataclass."""

    capabilities: ClassVar[frozenset[Capability]]

    def begin(self) -> TextCheck:
        """A check of one new text."""
        ...


GUARDRAILS = Plugins[Guardrail]("rondel.guardrails")
