"""Lines to a server on which a request's body goes out piece by piece, and of whose answer every header counts.

They are kept beside the lines for models, which know nothing of this: so those stay as fast as they are.
"""

from collections.abc import Callable
from typing import Protocol

from rondel.gateway.dataplane.ports import Listener
from rondel.gateway.dataplane.upstream import IDLE_S, Dial, Endpoint, Line

Headers = list[tuple[bytes, bytes]]
QUICK_S = 4.0
"""A kept line takes what must not be sent twice only so soon after its last answer: servers close idle ones after 5 s
or more, and what was sent on a line that is just being closed is lost."""


class PassListener(Listener, Protocol):
    """Whoever waits for an answer that is passed on."""

    def on_connected(self, line: "PassLine") -> None:
        """The request's head is on its way: its body may follow."""
        ...

    def on_full(self) -> None:
        """The server takes no more for now."""
        ...

    def on_drained(self) -> None:
        """The server takes more."""
        ...


class PassLine(Line):
    """A line whose listener gives the body while the answer may be coming already."""

    def __init__(self, endpoint: "PassEndpoint") -> None:
        super().__init__(endpoint)
        self.headers: Headers = []
        """Of the answer, as far as they came."""
        self._passing: PassListener | None = None
        self.is_head = False
        """Whether it was asked for a head alone: then no body follows, whatever the head says."""
        self.is_sent = False
        """Whether the request is whole: only then can another one follow."""

    def begin(self, listener: PassListener, request: bytes, *, is_head: bool) -> None:
        """Send the head of a request."""
        self.headers, self._passing = [], listener
        self.is_sent, self.is_head = False, is_head
        self.send(listener, request)
        listener.on_connected(self)

    def write(self, data: bytes) -> None:
        """A piece of the request's body."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def pause_writing(self) -> None:
        """The socket is full."""
        if self._listener is not None and self._passing is not None:
            self._passing.on_full()

    def resume_writing(self) -> None:
        """The socket takes bytes again."""
        if self._listener is not None and self._passing is not None:
            self._passing.on_drained()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Every header is kept."""
        super().on_header(name, value)
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is whole; that of an earlier answer (1xx) does not count."""
        super().on_headers_complete()
        if not self._status:
            self.headers = []
        elif self.is_head:
            self._is_whole, self._keeps_alive = True, False  # the parser would wait for the body

    def on_message_complete(self) -> None:
        """The answer is whole; if the request is not, nothing else can be asked here."""
        super().on_message_complete()
        if not self.is_sent:
            self._keeps_alive = False


class PassDial(Dial):
    """A line that is being made for such a request."""

    def __init__(self, endpoint: "PassEndpoint", listener: PassListener, request: bytes, *, is_head: bool) -> None:
        self._passing, self._is_head = listener, is_head
        super().__init__(endpoint, listener, request)

    def _begin(self, line: Line, listener: Listener, request: bytes) -> None:
        if isinstance(line, PassLine):
            line.begin(self._passing, request, is_head=self._is_head)
        else:
            super()._begin(line, listener, request)


class PassEndpoint(Endpoint):
    """An endpoint's lines for what is passed on; they are trimmed and closed with it."""

    def __init__(self, beside: Endpoint, clock: Callable[[], float]) -> None:
        super().__init__(beside.connection, beside.provider, beside.address, beside.secret, clock, beside.tls)
        self.breakers = beside.breakers
        own = [*beside.provider.headers(beside.secret), *beside.connection.headers.items()]
        self.headers: Headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in own]
        """The connection's own: its key, and what else was set on it."""

    def make(self) -> Line:
        """Another kind of line."""
        return PassLine(self)

    def ask(self, listener: PassListener, request: bytes, *, is_head: bool, is_repeatable: bool) -> Line | Dial:
        """Send a request's head, on a kept line or on a new one."""
        line = self.kept(IDLE_S if is_repeatable else QUICK_S)
        if isinstance(line, PassLine):
            line.begin(listener, request, is_head=is_head)
            return line
        return PassDial(self, listener, request, is_head=is_head)


def beside(endpoint: Endpoint, clock: Callable[[], float]) -> PassEndpoint:
    """The lines of an endpoint for what is passed on."""
    known = endpoint.beside
    if not isinstance(known, PassEndpoint):
        known = endpoint.beside = PassEndpoint(endpoint, clock)
    return known
