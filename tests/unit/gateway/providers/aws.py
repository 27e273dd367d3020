"""Bedrock as botocore knows it: its service model reads what we send, and its parser reads what we read."""

import json
import struct
import zlib
from typing import Any

from botocore.eventstream import EventStreamBuffer
from botocore.parsers import EventStreamJSONParser, create_parser
from botocore.serialize import create_serializer
from botocore.session import get_session
from botocore.validate import ParamValidator

_SERVICE = get_session().get_service_model("bedrock-runtime")
_OPERATIONS = {
    is_stream: _SERVICE.operation_model("ConverseStream" if is_stream else "Converse") for is_stream in (0, 1)
}


def understood(body: bytes, path: str, model: str, *, is_stream: bool) -> dict[str, Any]:
    """A request's body, after botocore has read it, found it valid, and written it and its path the same."""
    operation = _OPERATIONS[is_stream]
    told = json.loads(body)
    parameters = create_parser("rest-json")._parse_shape(operation.input_shape, told)
    parameters["modelId"] = model
    errors = ParamValidator().validate(parameters, operation.input_shape)
    assert not errors.has_errors(), errors.generate_report()
    written = create_serializer("rest-json").serialize_to_request(parameters, operation)
    assert json.loads(written["body"]) == told
    assert written["url_path"] == path
    return told


def parsed(stream: bytes) -> list[dict[str, Any]]:
    """A stream's events as botocore reads them."""
    shape = _OPERATIONS[True].get_event_stream_output()
    buffer = EventStreamBuffer()
    buffer.add_data(stream)
    return [EventStreamJSONParser().parse(message.to_response_dict(), shape) for message in buffer]


def sealed(headers: bytes, payload: bytes) -> bytes:
    """One message, with both checksums."""
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + payload
    return message + struct.pack(">I", zlib.crc32(message))


def frame(payload: bytes, /, **headers: str) -> bytes:
    """One message, with headers that are strings."""
    told = [
        bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value.encode())) + value.encode()
        for name, value in ((f":{name.replace('_', '-')}", value) for name, value in headers.items())
    ]
    return sealed(b"".join(told), payload)


def event(kind: str, **fields: Any) -> bytes:
    """An event of a converse stream."""
    payload = json.dumps({**fields, "p": "abcdefgh"}).encode()  # the padding that Bedrock puts into every event
    return frame(payload, event_type=kind, content_type="application/json", message_type="event")
