"""What a request says as a chat request, and what cannot be said."""

import json
from typing import Any

import pytest

from rondel.errors import Invalid
from rondel.gateway.dialects.responses.dialect import Responses
from rondel.gateway.models import Head


def _read(**fields: Any) -> dict[str, Any]:
    body = json.dumps({"model": "m", "input": "hi", **fields}).encode()
    dialect = Responses()
    read = dialect.read(body, dialect.head("/v1/responses", {}, body))
    return {name: json.loads(bytes(value)) for name, value in read.items()}


def _messages(*items: Any, **fields: Any) -> list[Any]:
    return _read(input=list(items), **fields)["messages"]


CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}


def _output(output: Any, call_id: str = "c1") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": output}


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"previous_response_id": "resp_1"}, "send its items"),
        ({"conversation": "conv_1"}, "send its items"),
        ({"background": True}, "fetched later"),
        ({"prompt": {"id": "pmpt_1"}}, "call a route whose release has the prompt"),
        ({"context_management": [{"type": "compaction"}]}, "send fewer"),
        ({"moderation": {"model": "m"}}, "guardrail"),
        ({"tools": [{"type": "web_search"}]}, "'web_search' is run by the server"),
        ({"tools": [{"type": "file_search", "vector_store_ids": ["v"]}]}, "'file_search' is run by the server"),
        ({"tools": [{"type": "mcp", "server_label": "x"}]}, "'mcp' is run by the server"),
        ({"tools": [{"type": "computer_use_preview"}]}, "'computer_use_preview' is run by the server"),
        ({"tools": [{"type": "function", "name": "a b"}]}, "'a b' cannot be called so"),
        ({"tools": [{"type": "function", "name": "f"}, {"type": "custom", "name": "f"}]}, "Two tools are called 'f'"),
        ({"tools": [7]}, "Tool 1 is wrong"),
        (
            {"tools": [{"type": "function", "name": "f"}], "tool_choice": {"type": "function", "name": "g"}},
            "names 'g', which is not among the tools",
        ),
        (
            {"tools": [{"type": "function", "name": "f"}], "tool_choice": {"type": "web_search_preview"}},
            "'web_search_preview' is run by the server",
        ),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "Item 1 of 'input': it refers to 'msg_1'"),
        ({"input": [{"id": "msg_1"}]}, "it refers to 'msg_1'"),
        ({"input": [{"type": "web_search_call", "id": "ws_1"}]}, "it is a 'web_search_call'"),
        ({"input": [_output("x")]}, "output of call 'c1', which is not before it"),
        ({"input": [{"role": "owner", "content": "x"}]}, "Item 1 of 'input' is wrong"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]}, "send 'image_url'"),
        ({"input": [{"role": "user", "content": [{"type": "input_file", "file_url": "f"}]}]}, "send 'file_data'"),
        ({"input": [{"role": "user", "content": [{"type": "computer_screenshot"}]}]}, "'computer_screenshot'"),
        ({"input": [{"role": "system", "content": [{"type": "input_image", "image_url": "x"}]}]}, "text only"),
        ({"input": [{"role": "assistant", "content": [{"type": "input_image", "image_url": "x"}]}]}, "only"),
        ({"input": None}, "'input' is missing"),
        ({"input": 7}, "'input' is wrong"),
        ({"text": {"format": {"type": "grammar"}}}, "'grammar'"),
        ({"max_output_tokens": "9"}, "'max_output_tokens' is wrong"),
        ({"model": None}, "'model' is wrong"),
    ],
)
def test_what_cannot_be_said_is_refused_by_name(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(Invalid) as caught:
        _read(**fields)
    assert says in caught.value.message


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"input":"x"}', b'{"model":"\xff"}', b'{"model":' + b"[" * 50_000]
)
def test_what_is_no_request_is_refused(body: bytes) -> None:
    with pytest.raises(Invalid):
        Responses().head("/v1/responses", {}, body)


def test_the_head() -> None:
    body = json.dumps(
        {"model": "m", "input": "x", "stream": True, "max_output_tokens": 5, "safety_identifier": "u"}
        | {"metadata": {"session": "s"}}
    )
    head = Responses().head("/v1/responses", {}, body.encode())
    assert head == Head("m", is_stream=True, max_tokens=5, user="u", metadata={"session": "s"}, wants_usage=True)


def test_fields_with_another_name_or_place_are_moved() -> None:
    read = _read(
        text={"verbosity": "low", "format": {"type": "json_object"}},
        reasoning={"effort": "minimal", "summary": "auto"},
        max_output_tokens=7,
        include=["message.output_text.logprobs"],
    )
    assert read == {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "verbosity": "low",
        "response_format": {"type": "json_object"},
        "reasoning_effort": "minimal",
        "max_tokens": 7,
        "logprobs": True,
    }


def test_fields_with_the_same_name_and_unknown_ones_keep_their_bytes() -> None:
    body = b'{"model":"m","input":"hi","temperature":0.50,"metadata":{"a":"b"},"prompt_cache_key":"k","x_new":[1e2]}'
    dialect = Responses()
    read = dialect.read(body, dialect.head("/v1/responses", {}, body))
    kept = {name: bytes(value) for name, value in read.items() if name not in {"model", "messages"}}
    assert kept == {
        "temperature": b"0.50",
        "metadata": b'{"a":"b"}',
        "prompt_cache_key": b'"k"',
        "x_new": b"[1e2]",
    }


def test_what_is_null_is_as_if_it_were_not_there() -> None:
    nothing = dict.fromkeys(["previous_response_id", "tools", "tool_choice", "text", "reasoning", "user", "background"])
    assert _read(**nothing) == {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def test_what_has_no_meaning_without_a_store_is_left_out() -> None:
    read = _read(store=True, truncation="auto", background=False, stream_options={"include_obfuscation": False})
    assert read.keys() == {"model", "messages"}


def test_instructions_and_the_system_messages_at_the_beginning_are_one() -> None:
    developer = {"role": "developer", "content": [{"type": "input_text", "text": "B"}]}
    user, late = {"role": "user", "content": "hi"}, {"type": "message", "role": "system", "content": "C"}
    assert _messages(developer, user, late, instructions="A") == [
        {"role": "system", "content": "A\n\nB"},
        user,
        {"role": "system", "content": "C"},
    ]


def test_outputs_follow_their_call_wherever_they_stand() -> None:
    second = {**CALL, "call_id": "c2"}
    between = {"role": "user", "content": "faster!"}
    messages = _messages(CALL, second, between, _output("1"), _output("2", "c2"))
    assert [(one["role"], one.get("tool_call_id")) for one in messages] == [
        ("assistant", None),
        ("tool", "c1"),
        ("tool", "c2"),
        ("user", None),
    ]


def test_one_answer_is_one_message_and_the_next_is_another() -> None:
    thought = {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "Hm."}]}
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Yes."}]}
    second = {**CALL, "call_id": "c2"}
    messages = _messages(thought, said, CALL, _output("1"), second, _output("2", "c2"))
    assert [one["role"] for one in messages] == ["assistant", "tool", "assistant", "tool"]
    assert messages[0]["reasoning_content"] == "Hm."
    assert messages[0]["content"] == "Yes."
    assert messages[2]["content"] is None


def test_what_openai_encrypted_goes_on_as_openrouter_writes_it() -> None:
    item: dict[str, Any] = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}
    (message,) = _messages(item)
    assert message["reasoning_details"] == [
        {"type": "reasoning.encrypted", "data": "gAAA", "id": "rs_1", "format": "openai-responses-v1"}
    ]


def test_an_output_may_hold_an_image() -> None:
    parts = [{"type": "input_text", "text": "see"}, {"type": "input_image", "image_url": "data:x"}]
    assert _messages(CALL, _output(parts))[1]["content"] == [
        {"type": "text", "text": "see"},
        {"type": "image_url", "image_url": {"url": "data:x"}},
    ]


def test_the_choice_of_a_tool_and_of_some_tools() -> None:
    tools: list[Any] = [{"type": "function", "name": name, "parameters": {}} for name in ("f", "g")]
    chosen = _read(tools=tools, tool_choice={"type": "function", "name": "g"})
    assert chosen["tool_choice"] == {"type": "function", "function": {"name": "g"}}
    allowed = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "g"}]}
    some = _read(tools=tools, tool_choice=allowed)
    assert some["tool_choice"] == "required"
    assert [tool["function"]["name"] for tool in some["tools"]] == ["g"]


def test_a_breakpoint_of_the_prompt_cache_stays_at_its_part() -> None:
    mark = {"mode": "explicit"}
    part = {"type": "input_text", "text": "x", "prompt_cache_breakpoint": mark}
    assert _messages({"role": "user", "content": [part]})[0]["content"] == [
        {"type": "text", "text": "x", "prompt_cache_breakpoint": mark}
    ]


def test_a_coding_agents_request_is_said_whole() -> None:
    """The fields that Codex sends: https://github.com/openai/codex (codex-rs, `ResponsesApiRequest`)."""
    shell = {
        "type": "function",
        "name": "shell_command",
        "description": "Runs a command.",
        "strict": False,
        "parameters": {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]},
    }
    patch = {
        "type": "custom",
        "name": "apply_patch",
        "description": "Edits files.",
        "format": {"type": "grammar", "syntax": "lark", "definition": "start: begin_patch"},
    }
    thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}], "encrypted_content": None}
    call = {"type": "custom_tool_call", "status": "completed", "call_id": "c1", "name": "apply_patch", "input": "*** B"}
    read = _read(
        instructions="You are Codex.",
        input=[
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "<permissions>"}]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "<environment_context>"}]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "fix the tests"}]},
            thought,
            call,
            {"type": "custom_tool_call_output", "call_id": "c1", "output": "done"},
        ],
        tools=[shell, patch],
        tool_choice="auto",
        parallel_tool_calls=False,
        reasoning={"effort": "medium", "summary": "auto"},
        store=False,
        stream=True,
        include=["reasoning.encrypted_content"],
        prompt_cache_key="0198",
        text={"verbosity": "medium"},
        client_metadata={"x-codex-installation-id": "1"},
    )
    messages = read.pop("messages")
    assert [message["role"] for message in messages] == ["system", "user", "user", "assistant", "tool"]
    assert messages[0]["content"] == "You are Codex.\n\n<permissions>"
    assert messages[3]["reasoning_content"] == "Hm."
    assert json.loads(messages[3]["tool_calls"][0]["function"]["arguments"]) == {"input": "*** B"}
    assert [tool["function"]["name"] for tool in read.pop("tools")] == ["shell_command", "apply_patch"]
    assert read == {
        "model": "m",
        "stream": True,
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "reasoning_effort": "medium",
        "prompt_cache_key": "0198",
        "verbosity": "medium",
    }
