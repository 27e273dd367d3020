"""Server-sent events as bytes: cut a stream into whole events, and read their data.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html (9.2.5, 9.2.6), restricted to `data`.
"""

import re

_MARK = b"\xef\xbb\xbf"
_GAP = re.compile(rb"\n\n|\r\n\r\n|\r\r")
DONE = b"[DONE]"
DONE_EVENT = b"data: [DONE]\n\n"


class Events:
    """Cuts a stream, however it arrives, into whole events; each keeps its bytes, the blank line included."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = b""

    @property
    def is_between(self) -> bool:
        """Whether no event has begun that is not whole."""
        return not self._held

    def feed(self, data: bytes) -> list[bytes]:
        """The events that `data` completes."""
        if self._held:
            data = self._held + data
        elif data.endswith(b"\n\n") and data.find(b"\n\n") == len(data) - 2 and b"\r" not in data:
            return [data]  # as nearly all come: one event, whole
        events: list[bytes] = []
        begin = 0
        for gap in _GAP.finditer(data):
            events.append(data[begin : gap.end()])
            begin = gap.end()
        self._held = data[begin:]
        return events

    def end(self) -> bytes:
        """What came after the last whole event."""
        rest, self._held = self._held, b""
        return rest


def all_data(stream: bytes) -> list[bytes]:
    """The data of all events of a whole stream; what follows the last blank line is one too."""
    if b"\r" in stream:
        return [data_of(event) for event in whole_events(stream)]
    parts = stream.split(b"\n\n")
    if not parts[-1].strip():
        parts.pop()
    return [part[6:] if part.startswith(b"data: ") and b"\n" not in part else data_of(part + b"\n\n") for part in parts]


def whole_events(stream: bytes) -> list[bytes]:
    """All events of a whole stream; what follows the last blank line is one too."""
    events = Events()
    found = events.feed(stream)
    left = events.end()
    return [*found, left + b"\n\n"] if left.strip() else found


def data_of(event: bytes) -> bytes:
    """The data of an event: its `data:` lines, joined; empty for a comment. A byte order mark does not count."""
    if event.startswith(b"data: ") and event.find(b"\n") == len(event) - 2:
        return event[6:-2]
    if event.startswith(b"event: ") and event.count(b"\n") == 3 and event.endswith(b"\n\n") and b"\r" not in event:
        begin = event.find(b"\n") + 1
        if event.startswith(b"data: ", begin):
            return event[begin + 6 : -2]
    event = event.removeprefix(_MARK)
    lines = [line[5:].removeprefix(b" ") for line in re.split(rb"\r\n|\n|\r", event) if line.startswith(b"data:")]
    return b"\n".join(lines)


def event_of(data: bytes) -> bytes:
    """An event with these data, which hold no line break."""
    return b"data: %b\n\n" % data
