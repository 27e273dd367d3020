"""Amazon Bedrock, through its Converse API: one dialect for the models of all vendors.

Source: https://docs.aws.amazon.com/bedrock/latest/userguide/conversation-inference.html
"""

from dataclasses import dataclass
from urllib.parse import quote

from rondel.gateway.dialects.converse.answers import Gathered, Streamed, counts, problem_of
from rondel.gateway.dialects.converse.requests import ask
from rondel.gateway.models import Operation
from rondel.gateway.ports import Call, Capability, Decoder, Problem
from rondel.gateway.providers.sigv4 import parse_credentials, sign
from rondel.telemetry.records import TokenCounts


@dataclass(frozen=True, kw_only=True)
class Bedrock:
    """Bedrock in one region. A model is a model id, an inference profile's, or the ARN of either.

    The secret is `ACCESS_KEY:SECRET[:SESSION_TOKEN]`, which signs each request, or a Bedrock API key, which has no
    colon and goes as a bearer. `max_tokens` is for Claude models that are given a budget of thought and no limit.
    """

    region: str = "us-east-1"
    base_url: str = ""
    max_tokens: int = 16_384
    capabilities: frozenset[Capability] = frozenset({Capability.SIGNED})
    operations: frozenset[Operation] = frozenset()

    def __post_init__(self) -> None:
        if not self.base_url:
            object.__setattr__(self, "base_url", f"https://bedrock-runtime.{self.region}.amazonaws.com")

    def path(self, call: Call) -> str:
        """`/model/ID/converse`; colons and slashes of the id are encoded."""
        return f"/model/{quote(call.model, safe='-_.~')}/converse{'-stream' if call.is_stream else ''}"

    def headers(self, secret: str) -> tuple[tuple[str, str], ...]:
        """A Bedrock API key; credentials are told by `signature`."""
        return (("authorization", f"Bearer {secret}"),) if secret and ":" not in secret else ()

    def signature(self, target: str, host: str, body: bytes, secret: str, at_s: float) -> tuple[tuple[str, str], ...]:
        """The headers that sign a request; none for an API key, or without a secret.

        Raises:
            Unavailable: the secret is not what it needs.
        """
        if ":" not in secret:
            return ()
        credentials = parse_credentials(secret)
        return sign(credentials, "bedrock", self.region, target=target, host=host, body=body, at_s=at_s)

    def encode(self, call: Call) -> bytes:
        """The chat fields as a Converse request.

        Raises:
            Invalid: Converse cannot be asked that.
        """
        return ask(call.fields, call.model, default_max_tokens=self.max_tokens)

    def decoder(self, call: Call) -> Decoder | None:
        """A reader of frames for a stream, of JSON otherwise."""
        return Streamed(call.model) if call.is_stream else Gathered(call.model)

    def usage(self, reported: bytes) -> TokenCounts | None:
        """Converse's shape, in which cached tokens are no part of `inputTokens`."""
        return counts(reported)

    def problem(self, status: int, body: bytes) -> Problem | None:  # noqa: ARG002  others tell by the status
        """`{"message": "..."}`."""
        return problem_of(body)
