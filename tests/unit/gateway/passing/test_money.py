"""Usage in answers that go by, and what is reserved before."""

import json

from hypothesis import given
from hypothesis import strategies as st

from rondel.gateway.costing import Load, charge_nano
from rondel.gateway.dataplane.passing.money import UNKNOWN_NANO, WHOLE_LIMIT, Usage, picture_tokens, reserve
from rondel.spend.models import ModelPrice
from rondel.telemetry.records import TokenCounts

USAGE = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
PRICE = ModelPrice(input_nano=5_000_000_000, output_nano=10_000_000_000, image_out_nano=40_000_000_000, version="p")


def _found(body: bytes, size: int) -> object:
    usage = Usage()
    for begin in range(0, len(body), size):
        usage.feed(body[begin : begin + size])
    told = usage.found()
    return json.loads(told) if told else None


@given(st.integers(1, 5000))
def test_usage_is_found_however_the_answer_is_cut(size: int) -> None:
    assert _found(json.dumps({"data": [{"text": "x" * 3000}], "usage": USAGE}).encode(), size) == USAGE


def test_usage_is_found_behind_a_large_picture_and_in_the_last_event() -> None:
    picture = json.dumps({"data": [{"b64_json": "A" * (WHOLE_LIMIT + 7)}], "usage": USAGE}).encode()
    assert _found(picture, 65_536) == USAGE
    events = b'data: {"type":"partial","usage":null}\n\n' + b"data: " + json.dumps({"usage": USAGE}).encode() + b"\n\n"
    assert _found(events, 7) == USAGE


def test_usage_within_a_text_is_nobody_s_usage() -> None:
    text = json.dumps({"text": json.dumps({"usage": USAGE})})
    assert _found(text.encode(), 100) is None
    assert _found(f"data: {text}\n\n".encode(), 100) is None
    assert _found(b"\x00\xff" * 500, 100) is None


def test_pictures_never_cost_more_than_was_reserved() -> None:
    guess = reserve(PRICE, Load(100), pictures=2)
    most = TokenCounts(input_uncached=100, image_out=2 * 6240)
    assert (charge_nano(PRICE, most) or 0) <= guess.nano
    assert picture_tokens(json.dumps(USAGE).encode()) == TokenCounts(input_uncached=10, image_out=5)


def test_an_unknown_price_reserves_what_is_stated() -> None:
    assert reserve(None, Load(0), is_model=False).nano == UNKNOWN_NANO
