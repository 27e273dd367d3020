"""Gemini's generateContent as callers speak it."""

import re
from collections.abc import Mapping
from urllib.parse import parse_qs, unquote

import msgspec

from rondel.errors import Invalid
from rondel.gateway.dialects.extras import ASIDE
from rondel.gateway.dialects.generate.reading import chat_of
from rondel.gateway.dialects.generate.requests import read_request
from rondel.gateway.dialects.generate.words import error_of, json_of
from rondel.gateway.dialects.generate.writing import Responses
from rondel.gateway.models import Fields, Head
from rondel.gateway.ports import Problem, Writer
from rondel.gateway.rules import raw

_TARGET = re.compile(r"[^?]*/(?:models|tunedModels)/([^?]+):(generateContent|streamGenerateContent)(?:\?(.*))?")


class _Limits(msgspec.Struct):
    camel: int | None = msgspec.field(default=None, name="maxOutputTokens")
    snake: int | None = msgspec.field(default=None, name="max_output_tokens")


class _Peek(msgspec.Struct):
    camel: _Limits | None = msgspec.field(default=None, name="generationConfig")
    snake: _Limits | None = msgspec.field(default=None, name="generation_config")
    labels: dict[str, str] | None = None


_peek = msgspec.json.Decoder(_Peek, strict=False).decode


class _Thinking(msgspec.Struct, rename="camel"):
    include_thoughts: bool = False


class _Config(msgspec.Struct):
    thinking: _Thinking = msgspec.field(default_factory=_Thinking, name="thinkingConfig")


class _Google(msgspec.Struct):
    config: _Config = msgspec.field(default_factory=_Config, name="generationConfig")


class _Aside(msgspec.Struct):
    google: _Google = msgspec.field(default_factory=_Google)


_aside = msgspec.json.Decoder(_Aside, strict=False).decode


class Generate:
    """POST /v1beta/models/NAME:generateContent, and :streamGenerateContent with `alt=sse` or as a JSON array.

    Source: https://ai.google.dev/api/generate-content
    """

    def head(self, target: str, headers: Mapping[bytes, bytes], body: bytes) -> Head:  # noqa: ARG002  the port's
        """The model stands in the path, whether and how to stream too; labels are what others call metadata.

        The body is not looked into further: on its way to Gemini it may say what other models cannot be asked.
        """
        found = _TARGET.fullmatch(target)
        if found is None:
            raise Invalid(f"{target.partition('?')[0]!r} is not /v1beta/models/NAME:generateContent.")
        try:
            told = _peek(body)
        except msgspec.ValidationError as error:
            raise Invalid(f"The body is wrong: {error}.") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Invalid(f"The body is not valid JSON: {error}.") from error
        except RecursionError as error:
            raise Invalid("The body's JSON is nested too deeply.") from error
        limits = told.camel or told.snake or _Limits()
        is_stream = found[2] == "streamGenerateContent"
        return Head(
            model=unquote(found[1]),
            is_stream=is_stream,
            max_tokens=limits.snake if limits.camel is None else limits.camel,
            user="",
            metadata=told.labels or {},
            wants_usage=True,
            is_array=is_stream and parse_qs(found[3] or "").get("alt") != ["sse"],
        )

    def read(self, body: bytes, head: Head) -> Fields:
        """OpenAI's chat; a stream is asked to tell its usage, as Gemini's do."""
        chat = chat_of(read_request(body))
        fields: dict[str, object] = {"model": head.model, **chat.fields, "stream": head.is_stream}
        if head.is_stream:
            fields["stream_options"] = {"include_usage": True}
        if chat.aside or any("reasoning_details" in each or "images" in each for each in chat.fields["messages"]):
            fields[ASIDE] = chat.aside
        return {name: raw(value) for name, value in fields.items()}

    def writer(self, fields: Fields, head: Head, body: bytes) -> Writer:  # noqa: ARG002  the fields say it
        """Events or an array, as the request's `alt` says; with thoughts if its `includeThoughts` says so."""
        tells_thoughts = ASIDE in fields and _aside(fields[ASIDE]).google.config.thinking.include_thoughts
        return Responses(is_array=head.is_array, tells_thoughts=tells_thoughts)

    def error(self, status: int, problem: Problem) -> bytes:
        """`{"error": {"code", "message", "status"}}`."""
        return json_of(error_of(status, problem)).encode()
