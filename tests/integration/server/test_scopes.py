"""A key of another project finds nothing and changes nothing, whatever route of the API it tries."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import httpx

from rondel.audit.service import Audit, verify_file
from rondel.audit.signing import Signer
from rondel.audit.store import AuditStore
from rondel.clock import SystemClock
from rondel.identity.models import Role, system
from rondel.identity.service import Identity
from rondel.identity.store import IdentityStore
from rondel.ids import Ids
from rondel.storage.models import Scope
from rondel.storage.service import open_rows
from tests.integration.server.stack import ROUTE, RealStack

MARK = "zanzibar"
"""Stands in every name and text of the first project, and nowhere else."""
ULID = re.compile(r"\b[a-z]{3}_[0-9A-HJKMNP-TV-Z]{26}\b")
OF_THE_INSTALLATION = {"/api/v1/workers", "/api/v1/audit/verify", "/api/v1/openapi.json"}
"""Tell of the one installation: its workers, and the signed end of its one chain."""


class Operation(NamedTuple):
    """One route of the API."""

    method: str
    path: str
    queries: tuple[str, ...]


def _operations(stack: RealStack) -> Iterator[Operation]:
    told: Mapping[str, Any] = httpx.get(f"{stack.url}/api/openapi.json").json()
    for path, methods in told["paths"].items():
        for method, operation in methods.items():
            queries = (p["name"] for p in operation.get("parameters", ()) if p["in"] == "query" and p.get("required"))
            yield Operation(method.upper(), path, tuple(queries))


def _another_project(stack: RealStack) -> str:
    """The admin key of a second project."""
    clock = SystemClock()
    secret = stack.folder.secret()
    audit = Audit(store=AuditStore(), signer=Signer(secret))
    identity = Identity(store=IdentityStore(), audit=audit, ids=Ids(clock), clock=clock, secret=secret)
    database = open_rows(stack.settings, stack.folder, clock)
    with database.transaction() as tx:
        project = identity.create_project(tx, "elsewhere")
        scope = Scope(project.id, stack.settings.environment)
        issued = identity.issue_key(tx, scope, system(project.id), name="elsewhere", role=Role.ADMIN)
    database.close()
    return issued.secret


def _furnish(stack: RealStack) -> None:
    """Something of every kind in the first project."""
    api = stack.api
    trace_id = stack.chat(f"{MARK}?").headers["x-rondel-trace-id"]
    stack.until(lambda: stack.http.get(f"/api/v1/traces/{trace_id}").status_code == 200)
    message = {"role": "user", "content": f"{MARK} {{{{ input }}}}"}
    api.post("/api/v1/prompts", {"name": MARK, "messages": [message]})
    api.put("/api/v1/prompt-labels", {"ref": f"{MARK}@1", "label": "production"})
    api.post("/api/v1/datasets", {"name": MARK, "rows": [{"input": MARK, "expected": MARK}]})
    evaluation = {"dataset": MARK, "target": {"model": ROUTE}, "evaluators": [{"name": "exact_match"}], "name": MARK}
    api.post("/api/v1/evaluations", evaluation)
    run = api.post("/api/v1/runs", {"kind": "training", "name": MARK})
    api.put(f"/api/v1/runs/{run['id']}/artifacts/{MARK}", b"bytes")
    api.post("/api/v1/review/queues", {"name": MARK, "question": MARK, "choices": ["yes", "no"]})
    api.post(f"/api/v1/review/queues/{MARK}/items", {"trace_ids": [trace_id]})
    api.put(f"/api/v1/connections/{MARK}", {"provider": "openai_compatible", "base_url": f"http://127.0.0.1:9/{MARK}"})
    api.put(f"/api/v1/routes/{MARK}", {"target": {"connection": MARK, "model": MARK}})
    api.post("/api/v1/keys", {"name": MARK, "role": "caller"})
    api.post("/api/v1/teams", {"name": MARK})
    api.put("/api/v1/budgets", {"owner": f"team:{MARK}", "amount_nano": 1})
    api.put(f"/api/v1/limits/user:{MARK}", {"concurrent": 1000})
    api.post("/api/v1/people", {"name": MARK, "role": "viewer"})
    api.put(f"/api/v1/alerts/channels/{MARK}", {"plugin": "log"})
    api.post("/api/v1/monitors", {"name": MARK, "route": ROUTE, "kind": "error_rate", "limit": 0.5})


def _known(stack: RealStack, client: httpx.Client) -> dict[str, Any]:
    """What a key gets to see on every route that needs no parameter."""
    plain = sorted(one.path for one in _operations(stack) if one.method == "GET" and "{" not in one.path)
    return {path: client.get(path).text for path in plain if path not in OF_THE_INSTALLATION}


def test_a_key_of_another_project_finds_and_changes_nothing(running: RealStack) -> None:
    _furnish(running)
    stranger = httpx.Client(
        base_url=running.url, headers={"authorization": f"Bearer {_another_project(running)}"}, timeout=60
    )
    audit_path = "/api/v1/audit/export"
    owners = _known(running, running.http)
    ids = set(ULID.findall(json.dumps(owners))) | set(re.findall(r"\b[0-9a-f]{32}\b", owners["/api/v1/traces"]))
    lists = {path for path, text in owners.items() if MARK in text}
    assert len(lists) > 10, lists
    assert len(ids) > 15, ids

    strangers = _known(running, stranger)
    for path, text in strangers.items():
        assert MARK not in text, f"{path} tells another project's names: {text[:500]}"
        assert ids & set(ULID.findall(text)) == set(), f"{path} tells another project's ids: {text[:500]}"
    assert verify_file(strangers[audit_path].encode().splitlines()).is_intact

    for operation in _operations(running):
        if "{" not in operation.path or operation.path in OF_THE_INSTALLATION:
            continue
        for value in (MARK, *sorted(ids)):
            path = re.sub(r"\{[^}]*\}", value, operation.path)
            if operation.method == "GET":
                answer = stranger.get(path, params=dict.fromkeys(operation.queries, value))
                assert answer.status_code != 500, (path, answer.text)
                told = answer.text.replace(value, "")
                assert MARK not in told, (path, answer.text[:500])
                assert ids & set(ULID.findall(told)) == set(), (path, answer.text[:500])
            elif operation.method in {"DELETE", "POST"}:
                answer = stranger.request(operation.method, path, json={} if operation.method == "POST" else None)
                assert 400 <= answer.status_code < 500, (operation.method, path, answer.text[:500])
    chat: dict[str, object] = {"model": ROUTE, "messages": []}
    assert stranger.post("/v1/chat/completions", json=chat).status_code == 404

    changing = {"/api/v1/audit", audit_path, "/api/v1/status", "/api/v1/gateway"}
    again = _known(running, running.http)
    moving = {
        path for path in owners if re.search(r"traces|evaluation|job|run|monitors|incidents|alerts", path)
    } | changing
    assert {p: again[p] for p in again if p not in moving} == {p: owners[p] for p in owners if p not in moving}
    # A monitor is looked at now and then, also while this test runs: it is the same one, and says what it then saw.
    kept = [[(one["id"], one["limit"]) for one in json.loads(said["/api/v1/monitors"])] for said in (owners, again)]
    assert kept[0] == kept[1]
