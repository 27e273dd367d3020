"""What a guardrail says about a text."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple


class Capability(StrEnum):
    """What a guardrail does or needs; the gateway reads this and never asks what it is."""

    EDITS = "edits"
    """It may release another text than it was fed."""
    SLOW = "slow"
    """It needs a model or the network, so it runs outside the event loop."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome for one text. `found` counts by kind; `reason` is a sentence that never quotes the text itself."""

    is_ok: bool
    found: Mapping[str, int] = field(default_factory=dict[str, int])
    reason: str = ""


class Released(NamedTuple):
    """Text that may go on, and the verdict once it is known."""

    text: str
    verdict: Verdict | None = None
