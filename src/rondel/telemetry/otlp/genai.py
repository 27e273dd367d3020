"""OpenTelemetry's GenAI conventions in their three generations: up to 1.36, 1.37 to 1.41, and the repository of their
own.

Source: open-telemetry/semantic-conventions at v1.36.0 and v1.41.0 (`docs/gen-ai`), and semantic-conventions-genai
(`docs/gen-ai/non-normative/migration.md`, `model/gen-ai/registry.yaml`). Token counts are inclusive.
"""

from collections.abc import Mapping

from rondel.chat import ToolCall
from rondel.telemetry.messages import (
    answered_text,
    as_list,
    as_object,
    as_text,
    asked_text,
    content_text,
    openai_message,
    parsed,
)
from rondel.telemetry.models import Document, PromptUse, SpanKind, SpanMessage, Tokens, Tool
from rondel.telemetry.otlp.decode import RawSpan
from rondel.telemetry.otlp.dialect import (
    Attributes,
    Reading,
    count,
    disjoint,
    first_count,
    first_number,
    first_text,
    usd,
)

NAME = "gen_ai"

_KINDS: Mapping[str, SpanKind] = {
    "chat": SpanKind.LLM,
    "text_completion": SpanKind.LLM,
    "generate_content": SpanKind.LLM,
    "embeddings": SpanKind.EMBEDDING,
    "create_agent": SpanKind.AGENT,
    "invoke_agent": SpanKind.AGENT,
    "execute_tool": SpanKind.TOOL,
    "invoke_workflow": SpanKind.CHAIN,
    "plan": SpanKind.CHAIN,
    "retrieval": SpanKind.RETRIEVER,
}
_DETAILS = "gen_ai.client.inference.operation.details"
_OLD_ROLES = {"system": "system", "user": "user", "assistant": "assistant", "tool": "tool"}
_PARAMETER = "gen_ai.request."
_NOT_PARAMETERS = frozenset({"model", "stream"})


def read(span: RawSpan) -> Reading | None:
    """What the GenAI conventions say in a span and its events; None when they say nothing."""
    found = dict(span.attributes)
    for event in span.events:
        if event.name == _DETAILS:
            found = {**event.attributes, **found}
    if not any(name.startswith("gen_ai.") for name in found):
        return None
    operation = first_text(found, "gen_ai.operation.name")
    asked, answered = _asked(span, found), _answered(span, found)
    kind = _KINDS.get(operation)
    if kind is None and not operation and first_text(found, "gen_ai.request.model", "gen_ai.response.model"):
        kind = SpanKind.LLM
    first_chunk_s = first_number(found, "gen_ai.response.time_to_first_chunk")
    return Reading(
        kind=kind,
        operation=operation,
        model_requested=first_text(found, "gen_ai.request.model"),
        model=first_text(found, "gen_ai.response.model", "gen_ai.request.model"),
        provider=first_text(found, "gen_ai.provider.name", "gen_ai.system"),
        parameters=_parameters(found),
        messages_in=asked,
        messages_out=answered,
        tools_offered=_tools(found),
        tool=_tool(found) if kind is SpanKind.TOOL else None,
        documents=_documents(found),
        tokens=_tokens(found),
        cost_usd=usd(found, "gen_ai.usage.cost"),
        ttft_ms=None if first_chunk_s is None else first_chunk_s * 1000,
        finish_reason=_finish(found, answered),
        response_id=first_text(found, "gen_ai.response.id"),
        session=first_text(found, "gen_ai.conversation.id"),
        prompt=_prompt(found),
        input_text=asked_text(asked) or first_text(found, "gen_ai.retrieval.query.text"),
        output_text=answered_text(answered),
    )


def _tokens(found: Attributes) -> Tokens | None:
    usage = "gen_ai.usage."
    return disjoint(
        input=first_count(found, usage + "input_tokens", usage + "prompt_tokens"),
        output=first_count(found, usage + "output_tokens", usage + "completion_tokens"),
        total=first_count(found, usage + "total_tokens"),
        cache_read=count(found, usage + "cache_read.input_tokens", usage + "cache_read_input_tokens"),
        cache_write=count(
            found,
            usage + "cache_write.input_tokens",
            usage + "cache_creation.input_tokens",
            usage + "cache_creation_input_tokens",
        ),
        reasoning=count(found, usage + "reasoning.output_tokens", usage + "reasoning_tokens"),
        audio_in=count(found, usage + "audio.input_tokens"),
        audio_out=count(found, usage + "audio.output_tokens"),
        image_in=count(found, usage + "image.input_tokens"),
    )


def _asked(span: RawSpan, found: Attributes) -> tuple[SpanMessage, ...]:
    listed = as_list(parsed(found.get("gen_ai.input.messages")))
    if listed:
        system = _parts_text(parsed(found.get("gen_ai.system_instructions")))
        first = (SpanMessage("system", system),) if system else ()
        return first + tuple(message for item in listed for message in _messages(as_object(item)))
    messages: list[SpanMessage] = []
    for event in span.events:
        name = event.name.removeprefix("gen_ai.").removesuffix(".message")
        if event.name == f"gen_ai.{name}.message" and name in _OLD_ROLES:
            messages.append(_old_message(event.attributes, _OLD_ROLES[name]))
        elif event.name == "gen_ai.content.prompt":
            messages += _old_list(event.attributes.get("gen_ai.prompt"), "user")
    return tuple(messages) or tuple(_old_list(found.get("gen_ai.prompt"), "user"))


def _answered(span: RawSpan, found: Attributes) -> tuple[SpanMessage, ...]:
    listed = as_list(parsed(found.get("gen_ai.output.messages")))
    if listed:
        return tuple(message for item in listed for message in _messages(as_object(item)))
    messages: list[SpanMessage] = []
    for event in span.events:
        if event.name == "gen_ai.choice":
            inner = as_object(parsed(event.attributes.get("message")))
            finish = first_text(event.attributes, "finish_reason")
            messages.append(_old_message(inner or event.attributes, "assistant", finish))
        elif event.name == "gen_ai.content.completion":
            messages += _old_list(event.attributes.get("gen_ai.completion"), "assistant")
    return tuple(messages) or tuple(_old_list(found.get("gen_ai.completion"), "assistant"))


def _messages(message: Mapping[str, object]) -> list[SpanMessage]:
    """A message of parts (1.37 on). Results of tools become messages of their own, as in a chat."""
    parts = [as_object(part) for part in as_list(message.get("parts"))]
    calls = [part for part in parts if part.get("type") == "tool_call"]
    results = [part for part in parts if part.get("type") == "tool_call_response"]
    role = as_text(message.get("role")) or "user"
    rest = [part for part in parts if part.get("type") not in {"tool_call", "tool_call_response", "reasoning"}]
    text = content_text(rest) if rest else content_text(message.get("content"))
    found = [
        SpanMessage("tool", as_text(part.get("response", part.get("result"))), tool_call_id=as_text(part.get("id")))
        for part in results
    ]
    if text or calls or not results:
        own = SpanMessage(
            role=role,
            text=text,
            name=as_text(message.get("name")),
            reasoning=content_text([part for part in parts if part.get("type") == "reasoning"]),
            tool_calls=tuple(
                ToolCall(as_text(part.get("id")), as_text(part.get("name")), as_text(part.get("arguments")))
                for part in calls
            ),
            finish_reason=as_text(message.get("finish_reason")),
        )
        found.insert(0, own)
    return found


def _parts_text(parts: object) -> str:
    return parts if isinstance(parts, str) else content_text(parts)


def _old_message(body: Mapping[str, object], role: str, finish: str = "") -> SpanMessage:
    """A message of an event (up to 1.36): its attributes are OpenAI's fields, structured ones as JSON text."""
    fields = {
        name.removeprefix("gen_ai."): parsed(value) if name != "content" else value for name, value in body.items()
    }
    if "id" in fields and role == "tool":
        fields.setdefault("tool_call_id", fields["id"])
    return openai_message({**fields, "role": as_text(fields.get("role")) or role}, finish)


def _old_list(value: object, role: str) -> list[SpanMessage]:
    """The prompt or completion attribute (up to 1.27): JSON text of messages, or plain text."""
    content = parsed(value)
    if isinstance(content, str) and content:
        return [SpanMessage(role, content)]
    return [openai_message({"role": role, **as_object(message)}) for message in as_list(content)]


def _parameters(found: Attributes) -> dict[str, object]:
    named = {name[len(_PARAMETER) :]: value for name, value in found.items() if name.startswith(_PARAMETER)}
    return {name: value for name, value in named.items() if name not in _NOT_PARAMETERS}


def _tools(found: Attributes) -> tuple[str, ...]:
    listed = (as_object(tool) for tool in as_list(parsed(found.get("gen_ai.tool.definitions"))))
    return tuple(as_text(tool.get("name") or as_object(tool.get("function")).get("name")) for tool in listed)


def _tool(found: Attributes) -> Tool:
    return Tool(
        name=first_text(found, "gen_ai.tool.name"),
        call_id=first_text(found, "gen_ai.tool.call.id"),
        arguments=as_text(found.get("gen_ai.tool.call.arguments")),
        result=as_text(found.get("gen_ai.tool.call.result")),
    )


def _documents(found: Attributes) -> tuple[Document, ...]:
    listed = (as_object(one) for one in as_list(parsed(found.get("gen_ai.retrieval.documents"))))
    return tuple(
        Document(first_text(one, "id"), first_text(one, "content", "text"), first_number(one, "score"))
        for one in listed
    )


def _finish(found: Attributes, answered: tuple[SpanMessage, ...]) -> str:
    reasons = as_list(parsed(found.get("gen_ai.response.finish_reasons")))
    if reasons:
        return as_text(reasons[0])
    return next((message.finish_reason for message in answered if message.finish_reason), "")


def _prompt(found: Attributes) -> PromptUse | None:
    name = first_text(found, "gen_ai.prompt.name")
    return PromptUse(name, first_text(found, "gen_ai.prompt.version")) if name else None
