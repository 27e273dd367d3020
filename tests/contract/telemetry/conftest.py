"""Traces over the real column engine."""

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rondel.clock import FixedClock
from rondel.spend.models import ModelPrice
from rondel.spend.ports import OwnPrices
from rondel.storage.models import Scope
from rondel.storage.ports import Columns
from rondel.storage.rows.database import Database
from rondel.telemetry.models import Entry, Span, SpanKind, Status
from rondel.telemetry.service import Traces
from rondel.testing.columns import traces_over

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)

PRICES = OwnPrices({("openai", "gpt-test"): ModelPrice(1_000_000_000, 2_000_000_000, version="test 1")})


@pytest.fixture
def here() -> Scope:
    """A project of this test alone: the column engine is shared."""
    return Scope(f"prj_{os.urandom(6).hex()}", "production")


@pytest.fixture
def still() -> FixedClock:
    """A clock that stands at `NOW`."""
    return FixedClock(NOW)


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """A spool folder."""
    return tmp_path / "spool"


@pytest.fixture
def traces(columns: Columns, memory: Database, spool: Path, still: FixedClock) -> Traces:
    """Traces with an empty spool."""
    return traces_over(columns, memory, spool, still, PRICES)


MakeSpan = Callable[..., Span]


def span(
    number: int, *, trace: int | None = None, parent: int | None = None, ago_s: float = 0.0, **values: object
) -> Span:
    """Span `number` of trace `trace` (its own by default): a root or below `parent`, `ago_s` seconds before `NOW`."""
    start = NOW - timedelta(seconds=ago_s)
    fields: dict[str, object] = {
        "trace_id": f"{trace or number:032x}",
        "span_id": f"{number:016x}",
        "parent_id": f"{parent:016x}" if parent else "",
        "name": "chat",
        "kind": SpanKind.LLM,
        "start": start,
        "end": start + timedelta(seconds=1),
        "entry": Entry.INNER if parent else Entry.ROOT,
        "status": Status.OK,
    }
    return Span(**{**fields, **values})  # pyright: ignore[reportArgumentType]  any field may be given
