"""Answers between dialects: read into OpenAI's chunks, checked, and written as their caller speaks; and answers in the
caller's own dialect, which pass untouched and are read for the record alone.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from rondel.gateway.dataplane.asking import Asked
from rondel.gateway.dataplane.folding import Folded, Folding
from rondel.gateway.dataplane.guarding import StreamGuard
from rondel.gateway.dataplane.intake import ANSWER_LIMIT, BROKEN, EXCERPT, Gather, Intake, Outcome, read_body
from rondel.gateway.dataplane.plan import Guard
from rondel.gateway.dataplane.wire import EVENT_STREAM, JSON, error_data
from rondel.gateway.dialects.events import DONE, DONE_EVENT, Events, data_of, event_of
from rondel.gateway.models import Operation
from rondel.gateway.ports import Call, Chunk, Decoder, Problem, Writer
from rondel.telemetry.records import GuardVerdict

_TEXTS = ("content", "reasoning_content", "reasoning", "refusal", "tool_calls")
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode


class ChatReader:
    """A stream of OpenAI's own events, read as the decoders of other dialects read theirs."""

    def __init__(self) -> None:
        self._events = Events()
        self.usage = b""
        """It stands in the chunks."""
        self.problem: Problem | None = None
        self.is_done = False

    def feed(self, data: bytes) -> list[Chunk]:
        """The chunks that these bytes complete."""
        return [chunk for event in self._events.feed(data) if (chunk := self._read(data_of(event))) is not None]

    def end(self) -> list[Chunk]:
        """The last one, of which the end of its event was not sent."""
        left = data_of(self._events.end())
        chunk = self._read(left) if left else None
        return [] if chunk is None else [chunk]

    def _read(self, data: bytes) -> Chunk | None:
        if not data or self.is_done:
            return None
        if data == DONE:
            self.is_done = True
            return None
        try:
            chunk = _decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        if chunk.get("error") and not chunk.get("choices"):
            error = read_error(chunk["error"])
            self.problem = error
            return None
        return chunk


class ChatWriter:
    """OpenAI's own events. `hides_usage`: the caller did not ask for the chunk that tells it."""

    def __init__(self, *, hides_usage: bool) -> None:
        self._hides_usage = hides_usage

    def feed(self, chunk: Chunk) -> bytes:
        """Its event."""
        if self._hides_usage and "usage" in chunk and not chunk.get("choices"):
            return b""
        return event_of(_encode(chunk))

    def end(self) -> bytes:
        """`[DONE]`."""
        return DONE_EVENT

    def broken(self, problem: Problem) -> bytes:
        """The error as an event."""
        kind = problem.type or "server_error"
        return event_of(error_data(problem.message, kind=kind, code=problem.code, param=problem.param))

    def whole(self, answer: Chunk) -> bytes:
        """As it is."""
        return _encode(answer)


class Translated:
    """A stream that is read in one dialect and written in another, chunk by chunk as it comes."""

    is_stream = True

    def __init__(
        self,
        operation: Operation,
        decoder: Decoder,
        writer: Writer,
        *,
        guards: Sequence[Guard],
        content_type: bytes = EVENT_STREAM,
    ) -> None:
        self._decoder, self._writer, self.content_type = decoder, writer, content_type
        self._guard = StreamGuard(guards) if guards else None
        self._folding = Folding(operation)
        self._is_begun = self.has_text = False
        self.refused = b""

    def feed(self, data: bytes) -> bytes:
        """What may go on of it."""
        out = self._write(self._decoder.feed(data))
        problem = self._decoder.problem
        if problem is not None and not self._is_begun:
            self.refused = _encode({"message": problem.message, "type": problem.type, "code": problem.code})
            return b""
        self._is_begun = self._is_begun or bool(out)
        return out

    def end(self, failure: str = "") -> Outcome:
        """The last of it, and what the whole stream amounts to."""
        out = self._write(self._decoder.end())
        verdicts: tuple[GuardVerdict, ...] = ()
        refusal = ""
        if self._guard is not None:
            rest = self._guard.rest()
            if rest is not None:
                out += self._put(rest)
            verdicts, refusal = tuple(self._guard.verdicts()), self._guard.refusal()
        folded = folded_of(self._folding, self._decoder)
        problem = self._decoder.problem
        is_truncated = bool(failure) or problem is not None or not (folded.is_finished or folded.is_done)
        error = failure or (problem.message if problem else BROKEN if is_truncated else refusal)
        if error:
            out += self._writer.broken(problem or Problem(error, "server_error", "stream_broken"))
        else:
            out += self._writer.end()
        return Outcome(out, folded, error, is_truncated, verdicts)

    def _write(self, chunks: list[Chunk]) -> bytes:
        if not chunks:
            return b""
        out: list[bytes] = []
        for chunk in chunks:
            if self._guard is not None:
                self._guard.edit(chunk)
            self.has_text = self.has_text or has_text(chunk)
            out.append(self._put(chunk))
        return out[0] if len(out) == 1 else b"".join(out)

    def _put(self, chunk: Chunk) -> bytes:
        written = self._writer.feed(chunk)
        self._folding.add(chunk)
        return written


class Tee:
    """A stream in the caller's own dialect: its events pass byte for byte as they come, and are read for the record."""

    is_stream = True

    def __init__(self, decoder: Decoder, writer: Writer, *, content_type: bytes = EVENT_STREAM) -> None:
        self._decoder, self._writer, self.content_type = decoder, writer, content_type
        self._events = Events() if content_type is EVENT_STREAM else None
        self._folding = Folding(Operation.CHAT)
        self._is_begun = self.has_text = False
        self.refused = b""

    def feed(self, data: bytes) -> bytes:
        """The bytes, unless they begin with an error."""
        for chunk in self._decoder.feed(data):
            self.has_text = self.has_text or has_text(chunk)
            self._folding.add(chunk)
        problem = self._decoder.problem
        if problem is not None and not self._is_begun:
            self.refused = _encode({"message": problem.message, "type": problem.type, "code": problem.code})
            return b""
        out = data if self._events is None else b"".join(self._events.feed(data))
        self._is_begun = self._is_begun or bool(out)
        return out

    def end(self, failure: str = "") -> Outcome:
        """What the stream amounts to; one that broke off ends with an error in its dialect."""
        for chunk in self._decoder.end():
            self._folding.add(chunk)
        folded, problem = folded_of(self._folding, self._decoder), self._decoder.problem
        left = b"" if self._events is None else self._events.end()
        if problem is not None:
            return Outcome(left, folded, problem.message, is_truncated=True)  # it was passed on as it came
        error = failure or ("" if folded.is_finished else BROKEN)
        if error:  # what was left of an event goes nowhere
            rest = self._writer.broken(Problem(error, "server_error", "stream_broken"))
            return Outcome(rest, folded, error, is_truncated=True)
        return Outcome(left, folded)


class Own:
    """An answer that is no stream, in the caller's own dialect: its bytes pass once they are whole."""

    is_stream = False
    has_text = False
    refused = b""
    _size = 0

    def __init__(self, decoder: Decoder | None) -> None:
        self._decoder = decoder
        self.content_type = JSON
        self._parts: list[bytes] = []

    def feed(self, data: bytes) -> bytes:
        """Nothing goes on before the end."""
        self._size += len(data)
        if self._size <= ANSWER_LIMIT:
            self._parts.append(data)
        return b""

    def end(self, failure: str = "") -> Outcome:
        """The bytes as they came."""
        body = b"".join(self._parts)
        if self._size > ANSWER_LIMIT:
            failure = failure or f"The upstream's answer is longer than {ANSWER_LIMIT:,} bytes."
        if self._decoder is None:
            damaged = read_body(body).damaged
            failure = failure or ("The upstream's answer is not JSON." if damaged else "")
            excerpt = body[:EXCERPT] if failure else b""
            folded = replace(_NOTHING, damaged=damaged)
            return Outcome(body, folded, failure, is_truncated=bool(failure), excerpt=excerpt)
        chunks = [*self._decoder.feed(body), *self._decoder.end()]
        problem = self._decoder.problem
        failure = failure or (problem.message if problem else "" if chunks else "The upstream's answer cannot be read.")
        folded = read_body(_encode(chunks[-1])) if chunks else _NOTHING
        folded = replace(folded, usage=self._decoder.usage or folded.usage)
        return Outcome(body, folded, failure, is_truncated=bool(failure), excerpt=body[:EXCERPT] if failure else b"")


def intake_of(
    asked: Asked, call: Call, decoder: Decoder | None, guards: Sequence[Guard], *, is_stream: bool, is_events: bool
) -> Intake:
    """What takes in the answer to a call of which the caller or the server does not speak OpenAI's dialect.

    `is_stream` says that the caller is to get a stream, `is_events` that OpenAI's events come.
    """
    foreign, head = asked.entry.foreign, asked.head
    content_type = JSON if head.is_array else EVENT_STREAM
    if foreign is not None and not call.is_translated:
        if decoder is None or not call.is_stream:
            return Own(decoder)
        return Tee(decoder, foreign.dialect.writer({}, head, asked.body), content_type=content_type)
    writer: Writer = ChatWriter(hides_usage=not head.wants_usage)
    if foreign is not None:
        writer = foreign.dialect.writer(asked.fields, head, asked.body)
    is_streamed = is_events if decoder is None else call.is_stream
    if is_stream and is_streamed:
        return Translated(call.operation, decoder or ChatReader(), writer, guards=guards, content_type=content_type)
    return Gather(call.operation, is_stream=is_streamed, guards=guards, decoder=decoder, writer=writer)


def spoken(asked: Asked, data: bytes, *, is_stream: bool) -> bytes:
    """An answer that is at hand in OpenAI's dialect, whole or as its events, as its caller reads answers."""
    foreign = asked.entry.foreign
    if foreign is None:
        return data
    writer = foreign.dialect.writer(asked.fields, asked.head, asked.body)
    if not is_stream:
        return writer.whole(_decode(data))
    reader = ChatReader()
    chunks = [*reader.feed(data), *reader.end()]
    return b"".join(map(writer.feed, chunks)) + writer.end()


_NOTHING = Folding(Operation.CHAT).end()


def folded_of(folding: Folding, decoder: Decoder) -> Folded:
    """What came, with the usage as the server told it."""
    folded = folding.end(is_done=isinstance(decoder, ChatReader) and decoder.is_done)
    return replace(folded, usage=decoder.usage) if decoder.usage else folded


def has_text(chunk: Chunk) -> bool:
    """Whether a chunk brings a part of the answer itself."""
    choices: list[dict[str, Any]] = chunk.get("choices") or []
    for choice in choices:
        delta = choice.get("delta") or choice
        if any(delta.get(name) for name in _TEXTS) or delta.get("text"):
            return True
    return False


def read_error(error: object) -> Problem:
    """An error as OpenAI and its like tell it within a stream."""
    told = msgspec.convert(error, dict[str, Any]) if isinstance(error, dict) else {"message": str(error)}
    code = told.get("code")
    return Problem(
        str(told.get("message") or "The upstream broke off with an error."),
        str(told.get("type") or ""),
        None if code is None else str(code),
    )
