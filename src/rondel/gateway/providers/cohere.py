"""Cohere: its chat and its embeddings, version 2, translated."""

from dataclasses import dataclass

from rondel.gateway.dialects.cohere.answers import Answers, Embeddings
from rondel.gateway.dialects.cohere.asking import chat_request, embed_request
from rondel.gateway.dialects.cohere.words import problem_of, tokens_of
from rondel.gateway.models import Operation
from rondel.gateway.ports import Call, Capability, Decoder, Problem
from rondel.telemetry.records import TokenCounts


@dataclass(frozen=True, kw_only=True)
class Cohere:
    """Cohere. `input_type` is what embeddings are for, when a request does not say: Cohere wants to know.

    `documents`, `citation_options`, `safety_mode`, `thinking`, `strict_tools` and `priority` may stand beside OpenAI's
    fields; citations come back beside the content. It tells its usage unasked; callers who did not ask are not told.
    Source: https://docs.cohere.com/v2/reference/chat
    """

    base_url: str = "https://api.cohere.com/v2"
    input_type: str = "search_document"
    capabilities: frozenset[Capability] = frozenset({Capability.USAGE_ON_REQUEST})
    operations: frozenset[Operation] = frozenset({Operation.EMBEDDING})

    def path(self, call: Call) -> str:
        """`/chat` or `/embed`."""
        return "/embed" if call.operation is Operation.EMBEDDING else "/chat"

    def headers(self, secret: str) -> tuple[tuple[str, str], ...]:
        """The API key."""
        return (("authorization", f"Bearer {secret}"),) if secret else ()

    def encode(self, call: Call) -> bytes:
        """Always a translation."""
        if call.operation is Operation.EMBEDDING:
            return embed_request(call.fields, call.model, self.input_type)
        return chat_request(call.fields, call.model, is_stream=call.is_stream)

    def decoder(self, call: Call) -> Decoder:
        """Reads both."""
        if call.operation is Operation.EMBEDDING:
            return Embeddings(call.fields, call.model)
        return Answers(call.model, is_stream=call.is_stream)

    def usage(self, reported: bytes) -> TokenCounts | None:
        """What is billed."""
        return tokens_of(reported)

    def problem(self, status: int, body: bytes) -> Problem | None:
        """`{"message": "..."}`."""
        return problem_of(status, body)
