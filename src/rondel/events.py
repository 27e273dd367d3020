"""Low-rate facts that one area announces and others listen to.

An event becomes an outbox row in the transaction that made it true, and is delivered at
least once, in order, by the server. Listeners are idempotent. Spans never go through here.
"""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A fact in the past tense (`ReleaseMoved`). Subclasses add fields of plain types."""

    project_id: str
    environment: str


E = TypeVar("E", bound=Event)


class Announcing(Protocol):
    """The part of a transaction that events need."""

    def announce(self, event: Event) -> None:
        """Keep `event` in the outbox, to be delivered after the commit."""
        ...


def announce(tx: Announcing, event: Event) -> None:
    """Tell, in this transaction, that something has happened."""
    tx.announce(event)


class Listeners:
    """Who listens to what. Joined in wiring, and only there."""

    def __init__(self) -> None:
        self._by_name: dict[str, list[tuple[type[Event], Callable[[Any], None]]]] = {}

    def on(self, event: type[E], listener: Callable[[E], None]) -> None:
        """Call `listener` for every event of exactly this type."""
        self._by_name.setdefault(event.__name__, []).append((event, listener))

    def deliver(self, name: str, payload: bytes) -> int:
        """Hand one outbox row to its listeners; returns how many there were. What a listener raises passes."""
        listeners = self._by_name.get(name, [])
        for event, listener in listeners:
            listener(msgspec.json.decode(payload, type=event))
        return len(listeners)
