"""OpenInference attributes (Arize Phoenix and its instrumentations).

Source: openinference-semantic-conventions 0.1.42 and its `spec/semantic_conventions.md`. Token counts are inclusive.
"""

from collections.abc import Mapping

from rondel.chat import ToolCall
from rondel.telemetry.messages import answered_text, as_list, as_object, as_text, asked_text, parsed
from rondel.telemetry.models import Document, PromptUse, SpanKind, SpanMessage, Tool
from rondel.telemetry.otlp.decode import RawSpan
from rondel.telemetry.otlp.dialect import (
    Attributes,
    Branch,
    Reading,
    below,
    count,
    disjoint,
    first_count,
    first_number,
    first_text,
    items,
    unflatten,
    usd,
)

NAME = "openinference"

_KINDS: Mapping[str, SpanKind] = {
    "LLM": SpanKind.LLM,
    "CHAIN": SpanKind.CHAIN,
    "AGENT": SpanKind.AGENT,
    "TOOL": SpanKind.TOOL,
    "RETRIEVER": SpanKind.RETRIEVER,
    "EMBEDDING": SpanKind.EMBEDDING,
    "RERANKER": SpanKind.RERANKER,
    "GUARDRAIL": SpanKind.GUARDRAIL,
    "EVALUATOR": SpanKind.EVALUATOR,
    "PROMPT": SpanKind.CHAIN,
    "DECISION": SpanKind.CHAIN,
}
_SIGNS = ("openinference.", "llm.", "input.value", "output.value", "retrieval.documents", "reranker.", "embedding.")


def read(span: RawSpan) -> Reading | None:
    """What OpenInference says in a span; None when it says nothing."""
    found = span.attributes
    if not any(name.startswith(_SIGNS) for name in found):
        return None
    kind = _KINDS.get(first_text(found, "openinference.span.kind").upper())
    asked, answered = _messages(found, "llm.input_messages"), _messages(found, "llm.output_messages")
    parameters = as_object(parsed(found.get("llm.invocation_parameters")))
    requested = first_text(found, "llm.request.model_name") or as_text(parameters.get("model"))
    answering = ("llm.response.model_name", "llm.model_name", "embedding.model_name", "reranker.model_name")
    return Reading(
        kind=kind or (SpanKind.LLM if "llm.model_name" in found else None),
        operation="embeddings" if kind is SpanKind.EMBEDDING else "chat" if kind is SpanKind.LLM else "",
        model_requested=requested,
        model=first_text(found, *answering) or requested,  # a call that failed was answered by none
        provider=first_text(found, "llm.provider", "llm.system"),
        parameters={name: value for name, value in parameters.items() if name not in {"model", "messages"}},
        messages_in=asked,
        messages_out=answered,
        tools_offered=_tools(found),
        tool=_tool(found) if kind is SpanKind.TOOL else None,
        documents=_documents(found),
        tokens=disjoint(
            input=first_count(found, "llm.token_count.prompt"),
            output=first_count(found, "llm.token_count.completion"),
            total=first_count(found, "llm.token_count.total"),
            cache_read=count(
                found, "llm.token_count.prompt_details.cache_read", "llm.token_count.prompt_details.cache_input"
            ),
            cache_write=count(found, "llm.token_count.prompt_details.cache_write"),
            reasoning=count(found, "llm.token_count.completion_details.reasoning"),
            audio_in=count(found, "llm.token_count.prompt_details.audio"),
            audio_out=count(found, "llm.token_count.completion_details.audio"),
        ),
        cost_usd=usd(found, "llm.cost.total"),
        finish_reason=first_text(found, "llm.finish_reason") or (answered[0].finish_reason if answered else ""),
        response_id=_response_id(found),
        session=first_text(found, "session.id"),
        user=first_text(found, "user.id"),
        tags=tuple(as_text(tag) for tag in as_list(parsed(found.get("tag.tags")))),
        prompt=_prompt(found),
        input_text=asked_text(asked) or first_text(found, "input.value", "reranker.query") or _embedded(found),
        output_text=answered_text(answered) or first_text(found, "output.value"),
    )


def _messages(found: Attributes, prefix: str) -> tuple[SpanMessage, ...]:
    return tuple(_message(below(item, "message")) for item in items(unflatten(found, prefix)))


def _message(message: Branch) -> SpanMessage:
    contents = [below(item, "message_content") for item in items(below(message, "contents"))]
    texts = [_part(content) for content in contents if content.get("type") != "reasoning"]
    content = message.get("content")
    return SpanMessage(
        role=first_text(message, "role") or "user",
        text=content if isinstance(content, str) and content else "\n".join(text for text in texts if text),
        name=first_text(message, "name"),
        reasoning="\n".join(first_text(content, "text") for content in contents if content.get("type") == "reasoning"),
        tool_calls=tuple(_call(below(item, "tool_call")) for item in items(below(message, "tool_calls"))),
        tool_call_id=first_text(message, "tool_call_id"),
        finish_reason=first_text(message, "finish_reason"),
    )


def _part(content: Branch) -> str:
    text = content.get("text")
    if isinstance(text, str):
        return text
    return f"[{as_text(content.get('type')) or 'part'}]"


def _call(call: Branch) -> ToolCall:
    function = below(call, "function")
    return ToolCall(first_text(call, "id"), first_text(function, "name"), as_text(function.get("arguments")))


def _tools(found: Attributes) -> tuple[str, ...]:
    schemas = (
        as_object(parsed(below(item, "tool").get("json_schema"))) for item in items(unflatten(found, "llm.tools"))
    )
    return tuple(as_text(as_object(schema.get("function", schema)).get("name")) for schema in schemas)


def _tool(found: Attributes) -> Tool:
    return Tool(
        name=first_text(found, "tool.name"),
        call_id=first_text(found, "tool.id"),
        arguments=as_text(found.get("tool.parameters") or found.get("input.value")),
        result=as_text(found.get("output.value")),
    )


def _documents(found: Attributes) -> tuple[Document, ...]:
    for prefix in ("retrieval.documents", "reranker.output_documents"):
        listed = [below(item, "document") for item in items(unflatten(found, prefix))]
        if listed:
            return tuple(
                Document(first_text(one, "id"), first_text(one, "content"), first_number(one, "score"))
                for one in listed
            )
    return ()


def _embedded(found: Attributes) -> str:
    embeddings = items(unflatten(found, "embedding.embeddings"))
    return "\n".join(first_text(below(item, "embedding"), "text") for item in embeddings)


def _prompt(found: Attributes) -> PromptUse | None:
    name = first_text(found, "prompt.id", "prompt.name")
    version = first_text(found, "llm.prompt_template.version", "prompt.version")
    return PromptUse(name or "template", version) if name or version else None


def _response_id(found: Attributes) -> str:
    """The id of the answer, which instrumentations keep only inside the raw output."""
    raw = found.get("output.value")
    if not isinstance(raw, str) or not raw.startswith("{"):
        return ""
    return as_text(as_object(parsed(raw)).get("id"))
