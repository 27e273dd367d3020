"""Gemini, at Google's developer API and at Vertex AI: translated, or by its own dialect."""

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

from rondel.gateway.dialects.generate.answers import Answers
from rondel.gateway.dialects.generate.asking import request_of
from rondel.gateway.dialects.generate.embedding import Embeddings, batch_request, predict_request
from rondel.gateway.dialects.generate.usage import tokens_of
from rondel.gateway.dialects.generate.words import problem_of
from rondel.gateway.models import Fields, Operation
from rondel.gateway.ports import Call, Capability, Decoder, Problem
from rondel.gateway.rules import assemble
from rondel.telemetry.records import TokenCounts

_OURS = frozenset({"model", "stream", "stream_options"})
"""Fields that stand in the path of a request in Gemini's own dialect, and not in its body."""
_OPERATIONS = frozenset({Operation.GENERATE, Operation.EMBEDDING})
_CAPABILITIES = frozenset({Capability.USAGE_ON_REQUEST})
"""Gemini tells its usage unasked; so it is kept from callers of OpenAI's dialect who did not ask."""

_MULTI_REGIONS = frozenset({"us", "eu"})


@dataclass(frozen=True, kw_only=True)
class Gemini:
    """Google's developer API (AI Studio). Source: https://ai.google.dev/api"""

    base_url: str = "https://generativelanguage.googleapis.com/v1beta"
    capabilities: frozenset[Capability] = _CAPABILITIES
    operations: frozenset[Operation] = _OPERATIONS

    def path(self, call: Call) -> str:
        """The model and what it is asked for; a stream comes as events, unless its caller wants an array."""
        return f"{model_path(call.model)}:{_method(call)}"

    def headers(self, secret: str) -> tuple[tuple[str, str], ...]:
        """The API key."""
        return (("x-goog-api-key", secret),) if secret else ()

    def encode(self, call: Call) -> bytes:
        """The caller's bytes if they are in Gemini's dialect and name no model, else a translation."""
        return _encode(call, batch_request)

    def decoder(self, call: Call) -> Decoder:
        """Reads answers of all operations; a call in Gemini's own dialect is read for its record."""
        return _decoder(call)

    def usage(self, reported: bytes) -> TokenCounts | None:
        """A `usageMetadata`."""
        return tokens_of(reported)

    def problem(self, status: int, body: bytes) -> Problem | None:  # noqa: ARG002  the body tells the status too
        """`{"error": {...}}`, or a list with one."""
        return problem_of(body)


@dataclass(frozen=True, kw_only=True)
class Vertex:
    """Gemini at Vertex AI: `project` is the Google Cloud project, `location` a region, `us`, `eu` or `global`.

    The secret is an OAuth access token, which lives for an hour: the plugin that the secret comes from (such as the one
    for Google Cloud) renews it, and nothing is renewed here. A `base_url` of one's own ends with `/publishers/google`.
    Sources: https://docs.cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference,
    https://docs.cloud.google.com/vertex-ai/generative-ai/docs/learn/locations
    """

    project: str = ""
    location: str = "global"
    base_url: str = ""
    capabilities: frozenset[Capability] = _CAPABILITIES
    operations: frozenset[Operation] = _OPERATIONS

    def __post_init__(self) -> None:
        """The address follows from project and location."""
        if self.project and not self.base_url:
            place = f"projects/{self.project}/locations/{self.location}/publishers/google"
            object.__setattr__(self, "base_url", f"https://{_host(self.location)}/v1/{place}")

    def path(self, call: Call) -> str:
        """As at the developer API; embeddings are predictions."""
        method = "predict" if call.operation is Operation.EMBEDDING else _method(call)
        return f"{model_path(call.model)}:{method}"

    def headers(self, secret: str) -> tuple[tuple[str, str], ...]:
        """The access token."""
        return (("authorization", f"Bearer {secret}"),) if secret else ()

    def encode(self, call: Call) -> bytes:
        """As at the developer API."""
        return _encode(call, predict_request)

    def decoder(self, call: Call) -> Decoder:
        """As at the developer API."""
        return _decoder(call)

    def usage(self, reported: bytes) -> TokenCounts | None:
        """A `usageMetadata`."""
        return tokens_of(reported)

    def problem(self, status: int, body: bytes) -> Problem | None:  # noqa: ARG002  the body tells the status too
        """`{"error": {...}}`, or a list with one."""
        return problem_of(body)


def model_path(model: str) -> str:
    """Where a model stands; only a tuned model stands elsewhere than under `/models`."""
    kind, slash, name = model.partition("/")
    if slash and kind in {"models", "tunedModels"}:
        return f"/{kind}/{quote(name, safe='')}"
    return f"/models/{quote(model, safe='')}"


def _method(call: Call) -> str:
    if call.operation is Operation.EMBEDDING:
        return "batchEmbedContents"
    if not call.is_stream:
        return "generateContent"
    return "streamGenerateContent" if call.is_array else "streamGenerateContent?alt=sse"


def _encode(call: Call, embedding_request: Callable[[Fields, str], bytes]) -> bytes:
    if call.operation is Operation.EMBEDDING:
        return embedding_request(call.fields, call.model)
    if call.operation is not Operation.GENERATE:
        return request_of(call.fields, call.model)
    if call.original is not None and "model" not in call.fields:
        return call.original
    return assemble({name: value for name, value in call.fields.items() if name not in _OURS})


def _decoder(call: Call) -> Decoder:
    if call.operation is Operation.EMBEDDING:
        return Embeddings(call.fields, call.model)
    return Answers(is_stream=call.is_stream)


def _host(location: str) -> str:
    if location == "global":
        return "aiplatform.googleapis.com"
    if location in _MULTI_REGIONS:
        return f"aiplatform.{location}.rep.googleapis.com"
    return f"{location}-aiplatform.googleapis.com"
