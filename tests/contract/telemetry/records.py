"""Gateway records for tests, with bodies as the gateway keeps them."""

import json
from datetime import datetime

from rondel.clock import to_ns
from rondel.storage.models import Scope
from rondel.telemetry.records import Attempt, GatewayRecord, GuardVerdict, TokenCounts


def record(scope: Scope, number: int, at: datetime, **values: object) -> GatewayRecord:
    """Request `number`: a chat on route `support` that took 900 ms, answered by the second of two attempts."""
    begun = to_ns(at)
    ask = {"model": "support", "messages": [{"role": "user", "content": f"question {number}"}], "temperature": 0.2}
    answer = {
        "id": f"chatcmpl-{number}",
        "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": f"answer {number}"}}
        ],
    }
    fields: dict[str, object] = {
        "request_id": f"req_{number}",
        "trace_id": f"{number:032x}",
        "span_id": f"{number:016x}",
        "project_id": scope.project_id,
        "environment": scope.environment,
        "started_ns": begun,
        "ended_ns": begun + 900_000_000,
        "response_id": f"chatcmpl-{number}",
        "key_id": "key_1",
        "route": "support",
        "release_id": "rel_1",
        "unit": "session 1",
        "operation": "chat/completions",
        "provider": "openai",
        "model_requested": "support",
        "model_served": "gpt-test",
        "status": 200,
        "first_token_ns": begun + 300_000_000,
        "finish_reason": "stop",
        "attempts": (
            Attempt("con_1", "openai", "gpt-test", "rel_1", begun, begun + 100_000_000, None, 500, "upstream_error"),
            Attempt("con_2", "openai", "gpt-test", "rel_1", begun + 100_000_000, begun + 890_000_000, None, 200),
        ),
        "tokens": TokenCounts(100, 0, 0, 10, 0),
        "guardrails": (GuardVerdict("pii", "input", ok=False, action="redacted", found={"EMAIL": 1}),),
        "captured": True,
        "request_body": json.dumps(ask).encode(),
        "answer_body": json.dumps(answer).encode(),
    }
    return GatewayRecord(**{**fields, **values})  # pyright: ignore[reportArgumentType]  any field may be given
