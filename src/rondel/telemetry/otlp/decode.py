"""The bytes of an OTLP/HTTP trace request, protobuf or JSON, as plain values.

Source: https://opentelemetry.io/docs/specs/otlp/#otlphttp and opentelemetry/proto/trace/v1/trace.proto.
"""

import base64
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, cast

import msgspec
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from rondel.errors import Invalid, TooLarge
from rondel.telemetry.messages import as_list, as_object, as_text

INFLATE_LIMIT = 64 * 1024 * 1024
"""Bytes that a compressed request may unpack to."""

KEY_LIMIT = 256
"""Characters of an attribute's name that are kept."""

DEPTH_LIMIT = 24

JSON = "application/json"
PROTOBUF = "application/x-protobuf"

_PARENT_IS_KNOWN, _PARENT_IS_REMOTE = 0x100, 0x200


@dataclass(frozen=True, slots=True)
class RawEvent:
    """An event of a span as sent."""

    name: str
    at_ns: int
    attributes: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class RawSpan:
    """A span as sent. Ids are hex of whatever length came; times are nanoseconds since the epoch.

    `has_remote_parent` is true only when the sender says so (flags, since OTLP 1.1).
    """

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    start_ns: int
    end_ns: int
    attributes: Mapping[str, object]
    events: tuple[RawEvent, ...]
    resource: Mapping[str, object]
    library: str
    is_error: bool
    status_message: str
    has_remote_parent: bool


def decode_traces(body: bytes, content_type: str, encoding: str = "") -> Iterable[RawSpan]:
    """The spans of an `ExportTraceServiceRequest`.

    Raises:
        Invalid: the content type or encoding is not known, or the bytes are not what they are said to be.
        TooLarge: the body unpacks to more than 64 MB.
    """
    plain = inflate(body, encoding)
    kind = content_type.partition(";")[0].strip().lower()
    if kind == JSON:
        return list(_from_json(plain))
    if kind in {PROTOBUF, "application/protobuf", "application/octet-stream"}:
        return _from_protobuf(plain)
    raise Invalid(f"Content-Type {content_type!r} is no encoding of OTLP: send {PROTOBUF} or {JSON}.")


def inflate(body: bytes, encoding: str, *, limit: int = INFLATE_LIMIT) -> bytes:
    """The body without its gzip or deflate; unpacks no more than `limit` bytes, however small the body is."""
    name = encoding.strip().lower()
    if name in {"", "identity"}:
        return body
    if name not in {"gzip", "x-gzip", "deflate"}:
        raise Invalid(f"Content-Encoding {encoding!r} is not known here: send gzip, deflate or nothing.")
    unpacker = zlib.decompressobj(wbits=47)  # 15 bits of window, gzip or zlib by the header
    try:
        plain = unpacker.decompress(body, limit + 1)
    except zlib.error as error:
        raise Invalid(f"The body is said to be {name} and is not: {error}.") from error
    if len(plain) > limit:
        raise TooLarge(f"The body unpacks to more than {limit // 1024 // 1024} MB. Send smaller batches.")
    if not unpacker.eof:
        raise Invalid(f"The body is {name} that breaks off before its end.")
    return plain


class _AnyValue(Protocol):
    """What is read of a protobuf `AnyValue`; exactly one of its fields is set."""

    string_value: str
    bool_value: bool
    int_value: int
    double_value: float
    bytes_value: bytes

    @property
    def array_value(self) -> "_ArrayValue": ...
    @property
    def kvlist_value(self) -> "_KeyValues": ...
    def WhichOneof(self, oneof_group: str) -> str | None: ...  # noqa: N802  protobuf's name


class _ArrayValue(Protocol):
    @property
    def values(self) -> Iterable[_AnyValue]: ...


class _KeyValue(Protocol):
    key: str

    @property
    def value(self) -> _AnyValue: ...


class _KeyValues(Protocol):
    @property
    def values(self) -> Iterable[_KeyValue]: ...


def _from_protobuf(body: bytes) -> Iterator[RawSpan]:
    request = ExportTraceServiceRequest()
    try:
        request.ParseFromString(body)
    except DecodeError as error:
        raise Invalid("The body is no OTLP ExportTraceServiceRequest in protobuf.") from error
    return _protobuf_spans(request)


def _protobuf_spans(request: ExportTraceServiceRequest) -> Iterator[RawSpan]:
    for group in request.resource_spans:
        resource = _attributes(cast("Iterable[_KeyValue]", group.resource.attributes))
        for part in group.scope_spans:
            for span in part.spans:
                yield RawSpan(
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    name=span.name,
                    start_ns=span.start_time_unix_nano,
                    end_ns=span.end_time_unix_nano,
                    attributes=_attributes(cast("Iterable[_KeyValue]", span.attributes)),
                    events=tuple(
                        RawEvent(
                            event.name, event.time_unix_nano, _attributes(cast("Iterable[_KeyValue]", event.attributes))
                        )
                        for event in span.events
                    ),
                    resource=resource,
                    library=part.scope.name,
                    is_error=span.status.code == 2,
                    status_message=span.status.message,
                    has_remote_parent=_is_remote(span.flags),
                )


def _attributes(pairs: Iterable[_KeyValue]) -> dict[str, object]:
    return {pair.key[:KEY_LIMIT]: _value(pair.value) for pair in pairs}


def _value(value: _AnyValue, depth: int = 0) -> object:
    """A value as plain Python; what is nested deeper than anybody means it is cut."""
    if depth > DEPTH_LIMIT:
        return None
    match value.WhichOneof("value"):
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "int_value":
            return value.int_value
        case "double_value":
            return value.double_value
        case "bytes_value":
            return base64.b64encode(value.bytes_value).decode()
        case "array_value":
            return [_value(item, depth + 1) for item in value.array_value.values]
        case "kvlist_value":
            return {pair.key[:KEY_LIMIT]: _value(pair.value, depth + 1) for pair in value.kvlist_value.values}
        case _:
            return None


def _from_json(body: bytes) -> Iterator[RawSpan]:
    try:
        request: object = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"The body is no JSON: {error}.") from error
    if not isinstance(request, Mapping):
        raise Invalid("The body is JSON, but no object with 'resourceSpans'.")
    for group in map(as_object, as_list(as_object(cast("object", request)).get("resourceSpans"))):
        resource = _json_attributes(as_object(group.get("resource")).get("attributes"))
        for part in map(as_object, as_list(group.get("scopeSpans"))):
            library = as_text(as_object(part.get("scope")).get("name"))
            for span in map(as_object, as_list(part.get("spans"))):
                yield _json_span(span, resource, library)


def _json_span(span: Mapping[str, object], resource: Mapping[str, object], library: str) -> RawSpan:
    status = as_object(span.get("status"))
    return RawSpan(
        trace_id=as_text(span.get("traceId")).lower(),
        span_id=as_text(span.get("spanId")).lower(),
        parent_id=as_text(span.get("parentSpanId")).lower(),
        name=as_text(span.get("name")),
        start_ns=_integer(span.get("startTimeUnixNano")),
        end_ns=_integer(span.get("endTimeUnixNano")),
        attributes=_json_attributes(span.get("attributes")),
        events=tuple(
            RawEvent(
                as_text(event.get("name")),
                _integer(event.get("timeUnixNano")),
                _json_attributes(event.get("attributes")),
            )
            for event in map(as_object, as_list(span.get("events")))
        ),
        resource=resource,
        library=library,
        is_error=status.get("code") in (2, "2", "STATUS_CODE_ERROR"),
        status_message=as_text(status.get("message")),
        has_remote_parent=_is_remote(_integer(span.get("flags"))),
    )


def _json_attributes(pairs: object) -> dict[str, object]:
    found = map(as_object, as_list(pairs))
    return {as_text(pair.get("key"))[:KEY_LIMIT]: _json_value(as_object(pair.get("value"))) for pair in found}


def _json_value(value: Mapping[str, object], depth: int = 0) -> object:
    """As `_value`; 64-bit integers come as strings in OTLP's JSON."""
    if depth > DEPTH_LIMIT:
        return None
    if "intValue" in value:
        return _integer(value["intValue"])
    if "arrayValue" in value:
        items = as_list(as_object(value["arrayValue"]).get("values"))
        return [_json_value(as_object(item), depth + 1) for item in items]
    if "kvlistValue" in value:
        pairs = map(as_object, as_list(as_object(value["kvlistValue"]).get("values")))
        return {
            as_text(pair.get("key"))[:KEY_LIMIT]: _json_value(as_object(pair.get("value")), depth + 1) for pair in pairs
        }
    for name in ("stringValue", "boolValue", "doubleValue", "bytesValue"):
        if name in value:
            return value[name]
    return None


def _integer(value: object) -> int:
    """An integer given as number or text; 0 for anything else."""
    if isinstance(value, bool):
        return 0
    if isinstance(value, int):
        return value
    text = as_text(value)
    return int(text) if len(text) <= 20 and text.lstrip("-").isdecimal() else 0


def _is_remote(flags: int) -> bool:
    return bool(flags & _PARENT_IS_KNOWN) and bool(flags & _PARENT_IS_REMOTE)
