"""What becomes of an upstream's answer: passed on as it streams, or gathered into one body."""

import re
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec
from msgspec.structs import replace

from rondel.gateway.costing import find_usage
from rondel.gateway.dataplane.folding import EMPTY, Folded, fold
from rondel.gateway.dataplane.guarding import StreamGuard, check_answer
from rondel.gateway.dataplane.plan import Guard
from rondel.gateway.dataplane.wire import EVENT_STREAM, JSON, error_data
from rondel.gateway.dialects.events import DONE, DONE_EVENT, Events, all_data, data_of, event_of
from rondel.gateway.models import Operation
from rondel.gateway.ports import Decoder, Writer
from rondel.gateway.shapes import read_answer
from rondel.telemetry.records import GuardVerdict

ANSWER_LIMIT = 64 * 1024 * 1024
EXCERPT = 2048
"""Bytes of an answer that cannot be read, which the record keeps."""
_NO_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*\]')
_HAS_TEXT = re.compile(rb'"(?:content|text|reasoning_content|reasoning|arguments)"\s*:\s*"[^"]')
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode
BROKEN = "The upstream ended its answer before it was whole."


class Outcome:
    """The end of an answer. `data` is what is still to be sent: the last events of a stream, or the whole body.

    `error` says why it is no good answer; then a gathered one may be asked for again, unless `is_refused`: a guardrail
    refused it, and no other try is wanted. `excerpt` is of an answer that cannot be read: for the record, and for
    nobody else.
    """

    __slots__ = ("data", "error", "excerpt", "folded", "is_refused", "is_truncated", "verdicts")

    def __init__(
        self,
        data: bytes,
        folded: Folded,
        error: str = "",
        is_truncated: bool = False,
        verdicts: tuple[GuardVerdict, ...] = (),
        is_refused: bool = False,
        excerpt: bytes = b"",
    ) -> None:
        self.data, self.folded, self.error, self.is_truncated = data, folded, error, is_truncated
        self.verdicts, self.is_refused, self.excerpt = verdicts, is_refused, excerpt


class Intake(Protocol):
    """Takes an answer's body as it comes."""

    is_stream: bool
    """Whether it gives events to the caller as they come."""
    content_type: bytes
    has_text: bool
    refused: bytes
    """A stream's first event, when that is an error: nothing was passed on yet."""

    def feed(self, data: bytes) -> bytes:
        """Take bytes; give what may go to the caller now."""
        ...

    def end(self, failure: str = "") -> Outcome:
        """The answer is over; `failure` says why, when it was not whole."""
        ...


class Relay:
    """A stream on its way to a caller who asked for one: whole events, at once, byte for byte where nothing guards
    them."""

    is_stream = True

    def __init__(self, operation: Operation, *, hides_usage: bool, guards: Sequence[Guard]) -> None:
        self.content_type = EVENT_STREAM
        self._operation, self._hides_usage = operation, hides_usage
        self._guard = StreamGuard(guards) if guards else None
        self._events = Events()
        self._seen: list[bytes] = []
        self._done = b""
        self._is_done = False
        self.has_text = False
        self.refused = b""

    def feed(self, data: bytes) -> bytes:
        """What may go on."""
        if self._guard is None and self.has_text and self._is_whole(data):
            self._seen.append(data)
            return data
        events = self._events.feed(data)
        return self._pass(events) if events else b""

    def end(self, failure: str = "") -> Outcome:
        """The last events, and what the whole stream amounts to."""
        left = self._events.end()
        out = self._pass([left + b"\n\n"] if left.strip() and not failure else [])
        folded = self._fold()
        is_truncated = bool(failure) or (not folded.is_done and not folded.is_finished)
        error = failure or (BROKEN if is_truncated else "")
        verdicts: tuple[GuardVerdict, ...] = ()
        if self._guard is not None:
            out += self._note(self._guard.end())
            refusal = self._guard.refusal()
            verdicts = tuple(self._guard.verdicts())
            error = error or refusal
            folded = self._fold()
        if folded.error:
            return Outcome(out, folded, "The upstream broke off with an error.", is_truncated=True, verdicts=verdicts)
        if error:
            out += event_of(error_data(error, kind="server_error", code="stream_broken"))
        else:
            out += self._done or (b"" if folded.is_done else DONE_EVENT)
        return Outcome(out, folded, error, is_truncated, verdicts)

    def _is_whole(self, data: bytes) -> bool:
        """Whether these are whole events of which none is to be hidden, as nearly all pieces are."""
        if b"\r" in data or not data.endswith(b"\n\n") or not self._events.is_between:
            return False
        return not self._hides_usage or b'"usage"' not in data

    def _fold(self) -> Folded:
        return fold(all_data(b"".join(self._seen)), self._operation)

    def _pass(self, events: list[bytes]) -> bytes:
        if events and not self._seen and b'"error"' in events[0]:
            told = fold([data_of(events[0])], self._operation)
            if told.error:
                self.refused = told.error
                return b""
        events = self._up_to_done(events)
        if not self.has_text:
            self.has_text = any(_HAS_TEXT.search(event) for event in events)
        if self._guard is None and not self._hides_usage:
            self._seen += events
            return events[0] if len(events) == 1 else b"".join(events)
        out: list[bytes] = []
        for event in events:
            if self._hides_usage and b'"usage"' in event and _NO_CHOICES.search(event):
                self._seen.append(event)
            elif self._guard is not None and data_of(event) == DONE:
                self._seen.append(event)
                self._done = event  # passed on only when the whole answer is found good
            else:
                out.append(self._note(self._guard.feed(event) if self._guard is not None else event))
        return b"".join(out)

    def _up_to_done(self, events: list[bytes]) -> list[bytes]:
        """Without what comes behind `[DONE]`: the stream is over there."""
        if self._is_done or not any(DONE in event for event in events):
            return [] if self._is_done else events
        last = next((at for at, event in enumerate(events) if data_of(event) == DONE), None)
        self._is_done = last is not None
        return events if last is None else events[: last + 1]

    def _note(self, events: bytes) -> bytes:
        if events:
            self._seen += Events().feed(events) if self._guard is not None else (events,)
        return events


class Gather:
    """An answer for a caller who did not ask for a stream; one that comes as a stream is folded."""

    is_stream = False
    has_text = False
    refused = b""
    _size = 0

    def __init__(
        self,
        operation: Operation,
        *,
        is_stream: bool,
        guards: Sequence[Guard],
        decoder: Decoder | None = None,
        writer: Writer | None = None,
    ) -> None:
        self._operation, self._is_stream, self._guards = operation, is_stream, guards
        self._decoder, self._writer = decoder, writer
        self.content_type = JSON
        self._parts: list[bytes] = []

    def feed(self, data: bytes) -> bytes:
        """Nothing goes on before the end."""
        self._size += len(data)
        if self._size > ANSWER_LIMIT:
            return b""
        if self._decoder is not None:
            self._parts += map(_encode, self._decoder.feed(data))
        elif self._is_stream:
            self._parts.append(data)
            self.has_text = self.has_text or _HAS_TEXT.search(data) is not None
        else:
            self._parts.append(data)
        return b""

    def end(self, failure: str = "") -> Outcome:
        """The whole body, after its guardrails."""
        if self._decoder is not None:
            self._parts += map(_encode, self._decoder.end())
        folded = self._fold()
        if self._decoder is not None:
            folded = replace(folded, usage=self._decoder.usage)
            failure = failure or ("The upstream answered with an error." if self._decoder.problem else "")
        elif not (failure or self._guards or folded.error or folded.damaged or self._is_stream) and folded.body:
            return Outcome(self._written(folded.body), folded)  # as nearly all are
        if not failure and self._size > ANSWER_LIMIT:
            failure = f"The upstream's answer is longer than {ANSWER_LIMIT:,} bytes."
        if not failure and folded.error:
            failure = "The upstream answered with an error."
        if not failure and (folded.damaged or not folded.body):
            failure = "The upstream's answer is not JSON."
        if not failure and self._is_stream and not folded.is_finished and not folded.is_done:
            failure = BROKEN
        if failure:
            excerpt = b"".join(self._parts)[:EXCERPT]
            return Outcome(b"", folded, failure, is_truncated=True, excerpt=excerpt)
        if not self._guards:
            return Outcome(self._written(folded.body), folded)
        checked = check_answer(self._guards, folded.body)
        return Outcome(
            self._written(checked.value),
            replace(folded, body=checked.value),
            checked.refusal,
            verdicts=tuple(checked.verdicts),
            is_refused=bool(checked.refusal) and not checked.is_retried,
        )

    def _written(self, body: bytes) -> bytes:
        """The answer as its caller reads it."""
        return body if self._writer is None else self._writer.whole(_decode(body))

    def _fold(self) -> Folded:
        parts = self._parts
        if self._decoder is not None and self._is_stream:
            return fold(parts, self._operation)
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        return fold(all_data(body), self._operation) if self._is_stream else read_body(body)


def read_body(body: bytes) -> Folded:
    """What an unstreamed answer tells of itself."""
    try:
        told = read_answer(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return replace(EMPTY, damaged=1)
    choices = told.choices
    finish_reason = choices[0].finish_reason or "" if choices else ""
    is_finished = len(choices) < 2 or all(choice.finish_reason for choice in choices)
    usage, error, service = _given(told.usage), _given(told.error), told.service_tier
    if not usage and (b'"timings"' in body or b'"x_groq"' in body):
        usage = _encode(find_usage(_decode(body)) or {})
    service = service if isinstance(service, str) else ""
    return Folded(body, told.id or "", told.model or "", finish_reason, usage, service, True, is_finished, error, 0)


def _given(value: msgspec.Raw) -> bytes:
    """The bytes of a value; none where it is null."""
    data = bytes(value)
    return b"" if data == b"null" else data
