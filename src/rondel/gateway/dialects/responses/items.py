"""The items of `input` as the messages of a chat request.

What one answer consisted of (reasoning, texts, calls) becomes one assistant message; the outputs of its calls follow
it, wherever they stood.
"""

from collections.abc import Callable
from typing import Any, Literal

import msgspec

from rondel.errors import Invalid
from rondel.gateway.dialects.responses.shapes import unpack
from rondel.gateway.dialects.responses.tools import called_name, wrapped

Part = dict[str, Any]

_TO_SERVERS_ONLY = "which only a provider that speaks the Responses API has"


class _Kind(msgspec.Struct):
    type: str | None = None
    role: str | None = None
    id: str | None = None


class _Message(msgspec.Struct):
    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[msgspec.Raw]


class _Part(msgspec.Struct):
    type: str
    text: str = ""
    refusal: str = ""
    image_url: str | None = None
    detail: str | None = None
    file_id: str | None = None
    file_url: str | None = None
    file_data: str | None = None
    filename: str | None = None
    input_audio: msgspec.Raw = msgspec.Raw(b"null")
    prompt_cache_breakpoint: msgspec.Raw = msgspec.Raw(b"null")


class _Call(msgspec.Struct):
    call_id: str
    name: str
    arguments: str = ""
    input: str = ""
    namespace: str | None = None


class _Output(msgspec.Struct):
    call_id: str
    output: str | list[msgspec.Raw]


class _Told(msgspec.Struct):
    text: str = ""


class _Reasoning(msgspec.Struct):
    id: str = ""
    summary: list[_Told] = []
    content: list[_Told] | None = None
    encrypted_content: str | None = None


_kind = msgspec.json.Decoder(_Kind).decode
_message = msgspec.json.Decoder(_Message).decode
_part = msgspec.json.Decoder(_Part).decode
_call = msgspec.json.Decoder(_Call).decode
_output = msgspec.json.Decoder(_Output).decode
_reasoning = msgspec.json.Decoder(_Reasoning).decode


class _Turn:
    """An assistant's message while it is put together, or one of somebody else."""

    def __init__(self, role: str) -> None:
        self.role = role
        self.texts: list[str] = []
        self.parts: list[Part] = []
        self.refusal = ""
        self.reasoning: list[str] = []
        self.details: list[Part] = []
        self.calls: list[Part] = []
        self.outputs: list[Part] = []

    def messages(self) -> list[Part]:
        """As they stand in the chat request."""
        if self.role != "assistant":
            return [{"role": self.role, "content": _plain(self.parts)}]
        message: Part = {"role": "assistant", "content": "\n\n".join(self.texts) if self.texts else None}
        if self.refusal:
            message["refusal"] = self.refusal
        if self.reasoning:
            message["reasoning_content"] = "\n\n".join(self.reasoning)
        if self.details:
            message["reasoning_details"] = self.details
        if self.calls:
            message["tool_calls"] = self.calls
        return [message, *self.outputs]


def read_input(given: str | list[msgspec.Raw], instructions: str) -> list[Part]:
    """The messages of a chat request. Instructions and the system messages at the beginning become one.

    Raises:
        Invalid: an item is none, or can only be said to a server that speaks the Responses API.
    """
    turns = _Turns()
    if instructions:
        turns.add("system", [{"type": "text", "text": instructions}])
    if isinstance(given, str):
        turns.add("user", [{"type": "text", "text": given}])
    else:
        for place, item in enumerate(given):
            try:
                turns.read(item)
            except Invalid as error:
                raise Invalid(f"Item {place + 1} of 'input': {error.message}") from error
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise Invalid(f"Item {place + 1} of 'input' is wrong: {error}.") from error
    return turns.messages()


class _Turns:
    def __init__(self) -> None:
        self._turns: list[_Turn] = []
        self._by_call: dict[str, _Turn] = {}
        self._readers: dict[str, Callable[[msgspec.Raw], None]] = {
            "message": self._read_message,
            "function_call": self._read_call,
            "custom_tool_call": self._read_custom_call,
            "function_call_output": self._read_output,
            "custom_tool_call_output": self._read_output,
            "reasoning": self._read_reasoning,
        }

    def messages(self) -> list[Part]:
        return [message for turn in self._turns for message in turn.messages()]

    def read(self, item: msgspec.Raw) -> None:
        kind = _kind(item)
        name = kind.type or ("message" if kind.role else "item_reference")
        reader = self._readers.get(name)
        if reader is not None:
            reader(item)
        elif name == "item_reference":
            raise Invalid(f"it refers to {kind.id!r}, and nothing is stored here: send the item itself.")
        else:
            raise Invalid(f"it is a {name!r}, {_TO_SERVERS_ONLY}: leave it out.")

    def add(self, role: str, parts: list[Part]) -> None:
        """A message of somebody else than the assistant; system messages at the beginning are one."""
        last = self._turns[-1] if self._turns else None
        if role == "system" and last is not None and last.role == "system" and len(self._turns) == 1:
            last.parts = [{"type": "text", "text": "\n\n".join(part["text"] for part in (*last.parts, *parts))}]
            return
        turn = _Turn(role)
        turn.parts = parts
        self._turns.append(turn)

    def _assistant(self) -> _Turn:
        """The assistant's message that goes on, or a new one when its calls have been answered."""
        last = self._turns[-1] if self._turns else None
        if last is not None and last.role == "assistant" and not last.outputs:
            return last
        turn = _Turn("assistant")
        self._turns.append(turn)
        return turn

    def _read_message(self, item: msgspec.Raw) -> None:
        message = _message(item)
        content = message.content
        parts = [read_part(part) for part in content] if isinstance(content, list) else [_text(content)]
        if message.role == "assistant":
            turn = self._assistant()
            turn.refusal += "".join(part["refusal"] for part in parts if part["type"] == "refusal")
            if texts := [part["text"] for part in parts if part["type"] == "text"]:
                turn.texts.append("".join(texts))
            if any(part["type"] not in {"text", "refusal"} for part in parts):
                raise Invalid("an assistant's message holds text and refusals only.")
            return
        if message.role != "user":
            texts = [part["text"] for part in parts if part["type"] == "text"]
            if len(texts) < len(parts):
                raise Invalid(f"a {message.role} message holds text only.")
            self.add("system", [_text("".join(texts))])
            return
        self.add("user", parts)

    def _read_call(self, item: msgspec.Raw) -> None:
        call = _call(item)
        self._add_call(call, call.arguments)

    def _read_custom_call(self, item: msgspec.Raw) -> None:
        call = _call(item)
        self._add_call(call, wrapped(call.input))

    def _add_call(self, call: _Call, arguments: str) -> None:
        turn = self._assistant()
        name = called_name(call.name, call.namespace or "")
        function = {"name": name, "arguments": arguments}
        turn.calls.append({"id": call.call_id, "type": "function", "function": function})
        self._by_call[call.call_id] = turn

    def _read_output(self, item: msgspec.Raw) -> None:
        told = _output(item)
        turn = self._by_call.get(told.call_id)
        if turn is None:
            raise Invalid(f"it is the output of call {told.call_id!r}, which is not before it: send the call as well.")
        content = told.output if isinstance(told.output, str) else _plain([read_part(part) for part in told.output])
        turn.outputs.append({"role": "tool", "tool_call_id": told.call_id, "content": content})

    def _read_reasoning(self, item: msgspec.Raw) -> None:
        told = _reasoning(item)
        turn = self._assistant()
        if texts := [one.text for one in (told.content or told.summary) if one.text]:
            turn.reasoning.append("\n\n".join(texts))
        if told.encrypted_content:
            turn.details += unpack(told.encrypted_content, told.id)


def _text(text: str) -> Part:
    return {"type": "text", "text": text}


def _plain(parts: list[Part]) -> str | list[Part]:
    """One plain text as a string, which every server reads."""
    if len(parts) == 1 and parts[0].keys() == {"type", "text"}:
        return str(parts[0]["text"])
    return parts


def read_part(given: msgspec.Raw) -> Part:
    """One part of a message's content as chat completions have it.

    Raises:
        Invalid: chat completions have no such part.
    """
    part = _part(given)
    if part.type == "refusal":
        return {"type": "refusal", "refusal": part.refusal}
    match part.type:
        case "input_text" | "output_text" | "text":
            read = _text(part.text)
        case "input_image":
            read = _image(part)
        case "input_file":
            read = _file(part)
        case "input_audio":
            read = {"type": "input_audio", "input_audio": part.input_audio}
        case _:
            raise Invalid(f"it holds a {part.type!r}, {_TO_SERVERS_ONLY}.")
    if bytes(part.prompt_cache_breakpoint) != b"null":
        read["prompt_cache_breakpoint"] = part.prompt_cache_breakpoint
    return read


def _image(part: _Part) -> Part:
    if not part.image_url:
        raise Invalid("it holds an image by its 'file_id', which chat completions cannot say: send 'image_url'.")
    return {"type": "image_url", "image_url": {"url": part.image_url, **_given(part, "detail")}}


def _file(part: _Part) -> Part:
    if part.file_url:
        raise Invalid("it holds a file by its 'file_url', which chat completions cannot say: send 'file_data'.")
    return {"type": "file", "file": _given(part, "file_data", "file_id", "filename")}


def _given(part: _Part, *names: str) -> Part:
    values = {name: getattr(part, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}
