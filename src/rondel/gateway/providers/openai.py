"""Servers that speak OpenAI's dialect: their bytes pass untouched."""

from dataclasses import dataclass

import msgspec

from rondel.gateway.models import Fields, Operation
from rondel.gateway.ports import ASIDE, Call, Capability, Decoder, Problem
from rondel.gateway.rules import assemble, raw, tokens_of
from rondel.telemetry.records import TokenCounts

_OPERATIONS = frozenset({Operation.CHAT, Operation.COMPLETION, Operation.EMBEDDING})


class _Error(msgspec.Struct):
    message: str = ""
    type: str | None = None
    code: str | int | None = None
    param: str | None = None


class _Body(msgspec.Struct):
    error: _Error | str


_body = msgspec.json.Decoder(_Body).decode


@dataclass(frozen=True, kw_only=True)
class OpenAICompatible:
    """Any OpenAI-compatible server. A host with its own facts is a subclass that sets defaults, and nothing else.

    `key_header` and `key_prefix` say how the key travels. Source: https://platform.openai.com/docs/api-reference
    """

    base_url: str = ""
    key_header: str = "authorization"
    key_prefix: str = "Bearer "
    capabilities: frozenset[Capability] = frozenset({Capability.USAGE_ON_REQUEST})
    operations: frozenset[Operation] = _OPERATIONS

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
        return assemble({**(without_aside(call.fields) if ASIDE in call.fields else call.fields), "model": model})

    def decoder(self, call: Call) -> Decoder | None:  # noqa: ARG002  the port's other implementations translate
        """None: nothing is to be translated."""
        return None

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


_FOR_THEIR_MODEL = frozenset({"reasoning_details", "images"})
_messages = msgspec.json.Decoder(list[Fields]).decode


def without_aside(fields: Fields) -> Fields:
    """The request without what only the caller's own dialect knows."""
    messages = [
        {name: value for name, value in message.items() if name not in _FOR_THEIR_MODEL}
        for message in _messages(fields.get("messages", b"[]"))
    ]
    return {**{name: value for name, value in fields.items() if name != ASIDE}, "messages": raw(messages)}
