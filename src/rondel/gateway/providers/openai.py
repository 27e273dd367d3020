"""Servers that speak OpenAI's dialect: their bytes pass untouched."""

from dataclasses import dataclass
from typing import Any

import msgspec

from rondel.gateway.costing import tokens_of
from rondel.gateway.dialects.responses.decoding import ResponsesDecoder
from rondel.gateway.models import Operation
from rondel.gateway.ports import Call, Capability, Decoder, Problem
from rondel.gateway.rules import assemble, raw
from rondel.telemetry.records import TokenCounts

_OPERATIONS = frozenset({Operation.CHAT, Operation.COMPLETION, Operation.EMBEDDING})
WITH_RESPONSES = _OPERATIONS | {Operation.RESPONSES}


class _Error(msgspec.Struct):
    message: str = ""
    type: str | None = None
    code: str | int | None = None
    param: str | None = None


class _Body(msgspec.Struct):
    error: _Error | str


_body = msgspec.json.Decoder(_Body).decode
_messages = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode
_REASONING = ("reasoning_content", "reasoning_details")


@dataclass(frozen=True, kw_only=True)
class OpenAICompatible:
    """Any OpenAI-compatible server. A host with its own facts is a subclass that sets defaults, and nothing else.

    `key_header` and `key_prefix` say how the key travels. `refuses` are fields that the server answers with an error
    and that change nothing of what is asked for: they are left out. `refuses_reasoning` says that it takes no
    `reasoning_content` among the messages. Source: https://platform.openai.com/docs/api-reference
    """

    base_url: str = ""
    key_header: str = "authorization"
    key_prefix: str = "Bearer "
    capabilities: frozenset[Capability] = frozenset({Capability.USAGE_ON_REQUEST})
    operations: frozenset[Operation] = _OPERATIONS
    refuses: frozenset[str] = frozenset()
    refuses_reasoning: bool = False

    def path(self, call: Call) -> str:
        """`/chat/completions` and its like."""
        return f"/{call.operation.value}"

    def headers(self, secret: str) -> tuple[tuple[str, str], ...]:
        """The key, if there is one."""
        return ((self.key_header, f"{self.key_prefix}{secret}"),) if secret else ()

    def encode(self, call: Call) -> bytes:
        """The caller's bytes when only the model's name would be written over itself, else the fields with the
        model."""
        model = raw(call.model)
        if call.original is not None and bytes(call.fields.get("model", b"")) == bytes(model):
            return call.original
        fields: dict[str, Any] = {**call.fields, "model": model}
        if call.operation is Operation.CHAT:
            for name in self.refuses:
                fields.pop(name, None)
            if self.refuses_reasoning and b'"reasoning_' in bytes(fields.get("messages", b"")):
                fields["messages"] = _without_reasoning(fields["messages"])
        return assemble(fields)

    def decoder(self, call: Call) -> Decoder | None:
        """A response is read for the record; everything else is in the chat dialect."""
        return ResponsesDecoder(is_stream=call.is_stream) if call.operation is Operation.RESPONSES else None

    def usage(self, reported: bytes) -> TokenCounts | None:
        """OpenAI's shape."""
        return tokens_of(reported)

    def problem(self, status: int, body: bytes) -> Problem | None:  # noqa: ARG002  others tell by the status
        """`{"error": {...}}`, or `{"error": "..."}` as some servers have it."""
        try:
            error = _body(body).error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        if isinstance(error, str):
            return Problem(error)
        return Problem(error.message, error.type or "", None if error.code is None else str(error.code), error.param)


@dataclass(frozen=True, kw_only=True)
class OpenAI(OpenAICompatible):
    """OpenAI itself."""

    base_url: str = "https://api.openai.com/v1"
    operations: frozenset[Operation] = WITH_RESPONSES


def _without_reasoning(messages: msgspec.Raw) -> msgspec.Raw:
    try:
        told = _messages(messages)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return messages  # not messages: the server says so
    return raw([{name: value for name, value in one.items() if name not in _REASONING} for one in told])
