"""What "Copy as" gives: the same thing as a person would ask for it on a command line or in a program."""

import json
import shlex
from collections.abc import Mapping
from urllib.parse import urlencode

from rondel.telemetry.models import Span
from rondel.telemetry.pages import TraceQuery

_API_NAMES = {"range": "last"}


def _parameters(query: TraceQuery) -> list[tuple[str, str]]:
    return [(_API_NAMES.get(name, name), value) for name, value in query.pairs()]


def query_as_curl(query: TraceQuery) -> str:
    """The list of traces from the public API."""
    found = urlencode(_parameters(query))
    address = f"$RONDEL_URL/api/v1/traces{'?' + found if found else ''}"
    return f'curl -H "Authorization: Bearer $RONDEL_API_KEY" "{address}"'


def query_as_python(query: TraceQuery) -> str:
    """The list of traces through the SDK."""
    given = "".join(f", {name}={value!r}" for name, value in _parameters(query))
    return f'from rondel.client import Client\n\ntraces = Client().get("/api/v1/traces"{given})'


def query_as_cli(query: TraceQuery) -> str:
    """The list of traces on the command line."""
    given = " ".join(f"--{name} {shlex.quote(value)}" for name, value in _parameters(query))
    return f"rondel trace list {given}".strip()


def trace_copies(trace_id: str) -> tuple[tuple[str, str], ...]:
    """One trace in each form, with the words of the menu."""
    path = f"/api/v1/traces/{trace_id}"
    return (
        ("Link", "link"),
        ("Trace id", trace_id),
        ("curl", f'curl -H "Authorization: Bearer $RONDEL_API_KEY" "$RONDEL_URL{path}"'),
        ("Python", f'from rondel.client import Client\n\ntrace = Client().get("{path}")'),
        ("CLI", f"rondel trace get {trace_id}"),
    )


def _messages(span: Span) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.text} for message in span.messages_in]


def replay_as_curl(route: str, span: Span) -> str:
    """The same request to the same route, through the gateway."""
    return chat_as_curl({"model": route, "messages": _messages(span)})


def replay_as_python(route: str, span: Span) -> str:
    """The same request with the OpenAI client."""
    return (
        "from openai import OpenAI\n\n"
        'client = OpenAI(base_url=f"{RONDEL_URL}/v1", api_key=RONDEL_API_KEY)\n'
        f"client.chat.completions.create(model={route!r}, messages={_messages(span)!r})"
    )


def chat_as_curl(body: Mapping[str, object]) -> str:
    """A chat through the gateway."""
    told = json.dumps(body, ensure_ascii=False)
    return (
        'curl "$RONDEL_URL/v1/chat/completions" -H "Authorization: Bearer $RONDEL_API_KEY" '
        f"-H 'Content-Type: application/json' -d {shlex.quote(told)}"
    )


_CLIENTS = frozenset(
    [
        "frequency_penalty",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "metadata",
        "model",
        "n",
        "parallel_tool_calls",
        "presence_penalty",
        "reasoning_effort",
        "response_format",
        "seed",
        "service_tier",
        "stop",
        "temperature",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
    ]
)


def chat_as_python(body: Mapping[str, object]) -> str:
    """A chat with the OpenAI client, as a program that runs; what that client does not know goes as it is."""
    own = [f"    {name}={value!r}," for name, value in body.items() if name in _CLIENTS]
    others = {name: value for name, value in body.items() if name not in _CLIENTS}
    given = "\n".join([*own, *([f"    extra_body={others!r},"] if others else [])])
    return (
        "import os\n\nfrom openai import OpenAI\n\n"
        'client = OpenAI(base_url=os.environ["RONDEL_URL"] + "/v1", api_key=os.environ["RONDEL_API_KEY"])\n'
        f"answer = client.chat.completions.create(\n{given}\n)\n"
        "print(answer.choices[0].message.content)"
    )
