"""A request as it stands on the wire."""

import re

from rondel.gateway.dataplane.wire import Answer
from rondel.gateway.models import Operation

_OPERATIONS = {
    f"/v1/{operation.value}".encode(): operation for operation in Operation if operation is not Operation.GENERATE
}
_GENERATE = re.compile(rb"/v1(?:beta)?/(?:models|tunedModels)/.+:(?:generateContent|streamGenerateContent)")


def operation_of(path: bytes) -> Operation | None:
    """What a path asks of a model; None when it does not."""
    found = _OPERATIONS.get(path)
    if found is None and path.endswith(b"enerateContent") and _GENERATE.fullmatch(path):
        return Operation.GENERATE
    return found


class Request:
    """One HTTP request. `first` are the bytes with which it began, where it began them; `operation` is what it asks of
    a model, if it does.
    """

    __slots__ = ("content_length", "first", "headers", "is_chunked", "is_complete", "is_expecting", "is_old",
                 "keeps_alive", "method", "operation", "parts", "path", "refusal", "size", "target")  # fmt: skip

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.parts: list[bytes] = []
        self.method = self.target = self.path = self.first = b""
        self.size = 0
        self.content_length: int | None = None
        self.is_chunked = self.is_complete = self.is_expecting = self.is_old = False
        self.keeps_alive = True
        self.refusal: Answer | None = None
        self.operation: Operation | None = None

    def whole_body(self) -> bytes:
        """The body, once it is complete."""
        return self.parts[0] if len(self.parts) == 1 else b"".join(self.parts)
