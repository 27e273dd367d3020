"""What every dialect reads out of a span, and the few tools they share."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import cast

from rondel.telemetry.models import Document, PromptUse, SpanKind, SpanMessage, Tokens, Tool

PARTS_LIMIT = 16
"""A dotted name with more parts is no message of ours; it stays an attribute."""

USD_LIMIT = 1e6
"""A single call never costs more dollars; a larger figure is taken for a mistake."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one dialect found in a span; an empty field says that it found nothing. Of several readings the first that
    has a field gives it.
    """

    kind: SpanKind | None = None
    operation: str = ""
    model_requested: str = ""
    model: str = ""
    provider: str = ""
    parameters: Mapping[str, object] = field(default_factory=dict[str, object])
    messages_in: tuple[SpanMessage, ...] = ()
    messages_out: tuple[SpanMessage, ...] = ()
    tools_offered: tuple[str, ...] = ()
    tool: Tool | None = None
    documents: tuple[Document, ...] = ()
    tokens: Tokens | None = None
    cost_usd: float | None = None
    summarises: bool = False
    ttft_ms: float | None = None
    finish_reason: str = ""
    response_id: str = ""
    session: str = ""
    user: str = ""
    tags: tuple[str, ...] = ()
    prompt: PromptUse | None = None
    release_id: str = ""
    route: str = ""
    error_type: str = ""
    input_text: str = ""
    output_text: str = ""


def disjoint(
    *,
    input: int | None,  # noqa: A002  the word of the trade
    output: int | None,
    total: int | None = None,
    cache_read: int = 0,
    cache_write: int = 0,
    reasoning: int = 0,
    audio_in: int = 0,
    audio_out: int = 0,
    image_in: int = 0,
) -> Tokens | None:
    """Disjoint buckets out of reported counts; None when neither input, output nor total is known.

    Counts are inclusive, as the conventions say (input holds cached tokens, output holds reasoning), unless that is
    impossible: parts that are more than the whole are counted beside it, as in Anthropic's API.
    """
    if input is None and output is None and total is None:
        return None
    known_out = output or 0
    known_in = max((total or 0) - known_out, 0) if input is None else input
    if output is None and total is not None:
        known_out = max(total - known_in, 0)
    parts_in = cache_read + cache_write + audio_in + image_in
    parts_out = reasoning + audio_out
    return Tokens(
        input_uncached=known_in - parts_in if parts_in <= known_in else known_in,
        cache_read=cache_read,
        cache_write=cache_write,
        output_text=known_out - parts_out if parts_out <= known_out else known_out,
        reasoning=reasoning,
        audio_in=audio_in,
        audio_out=audio_out,
        image_in=image_in,
    )


Attributes = Mapping[str, object]


def first_text(attributes: Attributes, *names: str) -> str:
    """The first of the named attributes that is a non-empty text or a number, as text."""
    for name in names:
        value = attributes.get(name)
        if isinstance(value, str) and value:
            return value
        if isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
    return ""


def first_count(attributes: Attributes, *names: str) -> int | None:
    """The first of the named attributes that is a count."""
    for name in names:
        value = attributes.get(name)
        if isinstance(value, str) and value.isdecimal() and len(value) <= PARTS_LIMIT:
            return int(value)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**32:
            return int(value)
    return None


def count(attributes: Attributes, *names: str) -> int:
    """As `first_count`, 0 when there is none."""
    return first_count(attributes, *names) or 0


def first_number(attributes: Attributes, *names: str) -> float | None:
    """The first of the named attributes that is a number or reads as one."""
    for name in names:
        value = attributes.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        if isinstance(value, str):
            try:
                return float(value)
            except ValueError:
                continue
    return None


def usd(attributes: Attributes, *names: str) -> float | None:
    """A cost in USD, when there is a sane one."""
    value = first_number(attributes, *names)
    return value if value is not None and 0 <= value < USD_LIMIT else None


Branch = dict[str, object]


def unflatten(attributes: Attributes, prefix: str) -> Branch:
    """Dotted names below `prefix` as nested dicts; list indices stay keys: an index of a billion costs nothing."""
    root: Branch = {}
    start = prefix + "."
    for name, value in attributes.items():
        if not name.startswith(start):
            continue
        parts = name[len(start) :].split(".", PARTS_LIMIT)
        if len(parts) > PARTS_LIMIT:
            continue
        node = root
        for part in parts[:-1]:
            below = node.setdefault(part, {})
            if not isinstance(below, dict):
                break
            node = cast("Branch", below)
        else:
            node.setdefault(parts[-1], value)
    return root


def items(node: object) -> Iterable[Branch]:
    """The dicts under numeric keys in the order of the numbers."""
    if not isinstance(node, dict):
        return []
    numbered = cast("Branch", node)
    keys = sorted((key for key in numbered if key.isdecimal() and len(key) <= PARTS_LIMIT), key=int)
    return [cast("Branch", numbered[key]) for key in keys if isinstance(numbered[key], dict)]


def below(node: Mapping[str, object], name: str) -> Branch:
    """The dict under a name, or an empty one."""
    found = node.get(name)
    return cast("Branch", found) if isinstance(found, dict) else {}
