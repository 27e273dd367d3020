"""Writes OpenAI's chat completions as Gemini's responses, for callers who speak generateContent.

A function call is a whole part there: its arguments are gathered, and told with the end of the answer, as are the
finish reason and the usage.
"""

from typing import Any

from rondel.gateway.dialects.events import event_of
from rondel.gateway.dialects.generate import thoughts
from rondel.gateway.dialects.generate.logprobs import logprobs_result
from rondel.gateway.dialects.generate.usage import usage_metadata
from rondel.gateway.dialects.generate.words import (
    FINISH,
    FINISH_BACK,
    FORMAT,
    error_of,
    is_list,
    is_object,
    json_of,
    object_of,
    read_data_uri,
)
from rondel.gateway.ports import Chunk, Problem

_BROKEN_STATUS = 502


class Responses:
    """A writer of one answer: server-sent events, or the pieces of one JSON array.

    Thoughts are told to callers who asked for them (`tells_thoughts`): others may take them for the answer. Signatures
    are told to all, since they have to come back.
    """

    def __init__(self, *, is_array: bool, tells_thoughts: bool) -> None:
        self._is_array, self._tells_thoughts = is_array, tells_thoughts
        self._is_begun = False
        self._candidates: dict[int, _Candidate] = {}
        self._top: dict[str, Any] = {}
        self._usage: dict[str, Any] | None = None

    def feed(self, chunk: Chunk) -> bytes:
        """One response, if the chunk says something that need not wait for the end."""
        self._note(chunk)
        told: list[dict[str, Any]] = []
        for choice in _objects(chunk.get("choices")):
            candidate = self._candidate(choice)
            parts = candidate.take(choice.get("delta"), choice.get("finish_reason"), choice.get("native_finish_reason"))
            if parts:
                one: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": candidate.index}
                if (logprobs := logprobs_result(choice.get("logprobs"))) is not None:
                    one["logprobsResult"] = logprobs
                told.append(one)
        return self._piece({"candidates": told, **self._top}) if told else b""

    def end(self) -> bytes:
        """The last response: the calls, the finish reasons and the usage."""
        last: dict[str, Any] = {"candidates": [each.last() for _, each in sorted(self._candidates.items())]}
        if self._usage is not None:
            last["usageMetadata"] = self._usage
        return self._piece({**last, **self._top}) + (b"]" if self._is_array else b"")

    def broken(self, problem: Problem) -> bytes:
        """The error as the last event, or as the last element."""
        return self._piece(error_of(_BROKEN_STATUS, problem)) + (b"]" if self._is_array else b"")

    def whole(self, answer: Chunk) -> bytes:
        """One response."""
        self._note(answer)
        told: list[dict[str, Any]] = []
        for choice in _objects(answer.get("choices")):
            candidate = self._candidate(choice)
            parts = candidate.take(
                choice.get("message"), choice.get("finish_reason"), choice.get("native_finish_reason")
            )
            one = candidate.last(parts)
            if (logprobs := logprobs_result(choice.get("logprobs"))) is not None:
                one["logprobsResult"] = logprobs
            told.append(one)
        usage = {"usageMetadata": self._usage} if self._usage is not None else {}
        return json_of({"candidates": told, **usage, **self._top}).encode()

    def _note(self, chunk: Chunk) -> None:
        if not self._top:
            names = {"modelVersion": chunk.get("model"), "responseId": chunk.get("id")}
            self._top = {name: value for name, value in names.items() if value}
        self._usage = usage_metadata(chunk.get("usage")) or self._usage

    def _candidate(self, choice: dict[str, Any]) -> "_Candidate":
        index = choice.get("index")
        index = index if isinstance(index, int) else 0
        return self._candidates.setdefault(index, _Candidate(index, tells_thoughts=self._tells_thoughts))

    def _piece(self, response: dict[str, Any]) -> bytes:
        data = json_of(response).encode()
        if not self._is_array:
            return event_of(data)
        is_first, self._is_begun = not self._is_begun, True
        return (b"[" if is_first else b",\r\n") + data


def _objects(values: Any) -> list[dict[str, Any]]:
    return [value for value in values if is_object(value)] if is_list(values) else []


class _Candidate:
    """One choice as it grows: what is said at once, and what waits for the end."""

    def __init__(self, index: int, *, tells_thoughts: bool) -> None:
        self.index = index
        self._tells_thoughts = tells_thoughts
        self._calls: dict[int, dict[str, Any]] = {}
        self._foreign: dict[str, dict[str, Any]] = {}
        self._signatures: dict[str, str] = {}
        self._finish = ""
        self._native = ""

    def take(self, delta: Any, finish: Any, native: Any) -> list[dict[str, Any]]:
        """The parts that a delta (or a whole message) completes."""
        self._finish = finish if isinstance(finish, str) else self._finish
        self._native = native if isinstance(native, str) else self._native
        if not is_object(delta):
            return []
        parts: list[dict[str, Any]] = []
        thought = delta.get("reasoning_content") or delta.get("reasoning")
        if self._tells_thoughts and isinstance(thought, str) and thought:
            parts.append({"text": thought, "thought": True})
        text_signature = self._details(delta.get("reasoning_details"), parts)
        text = delta.get("content") or delta.get("refusal")
        if isinstance(text, str) and text:
            parts.append({"text": text})
        if text_signature:
            parts.append({"text": "", "thoughtSignature": text_signature})
        for image in _objects(delta.get("images")):
            held = image.get("image_url")
            data = read_data_uri(str(held.get("url"))) if is_object(held) else None
            if data is not None:
                parts.append({"inlineData": {"mimeType": data.type, "data": data.base64}})
        for position, call in enumerate(_objects(delta.get("tool_calls"))):
            self._call(call, position)
        return parts

    def _details(self, details: Any, parts: list[dict[str, Any]]) -> str:
        """Gemini's signatures go where they belong, other models' entries wait; the text's signature is returned."""
        text_signature = ""
        for entry in _objects(details):
            data = entry.get("data")
            if entry.get("format") != FORMAT:
                _join(self._foreign, entry)
            elif entry.get("type") == "reasoning.text":
                signed = {"thought": True, "thoughtSignature": entry.get("signature")}
                if parts and parts[-1] == {"text": entry.get("text"), "thought": True}:
                    parts[-1] |= signed
                else:
                    parts.append({"text": "", **signed})
            elif isinstance(data, str) and str(entry.get("id")).startswith("text:"):
                text_signature = data
            elif isinstance(data, str):
                self._signatures[str(entry.get("id"))] = data
        return text_signature

    def _call(self, call: dict[str, Any], position: int) -> None:
        index = call.get("index")
        known = self._calls.setdefault(
            index if isinstance(index, int) else position, {"id": "", "name": "", "arguments": ""}
        )
        if isinstance(call.get("id"), str) and call["id"]:
            known["id"] = call["id"]
        function = call.get("function")
        if is_object(function):
            for name in ("name", "arguments"):
                if isinstance(function.get(name), str):
                    known[name] += function[name]

    def last(self, parts: list[dict[str, Any]] | None = None) -> dict[str, Any]:
        """The candidate's end, after the parts that are still to be said."""
        said = list(parts or ())
        said += [
            {"text": "", "thought": True, "thoughtSignature": thoughts.pack(entry)} for entry in self._foreign.values()
        ]
        candidate: dict[str, Any] = {"content": {"parts": said, "role": "model"}, "index": self.index}
        reason = FINISH_BACK.get(self._finish, "OTHER")
        if self._native in FINISH or self._native in {"OTHER", "NO_IMAGE", "IMAGE_OTHER"}:
            reason = self._native
        for _, call in sorted(self._calls.items()):
            arguments = object_of(call["arguments"]) if call["arguments"].strip() else {}
            if arguments is None:
                reason = "MALFORMED_FUNCTION_CALL"
                candidate["finishMessage"] = f"The arguments for {call['name']!r} are no JSON object."
                continue
            part: dict[str, Any] = {"functionCall": {"id": call["id"], "name": call["name"], "args": arguments}}
            if call["id"] in self._signatures:
                part["thoughtSignature"] = self._signatures[call["id"]]
            said.append(part)
        if not said:
            said.append({"text": ""})
        candidate["finishReason"] = reason
        return candidate


def _join(into: dict[str, dict[str, Any]], entry: dict[str, Any]) -> None:
    """An entry of another model's format, which may come in pieces."""
    key = json_of([entry.get(name) for name in ("type", "index", "id", "format")])
    known = into.setdefault(key, {})
    for name, value in entry.items():
        if name in {"text", "summary", "data", "signature"} and isinstance(known.get(name), str):
            known[name] += value if isinstance(value, str) else ""
        elif value is not None or name not in known:
            known[name] = value
