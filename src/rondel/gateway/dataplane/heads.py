"""Heads of requests that came before. A client sends the same one again and again, but for the length of what follows:
what was found out about it then is true again, and need be parsed and looked up only once.
"""

import re

from rondel.gateway.dataplane.asking import Entry
from rondel.gateway.dataplane.request import Request
from rondel.gateway.models import Operation

LIMIT = 4096
"""Heads that are kept; one that changes with every request is not worth it, and others take its place."""

_LENGTH = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: ([0-9]{1,9})\r\n")
_END = b"\r\n\r\n"


class Known:
    """What a head means, whatever the length it tells. `whole` is a request whose body came with it."""

    __slots__ = ("entry", "expires_at_ns", "operation", "whole")

    def __init__(self, entry: Entry, operation: Operation, whole: Request) -> None:
        self.entry, self.operation, self.whole = entry, operation, whole
        self.expires_at_ns = entry.key.expires_at_ns


class Place:
    """Where things stand in bytes that begin with a head: `key` is the head without its length, `body` where the body
    begins, `length` that of the body.
    """

    __slots__ = ("body", "key", "length")

    def __init__(self, key: bytes, body: int, length: int) -> None:
        self.key, self.body, self.length = key, body, length


def locate(data: bytes) -> Place | None:
    """Where a whole head with one length ends; None where there is no such head."""
    end = data.find(_END)
    found = _LENGTH.search(data, 0, end + 2) if end > 0 else None
    if found is None:
        return None
    begin, stop = found.span(1)
    return Place(data[:begin] + data[stop:end], end + 4, int(found[1]))


class Heads:
    """Those of one snapshot: another may know the keys in them differently."""

    def __init__(self) -> None:
        self._known: dict[bytes, Known] = {}

    def find(self, key: bytes, now_ns: int) -> Known | None:
        """What is known of a head, unless its key has expired since."""
        known = self._known.get(key)
        if known is not None and known.expires_at_ns is not None and known.expires_at_ns <= now_ns:
            return None
        return known

    def learn(self, first: bytes, request: Request, operation: Operation, entry: Entry) -> None:
        """Remember the head with which `first` begins, if nothing but the length is its own.

        `request` is what the parser made of it: only such a head is remembered as the parser took without a doubt.
        """
        if request.is_chunked or request.is_old or request.is_expecting or not request.keeps_alive or entry.parent:
            return
        lengths = sum(name.lower() == b"content-length" for name, _ in request.headers)
        place = locate(first)
        if place is None or lengths != 1 or place.length != request.content_length:
            return
        if len(self._known) >= LIMIT:
            self._known.clear()
        whole = Request()
        whole.method, whole.path, whole.operation, whole.is_complete = b"POST", request.path, operation, True
        whole.target = request.target
        self._known[place.key] = Known(entry, operation, whole)
