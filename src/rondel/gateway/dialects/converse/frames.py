"""Frames of `application/vnd.amazon.eventstream`: cut a stream into messages, and hold each against its checksums.

A message is its length and its headers' length (u32 each), their CRC-32, headers, payload, and the CRC-32 of all
before; big-endian. Source: https://smithy.io/2.0/aws/amazon-eventstream.html
"""

import struct
import zlib
from typing import NamedTuple

PRELUDE = 12
CHECKSUM = 4
MOST_HEADERS = 128 * 1024
MOST_PAYLOAD = 24 * 1024 * 1024

_U32 = struct.Struct(">I")
_PRELUDE = struct.Struct(">III")
_U16 = struct.Struct(">H")
_STRING = 7
_BYTES = 6
_SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Bytes of a header's value by its type, for those that tell no length of their own."""


class Frame(NamedTuple):
    """One message; of its headers those that are strings."""

    headers: dict[str, str]
    payload: bytes


class Damaged(ValueError):
    """The bytes are no frame."""


class Frames:
    """Cuts a stream, however it arrives, into messages."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """The messages that `data` completes.

        Raises:
            Damaged: a checksum does not fit, or a length is beyond all measure.
        """
        self._held += data
        frames: list[Frame] = []
        begin = 0
        while len(self._held) - begin >= PRELUDE:
            total, headers, checksum = _PRELUDE.unpack_from(self._held, begin)
            if zlib.crc32(self._held[begin : begin + PRELUDE - CHECKSUM]) != checksum:
                raise Damaged("the checksum of a frame's beginning does not fit")
            payload = total - headers - PRELUDE - CHECKSUM
            if not 0 <= payload <= MOST_PAYLOAD or headers > MOST_HEADERS:
                raise Damaged(f"a frame cannot be {total} bytes long with {headers} bytes of headers")
            if len(self._held) - begin < total:
                break
            frames.append(_frame(bytes(self._held[begin : begin + total]), headers))
            begin += total
        del self._held[:begin]
        return frames


def _frame(message: bytes, headers: int) -> Frame:
    (checksum,) = _U32.unpack_from(message, len(message) - CHECKSUM)
    if zlib.crc32(message[:-CHECKSUM]) != checksum:
        raise Damaged("the checksum of a frame does not fit")
    return Frame(_headers(message[PRELUDE : PRELUDE + headers]), message[PRELUDE + headers : -CHECKSUM])


def _headers(data: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    at = 0
    try:
        while at < len(data):
            begin = at + 1
            at = begin + data[at]
            name, kind = data[begin:at].decode(), data[at]
            at += 1
            if kind in (_STRING, _BYTES):
                (size,) = _U16.unpack_from(data, at)
                at += _U16.size
                if kind == _STRING:
                    found[name] = data[at : at + size].decode()
            else:
                size = _SIZES[kind]
            at += size
    except (IndexError, KeyError, struct.error, UnicodeDecodeError) as error:
        raise Damaged("a frame's headers cannot be read") from error
    if at != len(data):
        raise Damaged("a frame's headers are cut off")
    return found
