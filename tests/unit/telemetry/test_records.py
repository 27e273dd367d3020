"""Records outlive the program that wrote them."""

import msgspec

from rondel.telemetry.records import GatewayRecord, decode, encode


def test_a_record_of_before_the_cache_is_read_with_nothing_said_of_it() -> None:
    record = GatewayRecord("req", "trace", "span", "prj", "test", 1, 2, charged_nano=7, cache="hit")
    fields = msgspec.msgpack.decode(encode(record))
    assert fields[-1] == "hit", "new fields stand at the end"
    old = decode(msgspec.msgpack.encode(fields[:-1]))
    assert (old.cache, old.charged_nano) == ("", 7)
    assert decode(encode(record)) == record
