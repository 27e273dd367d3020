"""OpenAI's embeddings for servers that have their own: what is asked, and the answer.

Source: https://platform.openai.com/docs/api-reference/embeddings
"""

import sys
from array import array
from base64 import b64encode
from collections.abc import Sequence
from typing import Any

import msgspec

from rondel.errors import Invalid
from rondel.gateway.models import Fields
from rondel.gateway.ports import Chunk

_KNOWN = frozenset({"model", "input", "dimensions", "encoding_format", "user"})


class _Fields(msgspec.Struct):
    input: str | list[Any]
    dimensions: int | None = None
    encoding_format: str = "float"


class Wanted(msgspec.Struct, frozen=True):
    """Texts to be embedded. `own` are the server's own fields beside OpenAI's."""

    texts: list[str]
    dimensions: int | None
    encoding: str
    own: dict[str, Any]


_read = msgspec.json.Decoder(_Fields).decode
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def wanted(fields: Fields, server: str, own: Sequence[str]) -> Wanted:
    """What is asked of `server`, which knows the fields `own` besides.

    Raises:
        Invalid: a field is wrong or not known, or the input is no text.
    """
    try:
        told = _read(_encode(fields))
    except msgspec.ValidationError as error:
        raise Invalid(f"The request for embeddings is wrong: {error}.") from error
    for name in fields:
        if name not in _KNOWN and name not in own:
            raise Invalid(f"The field {name!r} has no counterpart at {server}: leave it out.")
    inputs = [told.input] if isinstance(told.input, str) else told.input
    texts = [text for text in inputs if isinstance(text, str)]
    if len(texts) < len(inputs):
        raise Invalid(f"The 'input' is made of tokens, and {server} takes texts only: send the texts.")
    kept = {name: _decode(fields[name]) for name in own if name in fields}
    return Wanted(texts, told.dimensions, told.encoding_format, kept)


def answer(vectors: Sequence[list[float]], encoding: str, model: str, tokens: int | None) -> Chunk:
    """OpenAI's answer; without usage when the server told none."""
    data = [
        {"object": "embedding", "index": index, "embedding": _encoded(vector, encoding)}
        for index, vector in enumerate(vectors)
    ]
    usage = {} if tokens is None else {"usage": {"prompt_tokens": tokens, "total_tokens": tokens}}
    return {"object": "list", "data": data, "model": model, **usage}


def _encoded(vector: list[float], encoding: str) -> list[float] | str:
    """Numbers, or base64 of little-endian 32-bit floats."""
    if encoding != "base64":
        return vector
    floats = array("f", vector)
    if sys.byteorder == "big":
        floats.byteswap()
    return b64encode(floats.tobytes()).decode()
