"""A gateway with routes, keys, budgets, teams and workers that tell of themselves, and a fake one to ask."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Annotated, Any

from fastapi import Body, FastAPI, Header
from fastapi.responses import JSONResponse, Response, StreamingResponse

from rondel.gateway.exposition import Figures, Number
from rondel.gateway.models import CacheMode, CacheSettings, KeyPolicy, PlainTarget, RouteGuard, RouteSettings
from rondel.gateway.routing import Cascade, Judge, RouteRule, When
from rondel.gateway.service import Gateways
from rondel.identity.models import Actor, Role
from rondel.identity.service import Identity
from rondel.money import NANO
from rondel.spend.budgets.models import Charge, Window
from rondel.spend.budgets.rules import day_of
from rondel.spend.budgets.service import Budgets
from rondel.storage.models import Scope
from rondel.storage.ports import Tx


def furnish_gateway(
    tx: Tx, scope: Scope, ada: Actor, gateways: Gateways, identity: Identity, budgets: Budgets, text: str
) -> None:
    """Connections, routes with spares and fallbacks, keys, a team, limits, and budgets that are partly spent."""
    gateways.connect(tx, scope, ada, "main", provider="openai", secret="env:MY_API_KEY")
    gateways.connect(tx, scope, ada, "claude", provider="anthropic", secret="vault:llm/anthropic#key")
    gateways.connect(tx, scope, ada, "spare", provider="openai_compatible", base_url="http://127.0.0.1:8000/v1")
    target = PlainTarget(connection="main", model="gpt-5-mini")
    spares = (PlainTarget(connection="claude", model="claude-haiku-4.5", parameters={"temperature": 0.2}),)
    gateways.save_route(tx, scope, ada, "plain", RouteSettings(target=target, spares=spares))
    gateways.save_route(tx, scope, ada, "lost", RouteSettings(target=PlainTarget(connection="nowhere", model="x")))
    gateways.save_route(tx, scope, ada, "rich", _rich(target, text))
    identity.add_team(tx, scope, ada, "checkout")
    named = text[:150] or "checkout-service"
    key = identity.issue_key(tx, scope, ada, name=named, role=Role.CALLER, team="checkout").key
    other = identity.issue_key(
        tx, scope, ada, name="batch", role=Role.CALLER, expires_at=tx.now() + timedelta(days=30)
    ).key
    identity.rotate_key(tx, scope, ada, other.id, timedelta(days=1))
    gone = identity.issue_key(tx, scope, ada, name="old laptop", role=Role.CALLER).key
    identity.revoke_key(tx, scope, ada, gone.id)
    policy = KeyPolicy(routes=("plain",), models=("main/gpt-5*",), requests_per_minute=600, tokens_per_minute=200_000)
    gateways.limit(tx, scope, ada, f"key:{key.id}", policy)
    gateways.limit(tx, scope, ada, "user:*", KeyPolicy(requests_per_minute=20, concurrent=2))
    budgets.set(tx, scope, ada, "project", 50 * NANO)
    budgets.set(tx, scope, ada, "team:checkout", 5 * NANO, window=Window.WEEK)
    budgets.set(tx, scope, ada, "user:*", NANO // 2, window=Window.DAY, is_hard=False, alerts=(80, 100))
    budgets.set(tx, scope, ada, f"key:{other.id}", 20 * NANO, window=Window.TOTAL)
    day = day_of(tx.now().timestamp())
    place = (scope.project_id, scope.environment)
    users = [f"u_{index}" for index in range(12)]
    charges = [Charge(*place, key.id, user, day, NANO * index // 14) for index, user in enumerate(users)]
    budgets.charge(tx, [*charges, Charge(*place, other.id, text[:100] or "u_1", day, None)])


def _rich(target: PlainTarget, text: str) -> RouteSettings:
    """Everything that a route can have, with `text` wherever a person may write."""
    when = When(headers={"x-tier": text[:200] or "gold*"}, metadata={text[:200] or "plan": "free"}, hours="22:00-06:00")
    return RouteSettings(
        target=target,
        spares=(PlainTarget(connection="claude", model=text[:100] or "claude-haiku-4.5", parameters={"stop": text}),),
        rules=(RouteRule(when=when, use="plain"), RouteRule(when=When(tokens_over=8000), use="main/gpt-5")),
        cascade=Cascade(judge=Judge(route="plain", rubric=text), shorter_than=5),
        cache=CacheSettings(mode=CacheMode.SEMANTIC, ttl_s=90),
        guardrails=(RouteGuard(check="json_schema", options={"schema": {"title": text}}),),
    )


def workers(
    scope: Scope,
    at_ns: int,
    *,
    version: int = 1,
    cached: bool = True,
    unusable: tuple[tuple[str, str], ...] = (),
) -> list[Figures]:
    """What two workers leave: one of them does not ask a model after failures."""

    def numbers(rests: int) -> tuple[Number, ...]:
        place = (("project", scope.project_id), ("environment", scope.environment))
        return (
            Number("rondel_gateway_requests_open", 3),
            Number("rondel_gateway_snapshot_version", version),
            Number(
                "rondel_gateway_target_resting",
                0,
                (*place, ("connection", "main"), ("gen_ai_request_model", "gpt-5-mini")),
            ),
            Number(
                "rondel_gateway_target_resting",
                rests,
                (*place, ("connection", "claude"), ("gen_ai_request_model", "claude-haiku-4.5")),
            ),
            *(
                Number("rondel_gateway_cache_total", count, (*place, ("outcome", outcome)))
                for outcome, count in ((("hit", 41), ("miss", 120), ("joined", 4)) if cached else ())
            ),
        )

    return [
        Figures(f"gateway-{number}", at_ns, (), numbers(number), unusable=unusable if number else ())
        for number in range(2)
    ]


def fake_gateway(pause_s: float = 0.02) -> FastAPI:
    """Answers as a gateway does: every stream says who asked, word by word; `broken` breaks off, `slow` never ends."""
    app = FastAPI()
    asked: list[dict[str, Any]] = []
    app.state.asked, app.state.hung_up = asked, 0

    @app.post("/v1/chat/completions")
    async def chat(
        body: Annotated[dict[str, Any], Body()],
        authorization: Annotated[str, Header()] = "",
        x_rondel_user: Annotated[str, Header()] = "",
        x_rondel_tags: Annotated[str, Header()] = "",
    ) -> Response:
        asked.append({**body, "key": authorization, "as": x_rondel_user, "tags": x_rondel_tags})
        if body["model"] == "nobody":
            error = {"message": "No route is called 'nobody'. Did you mean 'plain'?", "type": "invalid_request_error"}
            return JSONResponse({"error": error}, 404)
        headers = {"x-rondel-trace-id": "c" * 32, "x-rondel-release": ""}
        return StreamingResponse(stream(body), media_type="text/event-stream", headers=headers)

    async def stream(body: dict[str, Any]) -> AsyncIterator[str]:
        words = f"{body['model']} answers: {body['messages'][-1]['content']} – in good time.".split(" ")
        try:
            for number, word in enumerate(words):
                yield _chunk(word if not number else f" {word}")
                await asyncio.sleep(pause_s)
                if body["model"] == "broken" and number == 2:
                    yield 'data: {"error": {"message": "The provider hung up.", "type": "server_error"}}\n\n'
                    return
                while body["model"] == "slow":
                    yield _chunk(" and")
                    await asyncio.sleep(0.05)
        except (asyncio.CancelledError, GeneratorExit):
            app.state.hung_up += 1
            raise
        yield 'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\n'
        yield 'data: {"choices": [], "usage": {"prompt_tokens": 21, "completion_tokens": 9}}\n\ndata: [DONE]\n\n'

    return app


def _chunk(text: str) -> str:
    return "data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": text}}]}) + "\n\n"
