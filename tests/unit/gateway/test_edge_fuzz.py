"""Requests that were tampered with, at the parser's edge: never an exception, never two answers to one request, and the
connection is closed or goes on with the next request in step.

`make fuzz` runs it for FUZZ_S seconds (an hour unless set); the tests run a bounded part.
"""

import os

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.gateway.edge import CHAT, Edge, strictly

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "150"))
KINDS = st.sampled_from(["now", "later", "streamed"])

TOKENS = st.sampled_from(
    [
        *(b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b"\x00", b"\x0b", b"\xff", b";", b",", b"\r\n\r\n"),
        *(b"0", b"1", b"5", b"-1", b"+5", b"0x5", b"5;x=y", b"5 ", b"00000005", b"ffffffffffffffff"),
        *(b"FFFFFFFFFFFFFFFFF", b"18446744073709551616", b"0\r\n\r\n", b"5\r\nhello\r\n"),
        *(b"Content-Length: 5\r\n", b"content-length:5\r\n", b"Content-Length : 5\r\n", b"Content-Length: 5, 5\r\n"),
        *(b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n", b"transfer-encoding: identity\r\n"),
        *(b"Transfer-Encoding : chunked\r\n", b"Transfer-Encoding:\x0bchunked\r\n", b"Transfer-Encoding: xchunked\r\n"),
        *(b"Transfer-Encoding: chunked, chunked\r\n", b" folded\r\n", b"x: y\r\n", b"x y: z\r\n", b": z\r\n"),
        *(b"Expect: 100-continue\r\n", b"Connection: close\r\n", b"Connection: keep-alive\r\n"),
        *(b"Upgrade: h2c\r\nConnection: upgrade\r\n", b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n"),
        *(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"CONNECT x:1 HTTP/1.1\r\n\r\n", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0"),
        *(b"http://other/v1/models", b"POST "),
    ]
)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """One request beyond doubt, with a body or without."""
    body = draw(st.binary(max_size=40))
    headers = draw(st.lists(st.sampled_from([b"host: x", b"x-a: b", b"Connection: keep-alive"]), max_size=3))
    lines = b"".join(header + b"\r\n" for header in headers)
    match draw(st.sampled_from(["get", "length", "chunked", "none", "expect"])):
        case "get":
            path = draw(st.sampled_from([b"/livez", b"/v1/models", b"/metrics?x=1"]))
            return b"GET " + path + b" HTTP/1.1\r\n" + lines + b"\r\n"
        case "chunked":
            cut = draw(st.integers(0, len(body)))
            parts = [part for part in (body[:cut], body[cut:]) if part]
            chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
            return (
                b"POST "
                + CHAT
                + b" HTTP/1.1\r\n"
                + lines
                + b"transfer-encoding: chunked\r\n\r\n"
                + chunks
                + b"0\r\n\r\n"
            )
        case "none":
            return b"POST " + CHAT + b" HTTP/1.1\r\n" + lines + b"\r\n"
        case kind:
            expect = b"expect: 100-continue\r\n" if kind == "expect" else b""
            length = b"content-length: %d\r\n" % len(body)
            return b"POST " + CHAT + b" HTTP/1.1\r\n" + lines + expect + length + b"\r\n" + body


@st.composite
def tampered(draw: st.DrawFn) -> bytes:
    """A few requests in a row, with pieces put in, taken out, doubled or overwritten."""
    data = b"".join(draw(st.lists(requests(), min_size=1, max_size=3)))
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, len(data)))
        match draw(st.sampled_from(["put", "take", "double", "overwrite", "byte"])):
            case "put":
                data = data[:place] + draw(TOKENS) + data[place:]
            case "take":
                data = data[:place] + data[place + draw(st.integers(1, 12)) :]
            case "double":
                end = place + draw(st.integers(1, 60))
                data = data[:end] + data[place:end] + data[end:]
            case "overwrite":
                token = draw(TOKENS)
                data = data[:place] + token + data[place + len(token) :]
            case _:
                data = data[:place] + bytes([draw(st.integers(0, 255))]) + data[place + 1 :]
    return data


CUTS = st.lists(st.integers(0, 2000), max_size=5)


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(st.lists(requests(), min_size=1, max_size=4), CUTS, st.lists(KINDS, min_size=4, max_size=4))
def test_what_is_beyond_doubt_is_answered_one_for_one(parts: list[bytes], cuts: list[int], kinds: list[str]) -> None:
    edge = Edge(lambda number: kinds[number % 4])
    edge.send(b"".join(parts), *cuts)
    wanted = strictly(b"".join(parts))
    assert len(wanted) == len(parts)
    assert [asked.body for asked in edge.inside.asked] == [
        request.body for request in wanted if (request.method, request.target) == (b"POST", CHAT)
    ]
    assert len(edge.statuses) == len(parts)
    assert not edge.is_over
    edge.close()


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(tampered(), CUTS, st.lists(KINDS, min_size=4, max_size=4))
def test_what_was_tampered_with_is_read_in_one_way_or_not_at_all(
    data: bytes, cuts: list[int], kinds: list[str]
) -> None:
    edge = Edge(lambda number: kinds[number % 4])
    edge.send(data, *cuts)
    asked = [one.body for one in edge.inside.asked]
    wanted = [request.body for request in strictly(data) if (request.method, request.target) == (b"POST", CHAT)]
    assert asked == wanted[: len(asked)], "a body was read that is not beyond doubt"
    before = len(edge.statuses)
    if not edge.is_over:
        assert before >= len(asked)
        marker = b"POST " + CHAT + b" HTTP/1.1\r\nhost: x\r\ncontent-length: 6\r\n\r\nmarker"
        edge.send(marker)
        in_step = [request.body for request in strictly(data + marker) if request.method == b"POST"]
        new = [one.body for one in edge.inside.asked][len(asked) :]
        assert len(edge.statuses) - before <= max(1, len(new) + 1)
        assert all(body in in_step for body in new), "the connection is out of step"
    edge.caller.check(10.0**6)
    edge.close()


@settings(max_examples=EXAMPLES // 4, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(st.binary(max_size=300), CUTS)
def test_any_bytes_are_refused_or_waited_for(data: bytes, cuts: list[int]) -> None:
    edge = Edge()
    edge.send(data, *cuts)
    assert len(edge.statuses) <= max(1, len(strictly(data)) + 1)
    assert not edge.inside.asked or strictly(data)
    edge.caller.check(10.0**6)
    edge.close()
