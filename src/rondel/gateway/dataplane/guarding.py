"""Guardrails on messages, on whole answers and on streams of events.

In a stream each text of each choice (content, reasoning, refusal, the arguments of each tool call) is checked by itself
and in order; an event goes on with the text that its checks release. Token probabilities would tell the text that a
guardrail took out, so an editing guardrail takes them out too.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeGuard

import msgspec

from rondel.gateway.dataplane.plan import Guard
from rondel.gateway.dialects.events import DONE, data_of, event_of
from rondel.gateway.models import Fields, OnFailure
from rondel.gateway.ports import Chunk
from rondel.gateway.rules import raw
from rondel.guardrails.models import Capability, Verdict
from rondel.guardrails.ports import TextCheck
from rondel.telemetry.records import GuardVerdict

_ANSWER = frozenset({"content", "text"})
_TEXTS = ("content", "reasoning_content", "reasoning", "refusal")
_CALLS = (("tool_calls", "function", "arguments"), ("custom", "custom", "input"))
"""Where the text of a call stands: the channel's name, the part of the call, and the field in it."""
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode

Channel = tuple[int, str, int]
"""A text of a stream: the choice's index, the field's name, and for tool calls the call's index."""


class Guarded(NamedTuple):
    """A text's way through all guardrails; `refusal` is set by the first that refuses it."""

    value: Any
    verdicts: list[GuardVerdict]
    refusal: str
    is_retried: bool


class Tally:
    """What one guardrail has found in all texts of one request."""

    def __init__(self, guard: Guard, where: str) -> None:
        self._guard, self._where = guard, where
        self._found: dict[str, int] = {}
        self._reasons: list[str] = []
        self.is_ok = True

    def add(self, verdict: Verdict) -> None:
        """One text's outcome."""
        self.is_ok = self.is_ok and verdict.is_ok
        for kind, count in verdict.found.items():
            self._found[kind] = self._found.get(kind, 0) + count
        if verdict.reason:
            self._reasons.append(verdict.reason)

    def verdict(self) -> GuardVerdict:
        """The line in the record."""
        return GuardVerdict(
            check=self._guard.rule.check,
            where=self._where,
            ok=self.is_ok,
            action="none"
            if self.is_ok
            else "redacted"
            if _edits(self._guard)
            else _ACTIONS[self._guard.rule.on_failure],
            found=self._found,
            detail=" ".join(dict.fromkeys(self._reasons)),
        )


_ACTIONS = {OnFailure.PASS: "noted", OnFailure.RETRY: "retried", OnFailure.ERROR: "refused"}


def _edits(guard: Guard) -> bool:
    return Capability.EDITS in guard.guardrail.capabilities


class Checks:
    """The guardrails on one text, one behind the other: only those that edit look at what is not the answer itself."""

    def __init__(self, guards: Sequence[Guard], tallies: Sequence[Tally], name: str) -> None:
        both = [
            (guard, tally) for guard, tally in zip(guards, tallies, strict=True) if name in _ANSWER or _edits(guard)
        ]
        self._checks: list[TextCheck] = [guard.guardrail.begin() for guard, _ in both]
        self._tallies = [tally for _, tally in both]
        self._is_ended = False

    def feed(self, text: str) -> str:
        """The text that may go on."""
        for check in self._checks:
            text = check.feed(text).text
        return text

    def end(self) -> str:
        """The rest; the verdicts are in the tallies after this."""
        if self._is_ended:
            return ""
        self._is_ended = True
        rest = ""
        for check, tally in zip(self._checks, self._tallies, strict=True):
            fed = check.feed(rest).text if rest else ""
            ended = check.end()
            rest = fed + ended.text
            if ended.verdict is not None:
                tally.add(ended.verdict)
        return rest


def _is_object(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _objects(value: object) -> Iterable[dict[str, Any]]:
    return [item for item in value if _is_object(item)] if _is_list(value) else []


class StreamGuard:
    """One stream of events on its way to the caller."""

    def __init__(self, guards: Sequence[Guard]) -> None:
        self._guards = guards
        self._tallies = [Tally(guard, "output") for guard in guards]
        self._edits = any(_edits(guard) for guard in guards)
        self._texts: dict[Channel, Checks] = {}
        self._last: dict[str, Any] = {}

    def feed(self, event: bytes) -> bytes:
        """What may go on of one event."""
        data = data_of(event)
        if data == DONE:
            return self.end() + event
        if not data:
            return event
        try:
            chunk = _decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return event if not self._edits else b""
        return event_of(_encode(chunk)) if self.edit(chunk) else event

    def end(self) -> bytes:
        """An event with what was still held back; nothing when nothing was."""
        chunk = self.rest()
        return b"" if chunk is None else event_of(_encode(chunk))

    def edit(self, chunk: Chunk) -> bool:
        """Put into a chunk what may go on of it; whether that changed it."""
        choices = list(_objects(chunk.get("choices")))
        if choices:
            self._last = {name: value for name, value in chunk.items() if name not in {"choices", "usage"}}
        is_changed = False
        for choice in choices:
            is_changed |= self._choice(choice)
        return is_changed

    def rest(self) -> Chunk | None:
        """A chunk with what was still held back; None when nothing was."""
        choices: dict[int, dict[str, Any]] = {}
        for channel, checks in self._texts.items():
            if rest := checks.end():
                choice = choices.setdefault(channel[0], {"index": channel[0], "delta": {}, "finish_reason": None})
                _append(choice, channel, rest)
        if not choices:
            return None
        return {**self._last, "choices": [choices[index] for index in sorted(choices)]}

    def verdicts(self) -> list[GuardVerdict]:
        """What was found, after the end."""
        return [tally.verdict() for tally in self._tallies]

    def refusal(self) -> str:
        """Why the stream must not end as if all were well; empty when it may."""
        return _refusal(self._guards, self._tallies)[0]

    def _choice(self, choice: dict[str, Any]) -> bool:
        index = choice.get("index", 0)
        index = index if isinstance(index, int) else 0
        is_changed = self._edits and bool(choice.get("logprobs"))
        if is_changed:
            choice["logprobs"] = None
        delta = choice.get("delta")
        holder, names = (delta, _TEXTS) if _is_object(delta) else (choice, ("text",))
        for name in names:
            is_changed |= self._text(holder, name, (index, name, 0))
        for position, call in enumerate(_objects(holder.get("tool_calls"))):
            number = call.get("index", position)
            place = number if isinstance(number, int) else position
            for channel, part, text in _CALLS:
                if _is_object(told := call.get(part)):
                    is_changed |= self._text(told, text, (index, channel, place))
        if _is_object(told := holder.get("function_call")):
            is_changed |= self._text(told, "arguments", (index, "function_call", 0))
        if choice.get("finish_reason"):
            is_changed |= self._flush(choice, index)
        return is_changed

    def _text(self, holder: dict[str, Any], name: str, channel: Channel) -> bool:
        text = holder.get(name)
        if not isinstance(text, str) or not text:
            return False
        checks = self._texts.get(channel)
        if checks is None:
            checks = self._texts[channel] = Checks(self._guards, self._tallies, channel[1])
        released = checks.feed(text)
        holder[name] = released
        return released != text

    def _flush(self, choice: dict[str, Any], index: int) -> bool:
        is_changed = False
        for channel, checks in self._texts.items():
            if channel[0] == index and (rest := checks.end()):
                _append(choice, channel, rest)
                is_changed = True
        return is_changed


def _append(choice: dict[str, Any], channel: Channel, rest: str) -> None:
    """Put text at the end of the piece of one choice."""
    _, name, number = channel
    if name == "text":
        choice.pop("delta", None)
        choice["text"] = (choice.get("text") or "") + rest
        return
    delta = choice.get("delta")
    if not _is_object(delta):
        delta = choice["delta"] = {}
    if name == "function_call":
        told = delta.get(name)
        if not _is_object(told):
            told = delta[name] = {}
        told["arguments"] = (told.get("arguments") or "") + rest
        return
    part = next(((part, text) for channel, part, text in _CALLS if channel == name), None)
    if part is None:
        delta[name] = (delta.get(name) or "") + rest
        return
    calls = delta.get("tool_calls")
    if not _is_list(calls):
        calls = delta["tool_calls"] = []
    for call in _objects(calls):
        if call.get("index") == number and _is_object(told := call.get(part[0])):
            told[part[1]] = (told.get(part[1]) or "") + rest
            return
    delta["tool_calls"] = [*calls, {"index": number, part[0]: {part[1]: rest}}]


def check_answer(guards: Sequence[Guard], body: bytes) -> Guarded:
    """A whole answer: every text of every choice. The body keeps its bytes unless a text is changed."""
    tallies = [Tally(guard, "output") for guard in guards]
    edits = any(_edits(guard) for guard in guards)
    answer = _decode(body)
    is_changed = False
    for choice in _objects(answer.get("choices")):
        message = choice.get("message")
        holder, names = (message, _TEXTS) if _is_object(message) else (choice, ("text",))
        for name in names:
            is_changed |= _check_field(guards, tallies, holder, name)
        for call in _objects(holder.get("tool_calls")):
            for _, part, text in _CALLS:
                if _is_object(told := call.get(part)):
                    is_changed |= _check_field(guards, tallies, told, text)
        if _is_object(told := holder.get("function_call")):
            is_changed |= _check_field(guards, tallies, told, "arguments")
        if edits and choice.get("logprobs"):
            choice["logprobs"] = None
            is_changed = True
    refusal, is_retried = _refusal(guards, tallies)
    return Guarded(_encode(answer) if is_changed else body, [tally.verdict() for tally in tallies], refusal, is_retried)


def check_fields(guards: Sequence[Guard], fields: Fields) -> Guarded:
    """The caller's texts: message contents, prompts and inputs. Fields that need no change keep their bytes."""
    tallies = [Tally(guard, "input") for guard in guards]
    changed = dict(fields)
    for name in ("messages", "prompt", "input"):
        if name in fields:
            value = msgspec.json.decode(fields[name])
            checked = _check_value(guards, tallies, value)
            if checked != value:
                changed[name] = raw(checked)
    refusal, is_retried = _refusal(guards, tallies)
    return Guarded(changed, [tally.verdict() for tally in tallies], refusal, is_retried)


def _check_value(guards: Sequence[Guard], tallies: Sequence[Tally], value: Any, name: str = "") -> Any:
    """Texts inside JSON; names, roles, ids and links stay."""
    if isinstance(value, str):
        if name in {"role", "type", "id", "tool_call_id", "name", "url", "data"}:
            return value
        checks = Checks(guards, tallies, "content")
        return checks.feed(value) + checks.end()
    if _is_object(value):
        return {key: _check_value(guards, tallies, part, key) for key, part in value.items()}
    if _is_list(value):
        return [_check_value(guards, tallies, part, name) for part in value]
    return value


def _check_field(guards: Sequence[Guard], tallies: Sequence[Tally], holder: dict[str, Any], name: str) -> bool:
    text = holder.get(name)
    if not isinstance(text, str):
        return False
    checks = Checks(guards, tallies, name)
    holder[name] = checks.feed(text) + checks.end()
    return holder[name] != text


def _refusal(guards: Sequence[Guard], tallies: Sequence[Tally]) -> tuple[str, bool]:
    """Why an answer is refused, and whether another try is wanted first."""
    for guard, tally in zip(guards, tallies, strict=True):
        if not tally.is_ok and guard.rule.on_failure is not OnFailure.PASS:
            reason = tally.verdict().detail or "It did not pass."
            return (
                f"The guardrail {guard.rule.check!r} refused the text. {reason}",
                guard.rule.on_failure is OnFailure.RETRY,
            )
    return "", False
