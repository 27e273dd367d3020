"""What a target is asked about an example, and the name under which its answer may be found again."""

import hashlib

import msgspec

from rondel.chat import ChatRequest, Message
from rondel.datasets.models import Example, is_list, is_object
from rondel.errors import Invalid
from rondel.evaluation.answers import as_text
from rondel.evaluation.models import Target
from rondel.prompts.rules import render, variables_of


def request_for(target: Target, example: Example) -> ChatRequest:
    """The request for one example, its prompt filled as the gateway fills a release's.

    A prompt that uses `input` gets the input there: text as it is, else JSON; of a chat the last user message, the
    turns before it, without system messages, standing before the prompt's message that takes the input. Another prompt
    stands before the input, unless it uses the input's own fields: then it is the whole request.

    Raises:
        Invalid: the prompt needs a variable that the input does not have, or a chat is no list of messages.
        TooLarge: the rendered prompt passes a bound of the prompt language.
    """
    turns = _turns(example.input)
    parameters = dict(target.parameters)
    if target.response_schema is not None:
        schema = {"name": "answer", "schema": target.response_schema, "strict": True}
        parameters.setdefault("response_format", {"type": "json_schema", "json_schema": schema})
    return ChatRequest(target.model, _messages(target, example.input, turns), parameters)


def _messages(target: Target, input_: object, turns: tuple[Message, ...]) -> tuple[Message, ...]:
    needs = variables_of(target.messages)
    own = {name: value for name, value in input_.items() if name != "messages"} if is_object(input_) else {}
    if "input" not in needs:
        prompt = render(target.messages, own)
        return prompt if set(own) & set(needs) else (*prompt, *turns)
    position = max((i for i, turn in enumerate(turns) if turn.role == "user"), default=-1)
    text = turns[position].content if position >= 0 else ""
    prompt = render(target.messages, {**own, "input": text})
    at = next(index for index, message in enumerate(target.messages) if "input" in variables_of([message]))
    history = [turn for turn in turns[: max(position, 0)] if turn.role not in {"system", "developer"}]
    return (*prompt[:at], *history, *prompt[at:], *turns[position + 1 :])


def cache_key(target: Target, request: ChatRequest) -> str:
    """The sha256 of what is asked and of what stands behind the model; "" when that can change."""
    if target.revision is None:
        return ""
    asked = (target.revision, request.model, request.messages, request.parameters)
    return hashlib.sha256(msgspec.json.encode(asked, order="sorted")).hexdigest()


def _turns(input_: object) -> tuple[Message, ...]:
    if not is_object(input_) or "messages" not in input_:
        return (Message("user", as_text(input_)),)
    turns = input_["messages"]
    if not is_list(turns):
        raise Invalid("The example's 'messages' is not a list of messages with a role and a content.")
    return tuple(_message(turn) for turn in turns)


def _message(turn: object) -> Message:
    if not is_object(turn) or not isinstance(turn.get("role"), str):
        raise Invalid("A message of the example has no role: write {'role': 'user', 'content': '…'}.")
    content = turn.get("content")
    return Message(str(turn["role"]), content if isinstance(content, str) else as_text(content or ""))
