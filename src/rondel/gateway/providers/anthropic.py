"""Anthropic's Messages API as a server. Source: https://platform.claude.com/docs/en/api/overview"""

from dataclasses import dataclass

from rondel.gateway.dialects.messages.asking import ask
from rondel.gateway.dialects.messages.problems import problem_of
from rondel.gateway.dialects.messages.streams import Gathered, Streamed
from rondel.gateway.dialects.messages.usage import counts
from rondel.gateway.models import Operation
from rondel.gateway.ports import Call, Capability, Decoder, Problem
from rondel.gateway.rules import assemble, raw
from rondel.telemetry.records import TokenCounts

_OWN = frozenset({Operation.MESSAGES, Operation.COUNT_TOKENS})


@dataclass(frozen=True, kw_only=True)
class Anthropic:
    """Anthropic, or a server that speaks as it does.

    `version` is the API version of requests that name none: 2023-06-01 is the last one that takes `temperature`,
    `top_p` and `top_k`, and answers as later ones do
    (https://platform.claude.com/docs/en/api/migration-2026-10-21). `max_tokens` is for requests that set no limit, as
    the API wants one; every model that is served takes 16,384.
    """

    base_url: str = "https://api.anthropic.com/v1"
    version: str = "2023-06-01"
    max_tokens: int = 16_384
    capabilities: frozenset[Capability] = frozenset()
    operations: frozenset[Operation] = _OWN

    def path(self, call: Call) -> str:
        """`/messages` for all but counting."""
        return f"/{(call.operation if call.operation in self.operations else Operation.MESSAGES).value}"

    def headers(self, secret: str) -> tuple[tuple[str, str], ...]:
        """The version, and the key if there is one."""
        version = (("anthropic-version", self.version),)
        return (("x-api-key", secret), *version) if secret else version

    def encode(self, call: Call) -> bytes:
        """A Messages caller's fields as they are, but for the model; chat fields translated.

        Raises:
            Invalid: the Messages API cannot be asked that.
        """
        if call.operation not in self.operations:
            return ask(call.fields, call.model, default_max_tokens=self.max_tokens)
        model = raw(call.model)
        if call.original is not None and bytes(call.fields.get("model", b"")) == bytes(model):
            return call.original
        return assemble({**call.fields, "model": model})

    def decoder(self, call: Call) -> Decoder | None:
        """A reader of messages; None for a count of tokens, which is no answer."""
        if call.operation is Operation.COUNT_TOKENS:
            return None
        return Streamed() if call.is_stream else Gathered()

    def usage(self, reported: bytes) -> TokenCounts | None:
        """Anthropic's shape, in which cached tokens are no part of `input_tokens`."""
        return counts(reported)

    def problem(self, status: int, body: bytes) -> Problem | None:  # noqa: ARG002  others tell by the status
        """`{"type": "error", "error": {...}}`."""
        return problem_of(body)
