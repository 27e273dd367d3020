"""Two models answering the same requests in turn, so that a busy machine slows both alike."""

from rondel.chat import ChatModel, ChatRequest, Message
from rondel.compression.models import Speeds
from rondel.compression.rules import speeds

TEXTS = (
    "Write one sentence about the sea.",
    "List three fruits.",
    "My order has not arrived and nobody answers the phone. What should I do?",
    "Explain in one sentence what a gateway does.",
    "Translate to French: good morning, how are you?",
    "Write a short reply to a customer whose router does not start.",
    "Which number comes next: 2, 4, 6, 8?",
    "Summarise: the meeting moved from Monday to Wednesday because the room was taken.",
)
ROUNDS = 2
OUTPUT_TOKENS = 32
DEADLINE_S = 120.0


def side_by_side(before: ChatModel, after: ChatModel) -> Speeds:
    """Latency of 32 greedy tokens, prompt read anew each time, 16 paired requests, who goes first alternating.

    Raises:
        TimedOut, Unavailable, UpstreamFailed: one of them does not answer.
    """
    for model in (before, after):
        model.answer(_request(TEXTS[0]), deadline_s=DEADLINE_S)
    before_s: list[float] = []
    after_s: list[float] = []
    same: list[bool] = []
    for number, text in enumerate(TEXTS * ROUNDS):
        first, second = (before, after) if number % 2 == 0 else (after, before)
        one = first.answer(_request(text), deadline_s=DEADLINE_S)
        two = second.answer(_request(text), deadline_s=DEADLINE_S)
        answer_before, answer_after = (one, two) if first is before else (two, one)
        before_s.append(answer_before.latency_s)
        after_s.append(answer_after.latency_s)
        same.append(answer_before.text == answer_after.text)
    return speeds(before_s, after_s, same)


def _request(text: str) -> ChatRequest:
    parameters: dict[str, object] = {
        "temperature": 0,
        "max_tokens": OUTPUT_TOKENS,
        "ignore_eos": True,
        "cache_prompt": False,
    }
    return ChatRequest("trial", (Message("user", text),), parameters)
