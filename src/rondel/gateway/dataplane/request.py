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
    """One HTTP request; what most never set stands here once, on the class."""

    method = b""
    target = b""
    path = b""
    first = b""
    """The bytes with which it began, where it began them."""
    size = 0
    content_length: int | None = None
    is_chunked = False
    is_complete = False
    is_expecting = False
    is_old = False
    keeps_alive = True
    refusal: Answer | None = None
    operation: Operation | None = None
    """What it asks of a model, if it does."""

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.parts: list[bytes] = []

    def whole_body(self) -> bytes:
        """The body, once it is complete."""
        return self.parts[0] if len(self.parts) == 1 else b"".join(self.parts)
