from collections.abc import Iterator
from typing import Any

class EventStreamMessage:
    headers: dict[str, Any]
    payload: bytes
    def to_response_dict(self, status_code: int = 200) -> dict[str, Any]: ...

class EventStreamBuffer:
    def add_data(self, data: bytes) -> None: ...
    def __iter__(self) -> Iterator[EventStreamMessage]: ...
