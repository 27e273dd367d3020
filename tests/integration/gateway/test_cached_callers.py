"""Answers that are kept and given again to callers of other dialects."""

from typing import Any

import anthropic
import pytest

from tests.integration.gateway.asking import ASK, ask
from tests.integration.gateway.cached import asked_of, hit_soon, start, told
from tests.integration.gateway.gateway import Gateway
from tests.integration.gateway.test_callers import claude, gemini
from tests.integration.gateway.upstream import Upstream

ASKED: list[Any] = [*ASK]


def test_an_answer_that_one_dialect_asked_for_is_given_to_another(gateway: Gateway, upstream: Upstream) -> None:
    start(gateway)
    ask(gateway, max_tokens=50)
    hit_soon(gateway, max_tokens=50)
    client = claude(gateway)
    answer = client.messages.with_raw_response.create(model="support", max_tokens=50, messages=ASKED)
    assert answer.headers["x-rondel-cache"] == "hit"
    message = answer.parse()
    assert isinstance(message, anthropic.types.Message)
    assert [block.text for block in message.content if block.type == "text"] == ["echo: hello there"]
    assert message.stop_reason == "end_turn"
    with client.messages.stream(model="support", max_tokens=50, messages=ASKED) as stream:
        assert stream.get_final_text() == "echo: hello there"
        assert stream.response.headers["x-rondel-cache"] == "hit"
    assert asked_of(upstream) == 1
    assert told(ask(gateway, max_tokens=50)) == "hit"


@pytest.mark.parametrize("is_stream", [False, True])
def test_googles_client_is_answered_from_the_cache(gateway: Gateway, upstream: Upstream, is_stream: bool) -> None:
    start(gateway)
    client = gemini(gateway)

    def text() -> str:
        if not is_stream:
            return str(client.models.generate_content(model="support", contents="hello there").text)
        pieces = client.models.generate_content_stream(model="support", contents="hello there")
        return "".join(piece.text or "" for piece in pieces)

    assert text() == "echo: hello there"
    assert gateway.wait_for(lambda: text() == "echo: hello there" and gateway.records()[-1].cache == "hit")
    assert asked_of(upstream) < len(gateway.records())
