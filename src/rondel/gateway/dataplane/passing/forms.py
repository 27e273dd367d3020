"""Reads a multipart form while it goes by: finds its field `model`, and refuses whatever two readers could read
differently.

Source: RFC 7578, RFC 2046 (5.1.1).
"""

import re
from email.message import Message
from typing import NamedTuple

from rondel.errors import Invalid

HEAD_LIMIT = 8 * 1024
FIELD_LIMIT = 1024
_NAME = re.compile(rb'(?i)content-disposition:[ \t]*form-data;.*?[ \t;]name="([^"]*)"(.*)', re.DOTALL)
_ODD = "The form cannot be read beyond doubt:"


class Field(NamedTuple):
    """Where the value of a field stands in the form's bytes, and the value."""

    begin: int
    end: int
    value: str


def boundary_of(content_type: str) -> bytes:
    """The boundary of a form, by its content type.

    Raises:
        Invalid: it has none.
    """
    message = Message()
    message["content-type"] = content_type
    found = message.get_param("boundary")
    if not isinstance(found, str) or not 1 <= len(found) <= 70 or not found.isascii() or not found.isprintable():
        raise Invalid("A multipart body needs its boundary in the header 'content-type'.")
    return found.encode()


class Form:
    """A form that comes in pieces. `model` is its field of that name, once it came."""

    def __init__(self, boundary: bytes) -> None:
        self.model: Field | None = None
        self._mark = b"--" + boundary
        self._held = b"\r\n"  # a first delimiter stands at the beginning
        self._at = -2
        """Where in the form the bytes that are held begin."""
        self._is_in_head = self._is_over = False
        self._value: int | None = None
        """Where the value of the field that is wanted begins."""

    def feed(self, data: bytes) -> None:
        """The next bytes.

        Raises:
            Invalid: they are no form, or one with two models.
        """
        self._held += data
        while not self._is_over and (self._read_head() if self._is_in_head else self._find()):
            pass
        if self._is_over:
            self._drop(len(self._held))

    def _find(self) -> bool:
        """Go to the next delimiter; False when it has not come yet."""
        place = self._held.find(self._mark)
        end = place + len(self._mark) + 2
        if place < 0 or len(self._held) < end:
            self._wait(place)
            return False
        tail = self._held[end - 2 : end]
        if self._held[max(place - 2, 0) : place] != b"\r\n" or tail not in {b"\r\n", b"--"}:
            raise Invalid(f"{_ODD} its boundary stands within a part.")
        if self._value is not None:
            value = self._held[self._value - self._at : place - 2]
            self.model = Field(self._value, self._at + place - 2, _text(value))
            self._value = None
        self._drop(end)
        self._is_in_head, self._is_over = tail == b"\r\n", tail == b"--"
        return True

    def _wait(self, place: int) -> None:
        """Keep what may belong to a delimiter, and the value that is wanted."""
        if self._value is not None:
            if len(self._held) - (self._value - self._at) > FIELD_LIMIT:
                raise Invalid(f"The form's field 'model' is longer than {FIELD_LIMIT:,} bytes.")
            return
        keep = len(self._mark) + 4
        self._drop(max(place - 2, 0) if place >= 0 else max(len(self._held) - keep, 0))

    def _read_head(self) -> bool:
        """Read the headers of a part; False when they are not whole."""
        end = self._held.find(b"\r\n\r\n")
        if end < 0 or end > HEAD_LIMIT:
            if len(self._held) > HEAD_LIMIT:
                raise Invalid(f"{_ODD} the headers of a part are longer than {HEAD_LIMIT:,} bytes.")
            return False
        head = self._held[:end]
        if self._mark in head or b"\n" in head.replace(b"\r\n", b""):
            raise Invalid(f"{_ODD} a part has no headers, or odd line breaks in them.")
        lines = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-disposition")]
        found = _NAME.fullmatch(lines[0]) if len(lines) == 1 else None
        if found is None or b"name*" in found[2].lower() or b"\r\n " in head or b"\r\n\t" in head:
            raise Invalid(f"{_ODD} every part must have one plain name.")
        self._drop(end + 2)  # the line break before an empty value is that before its delimiter too
        self._is_in_head = False
        if found[1].strip().lower() == b"model":
            if self.model is not None:
                raise Invalid("The form names two models: send one field 'model'.")
            self._value = self._at + 2
        return True

    def _drop(self, count: int) -> None:
        self._held = self._held[count:]
        self._at += count


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise Invalid("The form's field 'model' is not text.") from error
