"""Reads what Gemini answers as OpenAI's chat completions: streams (events or one JSON array) and whole answers."""

from typing import Any

from rondel.gateway.dialects.events import Events, data_of
from rondel.gateway.dialects.generate import thoughts
from rondel.gateway.dialects.generate.arrays import Objects
from rondel.gateway.dialects.generate.logprobs import openai_logprobs
from rondel.gateway.dialects.generate.usage import openai_usage
from rondel.gateway.dialects.generate.words import (
    CALL_TYPE,
    FAILED,
    FINISH,
    OUR_CALL,
    data_uri,
    is_list,
    is_object,
    json_of,
    object_of,
    problem_of,
)
from rondel.gateway.ports import Chunk, Problem

_NOT_JSON = "The answer of the server is not JSON."


class Answers:
    """A decoder of one answer.

    Gemini tells no time (`created` is 0). Its own reason of an end stands in `native_finish_reason`.
    """

    def __init__(self, *, is_stream: bool) -> None:
        self.problem: Problem | None = None
        self._usage: dict[str, Any] = {}
        self._is_stream = is_stream
        self._events: Events | Objects | None = None
        self._start = b""
        self._whole: list[bytes] = []
        self._candidates: dict[int, _Candidate] = {}
        self._id, self._model = "", ""

    @property
    def usage(self) -> bytes:
        """The last `usageMetadata` that counts something: pieces of a stream may tell how far it has come."""
        return json_of(self._usage).encode() if self._usage else b""

    def feed(self, data: bytes) -> list[Chunk]:
        """The chunks that `data` completes."""
        if not self._is_stream:
            self._whole.append(data)
            return []
        if self._events is None:
            self._start += data
            begun = self._start.lstrip()
            if not begun:
                return []
            self._events, data, self._start = Objects() if begun[:1] in b"[{" else Events(), begun, b""
        return self._take(self._events.feed(data))

    def end(self) -> list[Chunk]:
        """The rest: the last event of a stream and its usage, or the whole answer."""
        if not self._is_stream:
            return self._answer(b"".join(self._whole))
        chunks = self._take([self._events.end() + b"\n\n"]) if self._events is not None else []
        is_whole = bool(self._candidates) and all(each.finish for each in self._candidates.values())
        if is_whole and self.problem is None and (usage := openai_usage(self.usage)) is not None:
            chunks.append({**self._top("chat.completion.chunk"), "choices": [], "usage": usage})
        return chunks

    def _take(self, events: list[bytes]) -> list[Chunk]:
        chunks: list[Chunk] = []
        for event in events:
            data = (data_of(event) if isinstance(self._events, Events) else event).strip()
            if not data or self.problem is not None:
                continue
            told = self._read(data)
            if told is None:
                break
            choices = self._choices(told)
            if choices:
                chunks.append({**self._top("chat.completion.chunk"), "choices": choices})
        return chunks

    def _answer(self, body: bytes) -> list[Chunk]:
        told = self._read(body)
        if told is None:
            return []
        choices = self._choices(told)
        if not choices and self.problem is None:
            self.problem = Problem("The server answered without a candidate.", "server_error", "no_candidate")
        if self.problem is not None:
            return []
        answer: Chunk = {**self._top("chat.completion"), "choices": [_as_message(choice) for choice in choices]}
        if (usage := openai_usage(self.usage)) is not None:
            answer["usage"] = usage
        return [answer]

    def _top(self, kind: str) -> Chunk:
        return {"id": self._id, "object": kind, "created": 0, "model": self._model}

    def _read(self, data: bytes) -> dict[str, Any] | None:
        """One response; None when it is none, and then the problem is known."""
        told = object_of(data)
        if told is None or "error" in told:
            self.problem = (problem_of(data) if told else None) or Problem(_NOT_JSON, "server_error", "bad_answer")
            return None
        self._id = _text(told.get("responseId")) or self._id
        self._model = _text(told.get("modelVersion")) or self._model
        usage = told.get("usageMetadata")
        if is_object(usage) and ("promptTokenCount" in usage or "candidatesTokenCount" in usage):
            self._usage = usage
        return told

    def _choices(self, told: dict[str, Any]) -> list[dict[str, Any]]:
        candidates = told.get("candidates")
        choices: list[dict[str, Any]] = []
        for position, candidate in enumerate(candidates if is_list(candidates) else []):
            if not is_object(candidate):
                continue
            index = candidate.get("index")
            index = index if isinstance(index, int) else position
            known = self._candidates.setdefault(index, _Candidate(index))
            reason = candidate.get("finishReason")
            if isinstance(reason, str) and reason in FAILED:
                self.problem = _failed(reason, candidate)
                return choices
            if (choice := known.piece(candidate, self._id)) is not None:
                choices.append(choice)
        blocked = told.get("promptFeedback")
        if not self._candidates and is_object(blocked) and blocked.get("blockReason"):
            known = self._candidates.setdefault(0, _Candidate(0))
            choices.append(known.refused(blocked))
        return choices


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _failed(reason: str, candidate: dict[str, Any]) -> Problem:
    detail = candidate.get("finishMessage")
    sentence = f"The model gave no good answer ({reason})"
    return Problem(f"{sentence}: {detail}" if detail else f"{sentence}.", "server_error", reason.lower())


def _as_message(choice: dict[str, Any]) -> dict[str, Any]:
    """A choice of a whole answer."""
    delta: dict[str, Any] = {"role": "assistant", "content": None, **choice["delta"]}
    for call in delta.get("tool_calls", []):
        del call["index"]
    return {**{name: value for name, value in choice.items() if name != "delta"}, "message": delta}


class _Candidate:
    """One candidate as it grows."""

    def __init__(self, index: int) -> None:
        self.finish = ""
        self._index = index
        self._length = 0
        self._calls = 0
        self._is_begun = False

    def piece(self, candidate: dict[str, Any], response_id: str) -> dict[str, Any] | None:
        """What a response says of it, as a choice of a chunk; None when that is nothing."""
        delta: dict[str, Any] = {}
        content = candidate.get("content")
        parts = content.get("parts") if is_object(content) else None
        for part in parts if is_list(parts) else []:
            if is_object(part):
                self._add(delta, part, response_id)
        native = candidate.get("finishReason")
        if isinstance(native, str) and native != "FINISH_REASON_UNSPECIFIED":
            self.finish = FINISH.get(native, "stop")
            if self._calls and self.finish == "stop":
                self.finish = "tool_calls"
        else:
            native = None
        if not delta and native is None:
            return None
        choice = self._choice(delta, native)
        if (logprobs := openai_logprobs(candidate.get("logprobsResult"))) is not None:
            choice["logprobs"] = logprobs
        return choice

    def refused(self, feedback: dict[str, Any]) -> dict[str, Any]:
        """The choice of a prompt that was not answered."""
        reason = str(feedback["blockReason"])
        detail = feedback.get("blockReasonMessage")
        self.finish = "content_filter"
        refusal = f"The prompt was blocked ({reason})" + (f": {detail}" if detail else ".")
        return self._choice({"refusal": refusal}, reason)

    def _choice(self, delta: dict[str, Any], native: str | None) -> dict[str, Any]:
        if not self._is_begun:
            self._is_begun = True
            delta = {"role": "assistant", **delta}
        choice: dict[str, Any] = {"index": self._index, "delta": delta, "finish_reason": None}
        if native is not None:
            choice["finish_reason"], choice["native_finish_reason"] = self.finish, native
        return choice

    def _add(self, delta: dict[str, Any], part: dict[str, Any], response_id: str) -> None:
        """One part. What Google's own tools did is only told to callers of its dialect, whose bytes pass untouched."""
        signature, text = part.get("thoughtSignature"), part.get("text")
        signature = signature if isinstance(signature, str) else ""
        call, data = part.get("functionCall"), part.get("inlineData")
        if is_object(call) and isinstance(call.get("name"), str):
            self._call(delta, call, signature, response_id)
        elif isinstance(text, str) and part.get("thought") is True:
            delta["reasoning_content"] = delta.get("reasoning_content", "") + text
            if signature:
                thoughts.keep(delta, thoughts.thought(text, signature))
        elif isinstance(text, str):
            begin, self._length = self._length, self._length + len(text)
            if text:
                delta["content"] = delta.get("content", "") + text
            if signature:
                thoughts.keep(delta, thoughts.signed(signature, thoughts.place(begin, self._length)))
        elif is_object(data) and isinstance(data.get("data"), str):
            kind = str(data.get("mimeType", ""))
            if kind.startswith("image/"):
                image = {"type": "image_url", "image_url": {"url": data_uri(kind, data["data"])}}
                delta.setdefault("images", []).append(image)

    def _call(self, delta: dict[str, Any], call: dict[str, Any], signature: str, response_id: str) -> None:
        """A function call, which is always whole."""
        given = call.get("id")
        number, self._calls = self._calls, self._calls + 1
        call_id = given if isinstance(given, str) and given else f"{OUR_CALL}{response_id}_{self._index}_{number}"
        arguments = call.get("args")
        function = {"name": call["name"], "arguments": json_of(arguments if is_object(arguments) else {})}
        delta.setdefault("tool_calls", []).append(
            {"index": number, "id": call_id, "type": CALL_TYPE, "function": function}
        )
        if signature:
            thoughts.keep(delta, thoughts.signed(signature, call_id))
