"""What a target is asked about an example, and the name under which its answer may be found again."""

import hashlib
from collections.abc import Mapping
from typing import TypeGuard

import msgspec

from rondel.chat import ChatRequest, Message, ToolCall, in_the_form_of
from rondel.datasets.models import Example, as_text, is_list, is_object
from rondel.errors import Invalid, did_you_mean
from rondel.evaluation.models import Target
from rondel.prompts.rules import ROLES, render, variables_of


class _Function(msgspec.Struct):
    name: str
    arguments: str


class _Call(msgspec.Struct):
    id: str
    function: _Function


class _Part(msgspec.Struct):
    type: str = "text"
    text: str = ""


class _Turn(msgspec.Struct):
    """A message as OpenAI's API and a dataset from traces have it."""

    role: str
    content: str | list[_Part] | None = None
    name: str | None = None
    tool_calls: list[_Call] | None = None
    tool_call_id: str | None = None


def request_for(target: Target, example: Example) -> ChatRequest:
    """The request for one example, its prompt filled as the gateway fills a release's.

    A prompt that uses `input` gets the input there: text as it is, else JSON; of a chat the last user message, the
    turns before it, without system messages, standing before the prompt's message that takes the input. Another prompt
    stands before the input, unless it uses the fields of an input that is no chat: then it is the whole request.

    Raises:
        Invalid: the prompt needs a variable that the input does not have, or a user message that a chat does not have;
            or a chat is no list of messages.
        TooLarge: the rendered prompt passes a bound of the prompt language.
    """
    turns = _turns(example.input)
    parameters = dict(target.parameters)
    if target.response_schema is not None:
        parameters.setdefault("response_format", in_the_form_of(target.response_schema))
    return ChatRequest(target.model, _messages(target, example.input, turns), parameters)


def _messages(target: Target, input_: object, turns: tuple[Message, ...]) -> tuple[Message, ...]:
    needs = variables_of(target.messages)
    own = {name: value for name, value in input_.items() if name != "messages"} if is_object(input_) else {}
    if "input" not in needs:
        prompt = render(target.messages, {**own, "input": ""})  # not read; what a misspelt name could have meant
        is_whole = bool(set(own) & set(needs)) and not _is_chat(input_)
        return prompt if is_whole else (*prompt, *turns)
    position = max((i for i, turn in enumerate(turns) if turn.role == "user"), default=-1)
    if position < 0:
        raise Invalid("The prompt takes the last user message as its input, and the example's chat has none.")
    prompt = render(target.messages, {**own, "input": turns[position].content})
    at = next(index for index, message in enumerate(target.messages) if "input" in variables_of([message]))
    history = [turn for turn in turns[:position] if turn.role not in {"system", "developer"}]
    return (*prompt[:at], *history, *prompt[at:], *turns[position + 1 :])


def cache_key(target: Target, request: ChatRequest) -> str:
    """The sha256 of what is asked and of what stands behind the model; "" when that can change."""
    if target.revision is None:
        return ""
    asked = (target.revision, request.model, request.messages, request.parameters)
    return hashlib.sha256(msgspec.json.encode(asked, order="sorted")).hexdigest()


def _is_chat(input_: object) -> TypeGuard[Mapping[str, object]]:
    return is_object(input_) and "messages" in input_


def _turns(input_: object) -> tuple[Message, ...]:
    if not _is_chat(input_):
        return (Message("user", as_text(input_)),)
    turns = input_["messages"]
    if not is_list(turns) or not turns:
        raise Invalid("The example's 'messages' is not a list of messages with a role and a content.")
    return tuple(_message(turn) for turn in turns)


def _message(turn: object) -> Message:
    try:
        told = msgspec.convert(turn, _Turn)
    except msgspec.ValidationError as error:
        raise Invalid(f"A message of the example is not right: {error}.") from error
    if told.role not in ROLES:
        raise Invalid(f"A message of the example has the role {told.role!r}. {did_you_mean(told.role, ROLES)}")
    calls = tuple(ToolCall(call.id, call.function.name, call.function.arguments) for call in told.tool_calls or ())
    return Message(told.role, _text(told.content), told.name, calls, told.tool_call_id)


def _text(content: str | list[_Part] | None) -> str:
    """A content's text, its parts joined, as the gateway reads it."""
    if isinstance(content, str) or content is None:
        return content or ""
    for part in content:
        if part.type != "text":
            raise Invalid(f"A message of the example has a part of type {part.type!r}: an evaluation sends text only.")
    return "".join(part.text for part in content)
