"""Playground: columns of prompt and model, asked side by side through the gateway, in the name of who is signed in."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import httpx
from fastapi import APIRouter, Depends, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from rondel.chat import Message, in_the_form_of
from rondel.errors import Forbidden, NotFound
from rondel.identity.models import Caller, Role
from rondel.identity.rules import may
from rondel.money import usd
from rondel.prompts.rules import render, variables_of
from rondel.releases.models import Stage
from rondel.storage.models import Scope
from rondel.storage.ports import Tx
from rondel.telemetry.models import SpanKind
from rondel.web.asking import Question, Telling, event
from rondel.web.console import Console
from rondel.web.copies import chat_as_curl, chat_as_python

MOST = 8
"""Columns that one page shows."""
PRICED_S = 6.0
"""So long is waited for the stored trace, which knows the cost."""
LOOKS_S = 0.3
LONGEST = 200_000
MODELS = 200


class AskedIn(BaseModel):
    """One column: a prompt (`name@3`, or `text`, or none), a model, and what all columns share."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(min_length=1, max_length=300)
    prompt: str = Field(default="", max_length=300)
    text: str = Field(default="", max_length=LONGEST)
    input: str = Field(default="", max_length=LONGEST)
    variables: dict[str, JsonValue] = Field(default_factory=dict[str, JsonValue])
    parameters: dict[str, JsonValue] = Field(default_factory=dict[str, JsonValue])


class Column(NamedTuple):
    """What a column begins with."""

    number: int
    prompt: str
    text: str
    model: str


class Choice(NamedTuple):
    """Something that can be typed, and what it is."""

    value: str
    note: str


@dataclass(frozen=True, slots=True)
class PlaygroundPage:
    """The page as its address says it."""

    columns: tuple[Column, ...]
    blank: Column
    input: str
    variables: str
    parameters: str
    prompts: tuple[Choice, ...]
    models: tuple[Choice, ...]
    datasets: tuple[str, ...]
    may_ask: bool
    most: int = MOST


def add(router: APIRouter, console: Console) -> None:
    """`/playground`, and `/playground/ask`, which streams one column."""
    services, signed_in = console.services, Depends(console.caller)

    @router.get("/playground")
    def playground(
        request: Request,
        caller: Annotated[Caller, signed_in],
        prompt: Annotated[list[str] | None, Query()] = None,
        text: Annotated[list[str] | None, Query()] = None,
        model: Annotated[list[str] | None, Query()] = None,
        asked: Annotated[str, Query(alias="input")] = "",
        variables: str = "",
        parameters: str = "",
    ) -> Response:
        with services.rows.reading() as tx:
            prompts, models = _prompts(console, tx, caller.scope), _models(console, tx, caller.scope)
            datasets = tuple(dataset.name for dataset in services.datasets.list(tx, caller.scope))
        view = PlaygroundPage(
            columns=_columns(prompt or [], text or [], model or [], models),
            blank=Column(0, "", "", models[0].value if models else ""),
            input=asked,
            variables=variables,
            parameters=parameters,
            prompts=prompts,
            models=models,
            datasets=datasets,
            may_ask=may(caller.actor.role, Role.CALLER),
        )
        return console.show(request, caller, "playground/playground.html", view, current="Playground")

    @router.post("/playground/ask")
    def ask(request: Request, body: AskedIn, caller: Annotated[Caller, signed_in]) -> Response:
        if not may(caller.actor.role, Role.CALLER):
            raise Forbidden(f"{caller.actor.name!r} is {caller.actor.role.value} and may look, but not call models.")
        secret = services.identity.console_secret(caller.key.id)
        wanted = {**_body(console, caller.scope, body), "stream": True, "stream_options": {"include_usage": True}}
        question = Question(secret, caller.actor.name, json.dumps(wanted).encode())
        return StreamingResponse(
            answer(request, console, caller.scope, question),
            media_type="text/event-stream",
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        )

    @router.post("/playground/copies")
    def copies(body: AskedIn, caller: Annotated[Caller, signed_in]) -> dict[str, str]:
        asked = _body(console, caller.scope, body)
        return {"curl": chat_as_curl(asked), "python": chat_as_python(asked)}


def _columns(
    prompts: Sequence[str], texts: Sequence[str], models: Sequence[str], known: Sequence[Choice]
) -> tuple[Column, ...]:
    """As the address lists them, the same number of each; at least one."""
    count = min(max(len(prompts), len(texts), len(models), 1), MOST)
    first = known[0].value if known else ""

    def at(values: Sequence[str], place: int, default: str = "") -> str:
        return values[place] if place < len(values) else default

    return tuple(
        Column(place + 1, at(prompts, place), at(texts, place), at(models, place, first)) for place in range(count)
    )


def _prompts(console: Console, tx: Tx, scope: Scope) -> tuple[Choice, ...]:
    found: list[Choice] = []
    for prompt in console.services.prompts.list(tx, scope):
        found.append(Choice(f"{prompt.name}@{prompt.newest}", "newest"))
        found += [Choice(f"{prompt.name}@{label}", f"@{number}") for label, number in prompt.labels.items()]
    return tuple(found[:MODELS])


def _models(console: Console, tx: Tx, scope: Scope) -> tuple[Choice, ...]:
    """What can be asked, plain models before routes, since these may put a release's own prompt before it."""
    services = console.services
    found: dict[str, str] = {}
    views = services.gateways.routes(tx, scope)
    for view in views:
        for target in (view.settings.target, *view.settings.spares):
            if target is not None:
                found[f"{target.connection}/{target.model}"] = "model"
    for deployment in services.deployments.list(tx, scope):
        found |= {f"local/{served.name}": "served here" for served in deployment.served}
    found |= {view.name: "route" for view in views}
    gone = {Stage.RETIRED, Stage.ROLLED_BACK}
    for release in services.releases.list(tx, scope):
        if release.stage not in gone:
            found[release.id] = f"release {release.name}, {release.stage.value}"
    return tuple(Choice(value, note) for value, note in list(found.items())[:MODELS])


def _body(console: Console, scope: Scope, asked: AskedIn) -> dict[str, object]:
    """The request to the gateway, as no stream.

    Raises:
        Invalid: a template is wrong, or a variable is missing.
        NotFound: there is no such prompt.
    """
    parameters: dict[str, object] = {}
    if asked.prompt:
        with console.services.rows.reading() as tx:
            version = console.services.prompts.get(tx, scope, asked.prompt)
        messages = version.messages
        parameters = dict(version.parameters)
        if version.response_schema is not None:
            parameters["response_format"] = in_the_form_of(version.response_schema)
    else:
        messages = written(asked.text)
    values: Mapping[str, object] = {**asked.variables, "input": asked.input}
    rendered = [{"role": one.role, "content": one.content} for one in render(messages, values)]
    if "input" not in variables_of(messages) and (asked.input or not rendered):
        rendered.append({"role": "user", "content": asked.input})
    own = {"model": asked.model, "messages": rendered}
    return {**own, **parameters, **asked.parameters, **own}


def written(text: str) -> tuple[Message, ...]:
    """Free text as a prompt: a user message when it names `{{ input }}`, else what the system says before it."""
    if not text.strip():
        return ()
    message = Message("user", text)
    return (message,) if "input" in variables_of([message]) else (Message("system", text),)


async def answer(request: Request, console: Console, scope: Scope, question: Question) -> AsyncIterator[str]:
    """One column's events; the cost comes last, from the stored trace."""
    telling, trace_id = Telling(console.services.clock.monotonic), ""
    try:
        async with console.services.asking.ask(question) as reply:
            trace_id = reply.headers.get("x-rondel-trace-id", "")
            yield telling.begun(reply)
            if reply.status != 200:
                yield telling.refused(reply.status, await reply.whole())
            else:
                async for line in reply.lines():
                    for said in telling.line(line):
                        yield said
                    if telling.has_failed or telling.is_done:
                        break
                if not telling.has_failed:
                    yield telling.ended()
    except httpx.HTTPError as error:
        yield telling.failed(f"The gateway does not answer: {error or type(error).__name__}")
    if trace_id and not await request.is_disconnected():
        yield await _priced(console, scope, trace_id)


async def _priced(console: Console, scope: Scope, trace_id: str) -> str:
    """What the trace says when it is stored: cost, tokens, who answered."""
    for _ in range(round(PRICED_S / LOOKS_S)):
        found = await run_in_threadpool(_stored, console, scope, trace_id)
        if found is not None:
            return event("stored", **found)
        await asyncio.sleep(LOOKS_S)
    return event("stored")


def _stored(console: Console, scope: Scope, trace_id: str) -> dict[str, Any] | None:
    try:
        trace = console.services.traces.get(scope, trace_id)
    except NotFound:
        return None
    row = trace.row
    calls = [span.span_id for span in trace.spans if span.kind is SpanKind.LLM]
    return {
        "span": calls[-1] if calls else "",
        "cost": usd(row.cost_nano) if row.cost_nano is not None else None,
        "tokens": row.tokens,
        "model": row.model,
        "provider": row.provider,
    }
