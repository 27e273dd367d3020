"""OpenAI's embeddings by Gemini's: one request with all inputs, one answer read back.

Sources: https://ai.google.dev/api/embeddings (batchEmbedContents),
https://docs.cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api (predict)
"""

import sys
from array import array
from base64 import b64encode
from typing import Any

import msgspec

from rondel.errors import Invalid
from rondel.gateway.dialects.generate.usage import tokens_of
from rondel.gateway.dialects.generate.words import json_of, problem_of
from rondel.gateway.models import Fields
from rondel.gateway.ports import Chunk, Problem
from rondel.gateway.rules import total_tokens


class _Asked(msgspec.Struct):
    input: str | list[Any]
    dimensions: int | None = None
    encoding_format: str | None = None
    task_type: str | None = None


_asked = msgspec.json.Decoder(_Asked).decode


def _read(fields: Fields) -> _Asked:
    try:
        return _asked(msgspec.json.encode(fields))
    except msgspec.ValidationError as error:
        raise Invalid(f"The request for embeddings is wrong: {error}.") from error


def _texts(asked: _Asked) -> list[str]:
    inputs = [asked.input] if isinstance(asked.input, str) else asked.input
    texts = [text for text in inputs if isinstance(text, str)]
    if len(texts) < len(inputs):
        raise Invalid("The 'input' is made of tokens, and Gemini takes texts only: send the texts.")
    return texts


def batch_request(fields: Fields, model: str) -> bytes:
    """The body of `:batchEmbedContents`; `task_type` may stand beside OpenAI's fields.

    Raises:
        Invalid: the input is no text.
    """
    asked = _read(fields)
    each: dict[str, Any] = {"model": f"models/{model.removeprefix('models/')}"}
    if asked.dimensions is not None:
        each["outputDimensionality"] = asked.dimensions
    if asked.task_type is not None:
        each["taskType"] = asked.task_type
    requests = [{**each, "content": {"parts": [{"text": text}]}} for text in _texts(asked)]
    return json_of({"requests": requests}).encode()


def predict_request(fields: Fields, model: str) -> bytes:  # noqa: ARG001  there the model stands in the path alone
    """The body of `:predict` at Vertex AI.

    Raises:
        Invalid: the input is no text.
    """
    asked = _read(fields)
    task = {} if asked.task_type is None else {"task_type": asked.task_type}
    body: dict[str, Any] = {"instances": [{"content": text, **task} for text in _texts(asked)]}
    if asked.dimensions is not None:
        body["parameters"] = {"outputDimensionality": asked.dimensions}
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


def encoded(values: list[float], encoding: str | None) -> list[float] | str:
    """A vector as it was asked for: numbers, or base64 of little-endian 32-bit floats."""
    if encoding != "base64":
        return values
    floats = array("f", values)
    if sys.byteorder == "big":
        floats.byteswap()
    return b64encode(floats.tobytes()).decode()


class Embeddings:
    """A decoder of one answer with embeddings. The developer API may tell no usage; then none is told on."""

    def __init__(self, fields: Fields, model: str) -> None:
        self.usage = b""
        self.problem: Problem | None = None
        self._encoding = _read(fields).encoding_format
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
        data = [
            {"object": "embedding", "index": index, "embedding": encoded(each.values, self._encoding)}
            for index, each in enumerate(found)
        ]
        answer: Chunk = {"object": "list", "data": data, "model": self._model}
        if (tokens := tokens_of(self.usage)) is not None:
            answer["usage"] = {"prompt_tokens": total_tokens(tokens), "total_tokens": total_tokens(tokens)}
        return [answer]
