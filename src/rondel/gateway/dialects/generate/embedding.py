"""OpenAI's embeddings by Gemini's: one request with all inputs, one answer read back.

Sources: https://ai.google.dev/api/embeddings (batchEmbedContents),
https://docs.cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api (predict)
"""

from typing import Any

import msgspec

from rondel.gateway.costing import total_tokens
from rondel.gateway.dialects import vectors
from rondel.gateway.dialects.generate.usage import tokens_of
from rondel.gateway.dialects.generate.words import json_of, problem_of
from rondel.gateway.models import Fields
from rondel.gateway.ports import Chunk, Problem

_OWN = ("task_type",)


def batch_request(fields: Fields, model: str) -> bytes:
    """The body of `:batchEmbedContents`; `task_type` may stand beside OpenAI's fields.

    Raises:
        Invalid: the input is no text.
    """
    wanted = vectors.wanted(fields, "Gemini", _OWN)
    each: dict[str, Any] = {"model": f"models/{model.removeprefix('models/')}"}
    if wanted.dimensions is not None:
        each["outputDimensionality"] = wanted.dimensions
    if "task_type" in wanted.own:
        each["taskType"] = wanted.own["task_type"]
    requests = [{**each, "content": {"parts": [{"text": text}]}} for text in wanted.texts]
    return json_of({"requests": requests}).encode()


def predict_request(fields: Fields, model: str) -> bytes:  # noqa: ARG001  there the model stands in the path alone
    """The body of `:predict` at Vertex AI.

    Raises:
        Invalid: the input is no text.
    """
    wanted = vectors.wanted(fields, "Vertex AI", _OWN)
    body: dict[str, Any] = {"instances": [{"content": text, **wanted.own} for text in wanted.texts]}
    if wanted.dimensions is not None:
        body["parameters"] = {"outputDimensionality": wanted.dimensions}
    return json_of(body).encode()


class _Statistics(msgspec.Struct):
    token_count: float = 0


class _Embedding(msgspec.Struct):
    values: list[float]
    statistics: _Statistics | None = None


class _Prediction(msgspec.Struct):
    embeddings: _Embedding


class _Answer(msgspec.Struct, rename="camel"):
    embeddings: list[_Embedding] = []
    predictions: list[_Prediction] = []
    usage_metadata: msgspec.Raw = msgspec.Raw(b"")


_answer = msgspec.json.Decoder(_Answer).decode


class Embeddings:
    """A decoder of one answer with embeddings. The developer API may tell no usage; then none is told on."""

    def __init__(self, fields: Fields, model: str) -> None:
        self.usage = b""
        self.problem: Problem | None = None
        self._encoding = vectors.wanted(fields, "Gemini", _OWN).encoding
        self._model = model
        self._body: list[bytes] = []

    def feed(self, data: bytes) -> list[Chunk]:
        """Nothing is whole before the end."""
        self._body.append(data)
        return []

    def end(self) -> list[Chunk]:
        """The answer as OpenAI's embeddings have it."""
        body = b"".join(self._body)
        try:
            told = _answer(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            told = _Answer()
        found = told.embeddings or [each.embeddings for each in told.predictions]
        if not found:
            self.problem = problem_of(body) or Problem("The server answered without embeddings.", "server_error")
            return []
        counted = [int(each.statistics.token_count) for each in found if each.statistics is not None]
        if told.usage_metadata:
            self.usage = bytes(told.usage_metadata)
        elif counted:
            self.usage = json_of({"promptTokenCount": sum(counted)}).encode()
        tokens = tokens_of(self.usage)
        count = None if tokens is None else total_tokens(tokens)
        return [vectors.answer([each.values for each in found], self._encoding, self._model, count)]
