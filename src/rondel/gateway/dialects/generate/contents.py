"""OpenAI's messages as Gemini's contents and its system instruction."""

from collections.abc import Mapping
from typing import Any

from rondel.errors import Invalid
from rondel.gateway.dialects.generate.thoughts import Span, details_of
from rondel.gateway.dialects.generate.words import OUR_CALL, is_list, is_object, object_of, read_data_uri, type_by_name

UNSIGNED = "skip_thought_signature_validator"
"""Stands for the signature of a function call that Gemini did not make, or whose signature a caller did not keep:
models from 3 on refuse a call without one. Source: https://ai.google.dev/gemini-api/docs/thought-signatures#faqs"""


def contents_of(messages: Any, file_types: Mapping[str, str], *, needs_signatures: bool) -> dict[str, Any]:
    """`contents` and `systemInstruction`; `file_types` are media types of files, by their addresses.

    All system messages are the one instruction; the results of parallel calls stand in one content, as Gemini wants.
    A talk of nothing but instructions is said by the user.

    Raises:
        Invalid: there are no messages, or one cannot be said.
    """
    if not is_list(messages):
        raise Invalid("The field 'messages' is missing: give a list of messages.")
    talk = _Talk(file_types, needs_signatures=needs_signatures)
    for number, message in enumerate(messages):
        if not is_object(message):
            raise Invalid(f"messages[{number}] is no object.")
        talk.add(message, f"messages[{number}]")
    if not talk.contents:
        return {"contents": [{"role": "user", "parts": talk.system or [{"text": ""}]}]}
    said: dict[str, Any] = {"contents": talk.contents}
    if talk.system:
        said["systemInstruction"] = {"parts": talk.system}
    return said


class _Talk:
    def __init__(self, file_types: Mapping[str, str], *, needs_signatures: bool) -> None:
        self.contents: list[dict[str, Any]] = []
        self.system: list[dict[str, Any]] = []
        self._types, self._needs_signatures = file_types, needs_signatures
        self._names: dict[str, str] = {}
        self._results: list[dict[str, Any]] | None = None

    def add(self, message: dict[str, Any], where: str) -> None:
        role, content = str(message.get("role")), message.get("content")
        results, self._results = self._results, None
        if role in {"system", "developer"}:
            self.system += self._parts(content, where)
            self._results = results
        elif role == "user":
            self._say("user", self._parts(content, where), where)
        elif role == "assistant":
            self._say("model", self._answer(message, where), where)
        elif role == "tool":
            result = self._result(message, where)
            if results is None:
                results = [result]
                self.contents.append({"role": "user", "parts": results})
            else:
                results.append(result)
            self._results = results
        else:
            raise Invalid(f"The role {role!r} of {where} is not known: system, user, assistant or tool.")

    def _say(self, role: str, parts: list[dict[str, Any]], where: str) -> None:
        if parts:
            self.contents.append({"role": role, "parts": parts})
        elif role == "user":
            raise Invalid(f"{where} says nothing: give it a content.")

    def _parts(self, content: Any, where: str) -> list[dict[str, Any]]:
        if isinstance(content, str):
            return [{"text": content}]
        return [
            self._part(part, f"{where}.content[{number}]")
            for number, part in enumerate(content if is_list(content) else [])
        ]

    def _part(self, part: Any, where: str) -> dict[str, Any]:
        kind = str(part.get("type")) if is_object(part) else ""
        held = part.get(kind) if is_object(part) else None
        if kind in {"text", "refusal"} and isinstance(held, str):
            return {"text": held}
        if kind in {"image_url", "video_url"}:
            uri = held.get("url") if is_object(held) else held
            if isinstance(uri, str):
                return self._file(uri)
        elif kind == "input_audio" and is_object(held) and isinstance(held.get("data"), str):
            return {"inlineData": {"mimeType": f"audio/{held.get('format', 'wav')}", "data": held["data"]}}
        elif kind == "file" and is_object(held):
            uri = held.get("file_data") or held.get("file_id")
            if isinstance(uri, str):
                return self._file(uri)
        raise Invalid(f"{where} cannot be said to Gemini: it is no text, image, audio, video or file with its data.")

    def _file(self, uri: str) -> dict[str, Any]:
        if (data := read_data_uri(uri)) is not None:
            return {"inlineData": {"mimeType": data.type or "text/plain", "data": data.base64}}
        kind = self._types.get(uri) or type_by_name(uri)
        return {"fileData": {"fileUri": uri, **({"mimeType": kind} if kind else {})}}

    def _answer(self, message: dict[str, Any], where: str) -> list[dict[str, Any]]:
        """A turn of the model: its thoughts, its text, its calls, each with its signature."""
        details = details_of(message)
        parts = [_thought(entry) for entry in details.thoughts]
        texts = self._parts(message.get("content") or [], where)
        if len(texts) == 1 and "text" in texts[0]:
            texts = _with_signatures(texts[0]["text"], details.spans)
        elif not texts:
            texts = [{"text": "", "thoughtSignature": span.signature} for span in details.spans]
        parts += texts
        images = message.get("images")
        parts += [self._part(image, where) for image in images] if is_list(images) else []
        calls = message.get("tool_calls")
        is_first = True
        for call in calls if is_list(calls) else []:
            part = self._call(call, where)
            signature = details.calls.get(call["id"]) or _google_signature(call)
            if signature:
                part["thoughtSignature"] = signature
            elif is_first and self._needs_signatures:
                part["thoughtSignature"] = UNSIGNED  # of parallel calls only the first is signed
            is_first = False
            parts.append(part)
        return parts

    def _call(self, call: Any, where: str) -> dict[str, Any]:
        function = call.get("function") if is_object(call) else None
        if not is_object(function) or not isinstance(function.get("name"), str) or not isinstance(call.get("id"), str):
            raise Invalid(f"{where} has a tool call without an id or a function's name.")
        text = function.get("arguments")
        arguments = object_of(text) if isinstance(text, str) and text.strip() else {}
        if arguments is None:
            raise Invalid(f"{where} has arguments for {function['name']!r} that are no JSON object.")
        self._names[call["id"]] = function["name"]
        return {"functionCall": {**_own_id(call["id"]), "name": function["name"], "args": arguments}}

    def _result(self, message: dict[str, Any], where: str) -> dict[str, Any]:
        call_id, content = message.get("tool_call_id"), message.get("content")
        name = self._names.get(call_id) if isinstance(call_id, str) else None
        if name is None or not isinstance(call_id, str):
            raise Invalid(f"{where} answers the tool call {call_id!r}, which no message before it makes.")
        parts = self._parts(content, where)
        text = "".join(part["text"] for part in parts if "text" in part)
        response = object_of(text)
        said: dict[str, Any] = {"output": text} if response is None else response
        result: dict[str, Any] = {**_own_id(call_id), "name": name, "response": said}
        if more := [part for part in parts if "text" not in part]:
            result["parts"] = more
        return {"functionResponse": result}


def _own_id(call_id: str) -> dict[str, str]:
    return {} if call_id.startswith(OUR_CALL) else {"id": call_id}


def _thought(entry: dict[str, Any]) -> dict[str, Any]:
    part: dict[str, Any] = {"text": entry["text"], "thought": True}
    return {**part, "thoughtSignature": entry["signature"]} if entry.get("signature") else part


def _with_signatures(text: str, spans: list[Span]) -> list[dict[str, Any]]:
    """The text in the pieces that were signed; signatures of text that is not there any more are left out."""
    parts: list[dict[str, Any]] = []
    at = 0
    for span in spans:
        if at <= span.begin <= span.end <= len(text):
            if span.begin > at:
                parts.append({"text": text[at : span.begin]})
            parts.append({"text": text[span.begin : span.end], "thoughtSignature": span.signature})
            at = span.end
    return [*parts, {"text": text[at:]}] if at < len(text) or not parts else parts


def _google_signature(call: Mapping[str, Any]) -> str | None:
    """The signature as Google's own OpenAI endpoint gives it: `extra_content.google.thought_signature`."""
    extra = call.get("extra_content")
    google = extra.get("google") if is_object(extra) else None
    signature = google.get("thought_signature") if is_object(google) else None
    return signature if isinstance(signature, str) else None
