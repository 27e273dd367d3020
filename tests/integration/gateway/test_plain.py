"""Text completions and embeddings through a real worker, judged by the official client."""

import base64
import struct
from typing import Any

import pytest

from rondel.spend.models import ModelPrice
from rondel.telemetry.records import TokenCounts
from tests.integration.gateway.gateway import Gateway, release, target
from tests.integration.gateway.upstream import Line, Seen, Upstream

PRICE = ModelPrice(input_nano=1_000_000_000, output_nano=4_000_000_000, version="p1")
LOGPROBS = {"tokens": [" upon"], "token_logprobs": [-0.5], "top_logprobs": [{" upon": -0.5}], "text_offset": [4]}


def _piece(text: str, index: int = 0, finish: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": index, "text": text, "finish_reason": finish, "logprobs": more.pop("logprobs", None)}
    return {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "up-1", "choices": [choice], **more}


async def _tell(seen: Seen, line: Line) -> None:
    """A text completion with two choices, streamed if asked so."""
    usage = {"prompt_tokens": 5, "completion_tokens": 4, "total_tokens": 9}
    texts = [" upon a time", " there was"]
    if not seen.json.get("stream"):
        choices = [_piece(text, index, "stop", logprobs=LOGPROBS)["choices"][0] for index, text in enumerate(texts)]
        await line.json({**_piece(""), "choices": choices, "usage": usage})
        return
    await line.begin()
    for index, text in enumerate(texts):
        for word in text.split(" ")[1:]:
            await line.event(_piece(f" {word}", index))
        await line.event(_piece("", index, "length"))
    if seen.json.get("stream_options") == {"include_usage": True}:
        await line.event({**_piece(""), "choices": [], "usage": usage})
    await line.finish()


async def _embed(seen: Seen, line: Line) -> None:
    """Two numbers for each input, in the encoding that was asked for."""
    given: Any = seen.json["input"]
    count = len(given) if isinstance(given[0], str | list) and not isinstance(given, str) else 1
    vectors = [[0.25 + index, -0.5] for index in range(count)]
    packed = [base64.b64encode(struct.pack("<2f", *vector)).decode() for vector in vectors]
    found: list[Any] = packed if seen.json.get("encoding_format") == "base64" else vectors
    data = [{"object": "embedding", "index": index, "embedding": one} for index, one in enumerate(found)]
    await line.json({"object": "list", "model": "up-1", "data": data, "usage": {"prompt_tokens": 6, "total_tokens": 6}})


@pytest.fixture
def priced(gateway: Gateway) -> Gateway:
    gateway.write(releases=(release("live", target(price=PRICE)),))
    gateway.start()
    return gateway


def test_a_text_completion_keeps_its_choices_and_costs_what_it_used(priced: Gateway, upstream: Upstream) -> None:
    upstream.on("up-1", _tell)
    answer = priced.client().completions.create(
        model="support", prompt="Once", n=2, logprobs=1, echo=False, suffix="The end.", max_tokens=9, best_of=2
    )
    assert [choice.text for choice in answer.choices] == [" upon a time", " there was"]
    assert answer.choices[0].logprobs is not None
    assert answer.choices[0].logprobs.to_dict() == LOGPROBS
    assert upstream.seen[0].path.endswith("/v1/completions")
    assert (upstream.seen[0].json["suffix"], upstream.seen[0].json["best_of"]) == ("The end.", 2)
    record = priced.record()
    assert record.tokens == TokenCounts(input_uncached=5, output_text=4)
    assert record.cost_nano == 5 * 1000 + 4 * 4000
    assert record.finish_reason == "stop"


def test_a_streamed_text_completion_comes_as_it_is_and_is_recorded_whole(priced: Gateway, upstream: Upstream) -> None:
    upstream.on("up-1", _tell)
    texts = ["", ""]
    usages: list[object] = []
    for chunk in priced.client().completions.create(model="support", prompt="Once", n=2, stream=True):
        for choice in chunk.choices:
            texts[choice.index] += choice.text
        usages.append(chunk.usage)
    assert texts == [" upon a time", " there was"]
    assert not any(usages), "a caller who did not ask for usage does not see it"
    record = priced.record()
    assert (record.is_stream, record.finish_reason) == (True, "length")
    assert record.tokens == TokenCounts(input_uncached=5, output_text=4)
    assert b'"text":" upon a time"' in record.answer_body


@pytest.mark.parametrize(
    ("given", "count"),
    [("hello", 1), (["hello", "there"], 2), ([15339, 1917], 1), ([[15339], [1917], [0]], 3)],
    ids=["text", "texts", "tokens", "lists of tokens"],
)
def test_embeddings_of_every_input_come_as_the_client_asks_for_them(
    priced: Gateway, upstream: Upstream, given: Any, count: int
) -> None:
    """The official client asks for base64 by itself and unpacks it."""
    upstream.on("up-1", _embed)
    answer = priced.client().embeddings.create(model="support", input=given, dimensions=2)
    assert [one.embedding for one in answer.data] == [[0.25 + index, -0.5] for index in range(count)]
    assert upstream.seen[0].json["encoding_format"] == "base64"
    assert upstream.seen[0].json["input"] == given
    record = priced.record()
    assert record.tokens == TokenCounts(input_uncached=6)
    assert record.cost_nano == 6 * 1000
    plain = priced.client().embeddings.create(model="support", input=given, encoding_format="float")
    assert plain.data[0].embedding == [0.25, -0.5]
