"""How the playground asks: a stream from the gateway itself, told to the browser in few words."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import httpx
import msgspec

from rondel.chat import OWN_TAG

TAGS = f"{OWN_TAG}, playground"
"""Nobody's traffic: no rollout, monitor or dataset takes what is tried here for what callers see."""
LONGEST_S = 620.0


@dataclass(frozen=True, slots=True)
class Question:
    """One column's request. `secret` opens the gateway in the name of who is signed in; `user` is their name."""

    secret: str
    user: str
    body: bytes


class Reply(Protocol):
    """A stream that has begun."""

    @property
    def status(self) -> int:
        """Of HTTP."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Of HTTP."""
        ...

    def lines(self) -> AsyncIterator[str]:
        """Its lines as they come."""
        ...

    async def whole(self) -> bytes:
        """All of an answer that is no stream."""
        ...


class _Streamed:
    def __init__(self, response: httpx.Response) -> None:
        self._response = response

    @property
    def status(self) -> int:
        return self._response.status_code

    @property
    def headers(self) -> Mapping[str, str]:
        return self._response.headers

    def lines(self) -> AsyncIterator[str]:
        return self._response.aiter_lines()

    async def whole(self) -> bytes:
        return await self._response.aread()


class Asking:
    """The gateway's public port, over loopback. Leaving the context hangs up: then the provider is not read on."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url

    @asynccontextmanager
    async def ask(self, question: Question) -> AsyncGenerator[Reply]:
        """The answer to one question.

        Raises:
            httpx.HTTPError: the gateway does not answer.
        """
        headers = {
            b"authorization": b"Bearer " + question.secret.encode(),
            b"content-type": b"application/json",
            b"x-rondel-tags": TAGS.encode(),
            b"x-rondel-user": " ".join(question.user.split()).encode(),
        }
        timeout = httpx.Timeout(LONGEST_S, connect=5.0)
        async with (
            httpx.AsyncClient(base_url=self._base_url, timeout=timeout, trust_env=False) as client,
            client.stream("POST", "/v1/chat/completions", content=question.body, headers=headers) as response,
        ):
            yield _Streamed(response)


def event(name: str, **told: object) -> str:
    """One server-sent event."""
    return f"event: {name}\ndata: {json.dumps(told, ensure_ascii=False)}\n\n"


class _Function(msgspec.Struct, frozen=True):
    name: str | None = None
    arguments: str | None = None


class _ToolCall(msgspec.Struct, frozen=True):
    function: _Function = _Function()


class _Delta(msgspec.Struct, frozen=True):
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[_ToolCall] | None = None


class _Choice(msgspec.Struct, frozen=True):
    delta: _Delta = _Delta()
    finish_reason: str | None = None


class _Usage(msgspec.Struct, frozen=True):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Problem(msgspec.Struct, frozen=True):
    message: str = "The answer failed."


class _Chunk(msgspec.Struct, frozen=True):
    """What is read of a chunk; source: https://platform.openai.com/docs/api-reference/chat-streaming"""

    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: _Problem | None = None


_decode = msgspec.json.Decoder(_Chunk).decode


class Telling:
    """Turns the stream of one answer into events: `begun`, `text`, `reasoning`, then `ended` or `failed`.

    Times are ms since `began` of `now`, a monotonic clock in seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now, self._began = now, now()
        self._first_ms: float | None = None
        self._usage = _Usage()
        self._finish = ""
        self.has_failed = self.is_done = False

    def begun(self, reply: Reply) -> str:
        """The gateway answers."""
        headers = reply.headers
        return event("begun", trace=headers.get("x-rondel-trace-id", ""), release=headers.get("x-rondel-release", ""))

    def line(self, line: str) -> Iterator[str]:
        """What one line of the stream says."""
        if not line.startswith("data:"):
            return
        text = line[5:].strip()
        if text == "[DONE]":
            self.is_done = True
            return
        try:
            chunk = _decode(text)
        except msgspec.DecodeError as error:
            yield self.failed(f"The stream holds what is no chunk of a chat: {error}.")
            return
        if chunk.error is not None:
            yield self.failed(chunk.error.message)
            return
        self._usage = chunk.usage or self._usage
        for choice in chunk.choices or ():
            self._finish = choice.finish_reason or self._finish
            yield from self._delta(choice.delta)

    def _delta(self, delta: _Delta) -> Iterator[str]:
        text = delta.content or delta.refusal or ""
        for call in delta.tool_calls or ():
            function = call.function
            text += (f"{function.name} " if function.name else "") + (function.arguments or "")
        if reasoning := delta.reasoning_content or delta.reasoning:
            yield self._timed("reasoning", reasoning)
        if text:
            yield self._timed("text", text)

    def _timed(self, name: str, text: str) -> str:
        if self._first_ms is None:
            self._first_ms = self._ms()
            return event(name, text=text, first_ms=self._first_ms)
        return event(name, text=text)

    def failed(self, message: str, status: int = 0) -> str:
        """It went wrong, as a sentence."""
        self.has_failed = True
        return event("failed", message=message, status=status, total_ms=self._ms())

    def refused(self, status: int, body: bytes) -> str:
        """The gateway answered with an error."""
        message = f"The gateway answered with status {status}."
        try:
            problem = _decode(body).error
        except msgspec.DecodeError:
            problem = None
        if problem is not None:
            message = problem.message
        return self.failed(message, status)

    def ended(self) -> str:
        """The answer is whole; one that broke off has failed."""
        if not self.is_done and not self._finish:
            return self.failed("The answer broke off.")
        return event(
            "ended",
            finish=self._finish,
            tokens_in=self._usage.prompt_tokens,
            tokens_out=self._usage.completion_tokens,
            total_ms=self._ms(),
        )

    def _ms(self) -> float:
        return round((self._now() - self._began) * 1000, 1)
