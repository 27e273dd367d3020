"""Servers that speak OpenAI's dialect: their bytes pass untouched."""

from dataclasses import dataclass

import msgspec

from rondel.gateway.costing import tokens_of
from rondel.gateway.dialects.extras import EXTRAS, short_user, without
from rondel.gateway.dialects.responses.decoding import ResponsesDecoder
from rondel.gateway.models import Fields, Operation
from rondel.gateway.ports import Call, Capability, Decoder, Problem
from rondel.gateway.rules import assemble, raw
from rondel.telemetry.records import TokenCounts

_OPERATIONS = frozenset({Operation.CHAT, Operation.COMPLETION, Operation.EMBEDDING})
WITH_RESPONSES = _OPERATIONS | {Operation.RESPONSES}

_LIMIT = "max_completion_tokens"
_STREAM_OPTIONS = "stream_options"


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

    `key_header` and `key_prefix` say how the key travels. `refuses` are fields that the server answers with an error
    and that change nothing of what is asked for: they are left out; `refuses_inside` are such fields of its messages.
    `callers_faults` are words in errors with status 500 that say what is wrong with the request, not with the server.
    Requests that come from another dialect are told only the `extras` that it takes, and their limit by the name
    `limit_field`.
    Source: https://platform.openai.com/docs/api-reference
    """

    base_url: str = ""
    key_header: str = "authorization"
    key_prefix: str = "Bearer "
    capabilities: frozenset[Capability] = frozenset({Capability.USAGE_ON_REQUEST})
    operations: frozenset[Operation] = _OPERATIONS
    extras: frozenset[str] = frozenset()
    limit_field: str = "max_tokens"
    refuses: frozenset[str] = frozenset()
    refuses_inside: frozenset[str] = frozenset()
    callers_faults: tuple[str, ...] = ()

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
        fields = self._told(call.fields) if call.is_translated else call.fields
        if self.refuses_inside:
            fields = without(fields, self.refuses_inside)
        left = {name: value for name, value in fields.items() if name not in self.refuses}
        return assemble({**left, "model": model})

    def _told(self, given: Fields) -> Fields:
        """A translated request's fields as this server takes them."""
        fields = short_user(without(given, EXTRAS - self.extras))
        if Capability.USAGE_ON_REQUEST not in self.capabilities:
            fields = {name: value for name, value in fields.items() if name != _STREAM_OPTIONS}
        return {self.limit_field if name == _LIMIT else name: value for name, value in fields.items()}

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
        is_callers = any(words in error.message for words in self.callers_faults)
        code = None if error.code is None else str(error.code)
        return Problem(error.message, error.type or "", code, error.param, is_callers=is_callers)


@dataclass(frozen=True, kw_only=True)
class OpenAI(OpenAICompatible):
    """OpenAI itself."""

    base_url: str = "https://api.openai.com/v1"
    limit_field: str = _LIMIT
    operations: frozenset[Operation] = WITH_RESPONSES
