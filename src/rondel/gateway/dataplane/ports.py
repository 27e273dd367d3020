"""Who speaks with whom inside a worker: the caller's connection, what works on its request, and the upstream's line."""

from typing import Protocol

from rondel.gateway.dataplane.wire import Answer


class Reply(Protocol):
    """Where an answer goes."""

    def begin(self, status: int, content_type: bytes, headers: bytes) -> None:
        """Send the head of a streamed answer."""
        ...

    def send(self, data: bytes) -> None:
        """Send a piece of it."""
        ...

    def end(self, data: bytes) -> None:
        """Send the last piece, and be done."""
        ...

    def answer(self, answer: Answer) -> None:
        """Send a whole answer, and be done."""
        ...


class Relayed(Protocol):
    """A caller whose request is answered by somebody else, byte for byte."""

    def relay(self, data: bytes) -> None:
        """Send bytes of the answer as they are."""
        ...

    def relayed(self, *, keeps_alive: bool) -> None:
        """The answer is over."""
        ...

    def answer(self, answer: Answer) -> None:
        """Send a whole answer instead, and be done."""
        ...

    def abort(self) -> None:
        """Let the caller see that the answer broke off."""
        ...

    def pause_reading(self) -> None:
        """Take no more bytes of the request for now."""
        ...

    def resume_reading(self) -> None:
        """Take bytes again."""
        ...

    def peer(self) -> str:
        """The caller's address."""
        ...


class Handler(Protocol):
    """Whoever works on the current request."""

    def hang_up(self) -> None:
        """The caller is gone."""
        ...

    def pause(self) -> None:
        """The caller reads too slowly: give no more for now."""
        ...

    def resume(self) -> None:
        """Go on giving."""
        ...


class Uploading(Handler, Protocol):
    """A handler that takes the request's body as it comes."""

    def body(self, data: bytes) -> None:
        """A piece of it."""
        ...

    def complete(self) -> None:
        """There is no more."""
        ...


class Listener(Protocol):
    """Whoever waits for an upstream's answer."""

    def on_head(self, status: int, content_type: bytes, retry_after: bytes) -> None:
        """Status, and the headers that count; empty where there is none."""
        ...

    def on_data(self, data: bytes) -> None:
        """A piece of the body."""
        ...

    def on_end(self) -> None:
        """The answer is whole."""
        ...

    def on_failure(self, reason: str, *, is_stale: bool) -> None:
        """There will be no whole answer. `is_stale`: a kept connection had gone, before anything came back."""
        ...

    def crash(self) -> None:
        """One of the steps above raised, which is a bug and is logged: end it."""
        ...
