"""Content blocks of the Messages API and content parts of chat completions, each as the other.

Source: https://platform.claude.com/docs/en/api/messages (content blocks),
https://platform.openai.com/docs/api-reference/chat/create (content parts).
"""

from collections.abc import Iterable

import msgspec

from rondel.errors import Invalid
from rondel.gateway.dialects.extras import ANTHROPIC, CACHE
from rondel.gateway.dialects.messages.values import (
    content,
    is_list,
    object_of,
    optional_text,
    rest,
    text,
    with_extras,
    without_extras,
)
from rondel.gateway.models import Fields
from rondel.gateway.rules import raw

Built = dict[str, object]
"""A JSON object about to be written; its values may be raw JSON."""

_DOCUMENT = "document"


def parts_of(given: str | list[Fields], where: str) -> str | list[Built]:
    """Blocks of text, images and documents as parts; one text with nothing about it is a string.

    Raises:
        Invalid: a block is of a kind that chat has no part for.
    """
    if isinstance(given, str):
        return given
    return plain([part_of(block, where) for block in given])


def plain(parts: list[Built]) -> str | list[Built]:
    """A single text with nothing about it is a string: every server takes that."""
    if len(parts) == 1 and parts[0].keys() == {"type", "text"} and parts[0]["type"] == "text":
        return str(parts[0]["text"])
    return parts


def part_of(block: Fields, where: str) -> Built:
    """One block as a part.

    Raises:
        Invalid: it is of a kind that chat has no part for.
    """
    kind = text(block, "type", where)
    match kind:
        case "text":
            part: Built = {"type": "text", "text": text(block, "text", where)}
            with_extras(part, block, rest(block, ("type", "text", CACHE)))
        case "image":
            part = _image_part(block, where)
        case "document":
            part = _document_part(block, where)
        case _:
            raise Invalid(
                f"{where} is a block of type {kind!r}, which only providers that speak the Messages API themselves "
                "take: send text, image or document blocks."
            )
    return part


def _image_part(block: Fields, where: str) -> Built:
    source = object_of(block, "source", where)
    extra: Built = dict(rest(block, ("type", "source", CACHE)))
    match text(source, "type", f"{where}: source"):
        case "base64":
            part: Built = {"type": "image_url", "image_url": {"url": _data_url(source, where)}}
        case "url":
            part = {"type": "image_url", "image_url": {"url": text(source, "url", where)}}
        case "file":
            part = {"type": "file", "file": {"file_id": text(source, "file_id", where)}}
            extra["type"] = "image"
        case kind:
            raise Invalid(f"{where}: an image's source is 'base64', 'url' or 'file', not {kind!r}.")
    with_extras(part, block, extra)
    return part


def _document_part(block: Fields, where: str) -> Built:
    source = object_of(block, "source", where)
    extra: Built = dict(rest(block, ("type", "source", CACHE)))
    name = {"filename": optional_text(block, "title", where) or _DOCUMENT}
    match text(source, "type", f"{where}: source"):
        case "base64":
            part: Built = {"type": "file", "file": {**name, "file_data": _data_url(source, where)}}
        case "url":
            part = {"type": "file", "file": {**name, "file_data": text(source, "url", where)}}
        case "file":
            part = {"type": "file", "file": {"file_id": text(source, "file_id", where)}}
        case "text":  # told as text, which every model reads
            part = {"type": "text", "text": text(source, "data", where)}
            extra["type"] = _DOCUMENT
        case kind:
            raise Invalid(f"{where}: a document's source is 'base64', 'url', 'text' or 'file' here, not {kind!r}.")
    with_extras(part, block, extra)
    return part


def _data_url(source: Fields, where: str) -> str:
    return f"data:{text(source, 'media_type', where)};base64,{text(source, 'data', where)}"


def blocks_of(given: str | list[Fields], where: str) -> list[Built]:
    """Parts as blocks; an empty text is no block.

    Raises:
        Invalid: a part is of a kind that the Messages API has no block for.
    """
    if isinstance(given, str):
        return [{"type": "text", "text": given}] if given else []
    return [block for part in given if (block := block_of(part, where)).get("text") != ""]


def block_of(part: Fields, where: str) -> Built:
    """One part as a block.

    Raises:
        Invalid: it is of a kind that the Messages API has no block for.
    """
    kind = text(part, "type", where)
    extra = without_extras(part, where)
    match kind:
        case "text" if extra.get("type") is not None:
            source = {"type": "text", "media_type": "text/plain", "data": text(part, "text", where)}
            return {**extra, "type": _DOCUMENT, "source": source}
        case "text" | "refusal":
            return {"type": "text", "text": text(part, kind, where), **extra}
        case "image_url":
            url = text(object_of(part, "image_url", where), "url", where)
            return {"type": "image", "source": source_of(url, where), **extra}
        case "file":
            file = object_of(part, "file", where)
            if data := optional_text(file, "file_data", where):
                title = optional_text(file, "filename", where)
                named = {"title": title} if title not in ("", _DOCUMENT) else {}
                return {"type": _DOCUMENT, "source": source_of(data, where), **named, **extra}
            source = {"type": "file", "file_id": text(file, "file_id", where)}
            return {"type": _DOCUMENT, "source": source, **extra}
        case _:
            raise Invalid(f"{where}: a part of type {kind!r} cannot be said in the Messages API: send text or images.")


def source_of(url: str, where: str) -> dict[str, str]:
    """Where an image or a document is to be had: the bytes of a `data:` URL, or a URL.

    Raises:
        Invalid: it is a `data:` URL of another kind than base64.
    """
    if not url.startswith("data:"):
        return {"type": "url", "url": url}
    head, comma, data = url[5:].partition(",")
    media_type, _, coding = head.partition(";")
    if not comma or coding != "base64" or not media_type:
        raise Invalid(f"{where}: a data: URL has to begin like 'data:image/png;base64,'.")
    return {"type": "base64", "media_type": media_type, "data": data}


class Placed(msgspec.Struct):
    """Where a part of a tool's result stood, when it had to be told outside of it."""

    tool_use_id: str
    at: int


_placed = msgspec.json.Decoder(Placed)


def result_parts(given: str | list[Fields], tool_use_id: str, where: str) -> tuple[str | list[Built], list[Built]]:
    """A tool's result as the parts that a tool message takes (texts), and those that have to stand in a user message
    behind it (images, documents): these say where they belong.

    Source: https://platform.openai.com/docs/api-reference/chat/create (tool messages hold text parts only).

    Raises:
        Invalid: a block is of a kind that chat has no part for.
    """
    if isinstance(given, str):
        return given, []
    texts: list[Built] = []
    others: list[Built] = []
    for position, block in enumerate(given):
        part = part_of(block, where)
        if part["type"] == "text":
            texts.append(part)
        else:
            extra = part.get(ANTHROPIC)
            place: Built = {"result": {"tool_use_id": tool_use_id, "at": position}}
            part[ANTHROPIC] = {**extra, **place} if isinstance(extra, dict) else place
            others.append(part)
    return plain(texts) if texts else "", others


def put_back(block: Built, results: Iterable[Built]) -> bool:
    """Put a block that says where it belongs back into that tool's result; whether it did."""
    place = block.pop("result", None)
    if not isinstance(place, msgspec.Raw):
        return False
    try:
        placed = _placed.decode(place)
    except msgspec.DecodeError:
        return False
    for result in results:
        if result["tool_use_id"] == placed.tool_use_id:
            inside = result.setdefault("content", [])
            if is_list(inside):
                inside.insert(placed.at, block)
                return True
    return False


def result_of(message: Fields, where: str) -> Built:
    """A tool message as a `tool_result` block.

    Raises:
        Invalid: it says not which call it answers, or holds what cannot be said.
    """
    result = {
        **without_extras(message, where),
        "type": "tool_result",
        "tool_use_id": text(message, "tool_call_id", where),
    }
    if inside := blocks_of(content(message, where), where):
        result["content"] = inside
    return result


def json_text(value: object) -> str:
    """A value as the text of its JSON."""
    return bytes(raw(value)).decode()
