"""The official client speaks the Responses API with a model that knows chat completions."""

import json
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from rondel.gateway.ports import Problem
from tests.unit.gateway.dialects.responses.talking import HEAD, Gateway, call_piece, piece, spent, whole

WEATHER: Any = {
    "type": "function",
    "name": "weather",
    "description": "The weather of a place.",
    "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
    "strict": True,
}
PATCH: Any = {
    "type": "custom",
    "name": "apply_patch",
    "description": "Change files.",
    "format": {"type": "grammar", "syntax": "lark", "definition": "start: patch"},
}


def test_a_text_is_answered() -> None:
    gateway = Gateway(whole({"content": "Hello."}))
    response = gateway.client.responses.create(
        model="support", input="hi", instructions="Be kind.", temperature=0.5, max_output_tokens=90, store=True
    )
    assert gateway.asked == {
        "model": "support",
        "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "hi"}],
        "temperature": 0.5,
        "max_tokens": 90,
    }
    assert response.output_text == "Hello."
    assert (response.status, response.model, response.created_at) == ("completed", "tiny-1", 1_790_000_000)
    assert (response.instructions, response.temperature, response.max_output_tokens) == ("Be kind.", 0.5, 90)
    assert response.to_dict()["store"] is False
    assert response.usage is not None
    assert response.usage.to_dict() == {
        "input_tokens": 20,
        "input_tokens_details": {"cached_tokens": 16, "cache_write_tokens": 0},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 3},
        "total_tokens": 27,
    }


def test_a_response_has_every_field_that_the_clients_type_requires() -> None:
    gateway = Gateway(whole({"content": "Hello.", "reasoning_content": "Hm."}))
    response = gateway.client.responses.create(model="support", input="hi", tools=[WEATHER, PATCH])
    type(response).model_validate(response.to_dict())


def test_a_stream_is_told_in_events_and_put_together_by_the_client() -> None:
    gateway = Gateway(
        piece(role="assistant", content=""), piece(content="Hel"), piece(content="lo."), piece("stop"), spent()
    )
    with gateway.client.responses.stream(model="support", input="hi") as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert [event.type for event in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert final.output_text == "Hello."
    assert final.usage is not None
    assert final.usage.output_tokens_details.reasoning_tokens == 3


def test_tools_are_called_and_their_outputs_go_back() -> None:
    gateway = Gateway(
        call_piece(0, "call_a", "weather", ""),
        call_piece(0, None, None, '{"place":'),
        call_piece(0, None, None, '"Bern"}'),
        call_piece(1, "call_b", "weather", '{"place":"Rome"}'),
        piece("tool_calls"),
        spent(),
    )
    first: Any = {"role": "user", "content": "weather?"}
    with gateway.client.responses.stream(
        model="support", input=[first], tools=[WEATHER], tool_choice="required", parallel_tool_calls=True
    ) as stream:
        final = stream.get_final_response()
    calls = [item for item in final.output if item.type == "function_call"]
    assert [(call.call_id, json.loads(call.arguments)["place"]) for call in calls] == [
        ("call_a", "Bern"),
        ("call_b", "Rome"),
    ]
    assert gateway.asked["tool_choice"] == "required"
    assert gateway.asked["tools"][0]["function"] == {name: value for name, value in WEATHER.items() if name != "type"}
    outputs: list[Any] = [
        {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"} for call in calls
    ]
    gateway.answer = (whole({"content": "Sunny."}),)
    history: list[Any] = [first, *(item.to_dict() for item in final.output), *outputs]
    gateway.client.responses.create(model="support", input=history, tools=[WEATHER])
    messages = gateway.asked["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "tool"]
    assert messages[1]["tool_calls"][1] == {
        "id": "call_b",
        "type": "function",
        "function": {"name": "weather", "arguments": '{"place":"Rome"}'},
    }
    assert messages[3] == {"role": "tool", "tool_call_id": "call_b", "content": "sunny"}


def test_a_custom_tool_is_asked_for_as_a_function_and_answered_as_a_custom_tool() -> None:
    gateway = Gateway(
        call_piece(0, "call_a", "apply_patch", '{"input":"*** Beg'),
        call_piece(0, None, None, 'in \\"x\\"\\n"}'),
        piece("tool_calls"),
    )
    with gateway.client.responses.stream(model="m", input="fix it", tools=[PATCH]) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert "response.custom_tool_call_input.done" in kinds
    (call,) = final.output
    assert call.type == "custom_tool_call"
    assert (call.name, call.input) == ("apply_patch", '*** Begin "x"\n')
    function = gateway.asked["tools"][0]["function"]
    assert function["parameters"]["required"] == ["input"]
    assert "start: patch" in function["description"]
    gateway.answer = (whole({"content": "Done."}),)
    output: Any = {"type": "custom_tool_call_output", "call_id": "call_a", "output": "ok"}
    gateway.client.responses.create(model="m", input=[call.to_dict(), output], tools=[PATCH])  # pyright: ignore[reportArgumentType]  what was answered
    sent = gateway.asked["messages"][0]["tool_calls"][0]["function"]
    assert json.loads(sent["arguments"]) == {"input": '*** Begin "x"\n'}


def test_a_namespace_of_tools_keeps_its_names() -> None:
    tools: Any = [
        {"type": "namespace", "name": "files", "description": "Files.", "tools": [{**WEATHER, "name": "read"}]}
    ]
    gateway = Gateway(whole({"content": None, "tool_calls": [_call("files__read")]}, "tool_calls"))
    response = gateway.client.responses.create(model="m", input="hi", tools=tools)
    (call,) = response.output
    assert call.type == "function_call"
    assert (call.name, call.namespace) == ("read", "files")
    assert gateway.asked["tools"][0]["function"]["name"] == "files__read"


def _call(name: str) -> dict[str, Any]:
    return {"id": "call_1", "type": "function", "function": {"name": name, "arguments": "{}"}}


def test_images_files_and_sounds_go_with_the_message() -> None:
    gateway = Gateway(whole({"content": "A cat."}))
    parts: Any = [
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "low"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
    ]
    gateway.client.responses.create(model="m", input=[{"role": "user", "content": parts}])
    assert gateway.asked["messages"][0]["content"] == [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
    ]


SUMMARISED = """reasoning_summary_part.added reasoning_summary_text.delta reasoning_summary_text.delta
    reasoning_summary_text.done reasoning_summary_part.done"""
IN_FULL = "content_part.added reasoning_text.delta reasoning_text.delta reasoning_text.done content_part.done"


@pytest.mark.parametrize(("summary", "kinds"), [("auto", SUMMARISED), (None, IN_FULL)])
def test_reasoning_is_told_as_a_summary_when_one_was_asked_for(summary: Any, kinds: str) -> None:
    gateway = Gateway(
        piece(reasoning_content="Let me "), piece(reasoning_content="see."), piece(content="42"), piece("stop"), spent()
    )
    with gateway.client.responses.stream(
        model="m", input="hi", reasoning={"effort": "high", "summary": summary}
    ) as stream:
        events = [event.type.removeprefix("response.") for event in stream]
        final = stream.get_final_response()
    assert gateway.asked["reasoning_effort"] == "high"
    assert events[3:8] == kinds.split()
    thought, message = final.output
    assert thought.type == "reasoning"
    told = thought.summary if summary else thought.content
    assert told is not None
    assert told[0].text == "Let me see."
    assert message.type == "message"
    assert final.output_text == "42"


def test_encrypted_reasoning_comes_back_to_its_server_as_it_was() -> None:
    details = [
        {"type": "reasoning.text", "text": "Let me see.", "signature": "c2ln", "format": "anthropic-claude-v1"},
        {"type": "reasoning.encrypted", "data": "ZW5j", "id": "r1", "format": "anthropic-claude-v1"},
    ]
    gateway = Gateway(
        piece(reasoning_details=[{**details[0], "text": "Let me ", "signature": None}]),
        piece(reasoning_details=[{**details[0], "text": "see."}]),
        piece(reasoning_details=[details[1]]),
        piece(content="42"),
        piece("stop"),
    )
    with gateway.client.responses.stream(model="m", input="hi", include=["reasoning.encrypted_content"]) as stream:
        final = stream.get_final_response()
    gateway.answer = (whole({"content": "ok"}),)
    history: Any = [item.to_dict() for item in final.output]
    gateway.client.responses.create(model="m", input=history)
    (message,) = gateway.asked["messages"]
    assert message["reasoning_details"] == details
    assert message["reasoning_content"] == "Let me see."
    assert message["content"] == "42"


class Person(BaseModel):
    """What the model shall give."""

    name: str
    age: int


def test_structured_output_is_parsed() -> None:
    gateway = Gateway(whole({"content": '{"name":"Ada","age":36}'}))
    response = gateway.client.responses.parse(model="m", input="who?", text_format=Person)
    assert response.output_parsed == Person(name="Ada", age=36)
    asked = gateway.asked["response_format"]
    assert asked["type"] == "json_schema"
    assert (asked["json_schema"]["name"], asked["json_schema"]["strict"]) == ("Person", True)
    assert asked["json_schema"]["schema"]["required"] == ["name", "age"]


def test_structured_output_is_parsed_from_a_stream() -> None:
    gateway = Gateway(piece(content='{"name":"Ada",'), piece(content='"age":36}'), piece("stop"))
    with gateway.client.responses.stream(model="m", input="who?", text_format=Person) as stream:
        assert stream.get_final_response().output_parsed == Person(name="Ada", age=36)


def test_a_refusal_is_a_part_of_the_message() -> None:
    gateway = Gateway(piece(refusal="I can"), piece(refusal="not."), piece("stop"))
    with gateway.client.responses.stream(model="m", input="hi") as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert kinds[4:7] == ["response.refusal.delta", "response.refusal.delta", "response.refusal.done"]
    message = final.output[0]
    assert message.type == "message"
    assert message.content[0].type == "refusal"
    assert message.content[0].refusal == "I cannot."


@pytest.mark.parametrize(("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
def test_an_answer_that_was_cut_is_incomplete(finish: str, reason: str) -> None:
    gateway = Gateway(piece(content="Once"), piece(finish), spent())
    with gateway.client.responses.stream(model="m", input="hi") as stream:
        last = list(stream)[-1]
    assert last.type == "response.incomplete"
    assert last.response.incomplete_details is not None
    assert last.response.incomplete_details.reason == reason
    message = last.response.output[0]
    assert message.type == "message"
    assert message.status == "incomplete"
    gateway.answer = (whole({"content": "Once"}, finish),)
    assert gateway.client.responses.create(model="m", input="hi").status == "incomplete"


def test_a_stream_that_breaks_off_has_failed() -> None:
    gateway = Gateway(piece(content="Once"), problem=Problem("It broke.", "server_error", "stream_broken"))
    with gateway.client.responses.stream(model="m", input="hi") as stream:
        events = list(stream)
        with pytest.raises(RuntimeError, match="completed"):
            stream.get_final_response()
    assert events[-1].type == "response.failed"
    assert events[-1].response.error is not None
    assert (events[-1].response.error.code, events[-1].response.error.message) == ("server_error", "It broke.")


def test_a_stream_that_breaks_off_before_it_began_has_failed() -> None:
    gateway = Gateway(problem=Problem("Slow down.", "rate_limit_error"))
    with gateway.client.responses.stream(model="m", input="hi") as stream:
        events = list(stream)
    assert [event.type for event in events] == ["response.created", "response.in_progress", "response.failed"]
    assert events[-1].type == "response.failed"
    assert events[-1].response.error is not None
    assert events[-1].response.error.code == "rate_limit_exceeded"


def test_an_error_is_raised_with_its_sentence() -> None:
    with pytest.raises(openai.BadRequestError, match="previous_response_id") as caught:
        Gateway().client.responses.create(model="m", input="hi", previous_response_id="resp_1")
    assert caught.value.code == "invalid_request"


def test_sources_are_told_as_annotations() -> None:
    cited = {
        "type": "url_citation",
        "url_citation": {"url": "https://a", "title": "A", "start_index": 0, "end_index": 2},
    }
    gateway = Gateway(piece(content="42"), piece(annotations=[cited]), piece("stop"))
    with gateway.client.responses.stream(model="m", input="hi") as stream:
        final = stream.get_final_response()
    message = final.output[0]
    assert message.type == "message"
    assert message.content[0].type == "output_text"
    assert message.content[0].annotations[0].to_dict() == {"type": "url_citation", **cited["url_citation"]}  # pyright: ignore[reportGeneralTypeIssues, reportCallIssue, reportArgumentType]  literal


def test_log_probabilities_are_told_when_asked_for() -> None:
    told = {"token": "a", "logprob": -0.5, "bytes": None, "top_logprobs": [{"token": "b", "logprob": -1.0}]}
    chunk = {**HEAD, "choices": [{"index": 0, "delta": {"content": "a"}, "logprobs": {"content": [told]}}]}
    gateway = Gateway(chunk, piece("stop"))
    with gateway.client.responses.stream(model="m", input="hi", top_logprobs=1) as stream:
        final = stream.get_final_response()
    assert (gateway.asked["logprobs"], gateway.asked["top_logprobs"]) == (True, 1)
    message = final.output[0]
    assert message.type == "message"
    assert message.content[0].type == "output_text"
    assert message.content[0].logprobs is not None
    assert message.content[0].logprobs[0].top_logprobs[0].bytes == []
