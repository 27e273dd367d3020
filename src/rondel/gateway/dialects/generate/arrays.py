"""Streams that are one JSON array, as Gemini sends them without `alt=sse`: cut into their objects."""

import re

_SIGN = re.compile(rb'[{}"]')
_QUOTE = re.compile(rb'["\\]')


class Objects:
    """Cuts an array of objects (or a single object), however it arrives, into the objects."""

    __slots__ = ("_at", "_begin", "_depth", "_held", "_is_text")

    def __init__(self) -> None:
        self._held = b""
        self._at, self._begin, self._depth = 0, 0, 0
        self._is_text = False

    def feed(self, data: bytes) -> list[bytes]:
        """The objects that `data` completes."""
        held = self._held = self._held + data
        objects: list[bytes] = []
        while (found := (_QUOTE if self._is_text else _SIGN).search(held, self._at)) is not None:
            sign, self._at = found[0], found.end()
            if sign == b"\\":
                if self._at == len(held):
                    self._at -= 1  # what it escapes is still to come
                    break
                self._at += 1
            elif sign == b'"':
                self._is_text = not self._is_text
            elif sign == b"{":
                if self._depth == 0:
                    self._begin = found.start()
                self._depth += 1
            else:
                self._depth -= 1
                if self._depth == 0:
                    objects.append(held[self._begin : self._at])
        else:
            self._at = len(held)
        done = self._begin if self._depth else self._at
        self._held, self._at, self._begin = held[done:], self._at - done, 0
        return objects

    def end(self) -> bytes:
        """An object that is not whole is none."""
        return b""
