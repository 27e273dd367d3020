"""Reads a request for an MCP server: who may call it, which tool, and in which session."""

from rondel.errors import Forbidden, Invalid, NotFound, RondelError, TooLarge, Unavailable, did_you_mean
from rondel.gateway.costing import Estimate
from rondel.gateway.dataplane.asking import Entry
from rondel.gateway.dataplane.passing.errands import Errand
from rondel.gateway.dataplane.passing.heads import find, onward
from rondel.gateway.dataplane.passing.lines import beside
from rondel.gateway.dataplane.plan import Plan
from rondel.gateway.dataplane.request import Request
from rondel.gateway.dataplane.wire import Answer, retry_after
from rondel.gateway.dataplane.worker import Worker
from rondel.gateway.mcp.answers import McpAnswers
from rondel.gateway.mcp.models import McpServer
from rondel.gateway.mcp.rules import (
    HEADER_MISMATCH,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    REFUSED,
    TOOLS_CALL,
    Permit,
    RpcMessage,
    bound_session,
    check_headers,
    is_foreign,
    own_session,
    permit,
    reaches_more,
    read,
    rpc_error,
)
from rondel.gateway.models import Route, Timeouts
from rondel.telemetry.records import Passed

EXECUTE_TOOL, OTHER = "execute_tool", "mcp"
_SESSION, _VERSION = b"mcp-session-id", b"mcp-protocol-version"
_TIMEOUTS = Timeouts(first_byte_s=300.0, idle_s=900.0)
_LISTENING = Timeouts(first_byte_s=300.0, idle_s=float("inf"))
_METHODS = frozenset({"GET", "POST", "DELETE"})


class ToolRefused(Forbidden):
    """A tool, or what is none, that the key may not use: told within the protocol."""


class McpReading:
    """Reads one request. Its errors are told as JSON-RPC tells them."""

    def __init__(self, worker: Worker, plan: Plan, entry: Entry, request: Request, path: str) -> None:
        self._worker, self._plan, self._entry, self._request = worker, plan, entry, request
        self._name = path.removeprefix("/mcp/").rstrip("/")
        self.method = request.method.decode("latin-1")
        self.passed = Passed(self.method, "/mcp/{server}")
        self._message = RpcMessage("", b"", "", b"")
        self._parts: list[bytes] = []
        self._size = 0

    def told(self, error: RondelError, retry_after_s: float | None) -> Answer:
        """A refusal within the protocol is a good answer of HTTP's; a caller without an id gets the status."""
        is_inside = isinstance(error, ToolRefused) and bool(self._message.id)
        text = f"{error.message} {error.hint}" if error.hint else error.message
        code = REFUSED
        if isinstance(error, ToolRefused):
            code = INVALID_PARAMS if self._message.method == TOOLS_CALL else METHOD_NOT_FOUND
        elif isinstance(error, Invalid):
            code = HEADER_MISMATCH if error.message.startswith("Header mismatch") else INVALID_REQUEST
        headers = b"" if retry_after_s is None else retry_after(retry_after_s)
        return Answer(200 if is_inside else error.status, rpc_error(self._message.id, code, text), headers=headers)

    def head(self) -> Errand | None:
        """Streams and ends of sessions have no message."""
        if self.method not in _METHODS:
            raise Invalid(f"An MCP server takes POST, GET and DELETE, not {self.method}.")
        if is_foreign(find(self._request.headers, b"origin").decode("latin-1")):
            raise Forbidden("Pages of other hosts may not call MCP servers.")
        if self.method == "POST":
            return None
        return self._errand(self._message, is_light=True)

    def feed(self, data: bytes) -> Errand | None:
        """Hold it."""
        self._parts.append(data)
        self._size += len(data)
        if self._size > self._worker.body_limit:
            raise TooLarge(f"A message is larger than {self._worker.body_limit:,} bytes.")
        return None

    def end(self) -> Errand:
        """The message is whole."""
        self._message = message = read(b"".join(self._parts))
        headers = self._request.headers
        check_headers(message, _word(find(headers, b"mcp-method")), _word(find(headers, b"mcp-name")))
        return self._errand(message, is_light=not message.id or not message.method)

    def _errand(self, message: RpcMessage, *, is_light: bool) -> Errand:
        plan, key = self._plan, self._entry.key
        server, allowed = self._server()
        self._tell(server, message)
        if message.method == TOOLS_CALL and not allowed.lets(message.name):
            raise ToolRefused(f"Tool {message.name!r} of MCP server {server.name!r} is not among those of this key.")
        if not allowed.is_whole and reaches_more(message.method):
            raise ToolRefused(f"This key may call tools of MCP server {server.name!r}, and not {message.method!r}.")
        endpoint = plan.endpoint(server.id)
        if endpoint is None:
            why = " ".join(one for one in plan.problems if f"'mcp/{server.name}'" in one)
            raise Unavailable(f"MCP server {server.name!r} cannot be called. {why}".rstrip())
        made = beside(endpoint, self._worker.now)
        pepper = plan.pepper
        headers = onward(self._request.headers, made.headers, drop=frozenset({_SESSION}))
        if told := _word(find(self._request.headers, _SESSION)):
            session = own_session(told, pepper, key.id, server.id)
            if session is None:
                raise NotFound("There is no such session of this key: begin another one.")
            headers.append((_SESSION, session.encode("latin-1")))
        is_call = message.method == TOOLS_CALL
        return Errand(
            endpoint=made,
            breaker=endpoint.breaker("(mcp)"),
            method=self.method,
            target=made.address.path or "/",
            headers=headers,
            held=(message.body,) if message.body else (),
            length=len(message.body) if self.method == "POST" else -1,
            route=Route(
                name="",
                project_id=key.project_id,
                environment=key.environment,
                arms=(),
                timeouts=_LISTENING if self.method == "GET" else _TIMEOUTS,
            ),
            guess=Estimate(0, 0),
            passed=self.passed,
            operation=EXECUTE_TOOL if is_call else OTHER,
            user=self._entry.user,
            session=self._entry.session,
            answers=McpAnswers(message.id, allowed, lambda one: bound_session(one, pepper, key.id, server.id)),
            is_json=True,
            is_light=is_light,
        )

    def _server(self) -> tuple[McpServer, Permit]:
        key = self._entry.key
        theirs = (key.project_id, key.environment)
        known = [one for one in self._plan.snapshot.mcp_servers if (one.project_id, one.environment) == theirs]
        mine = {one.name: (one, allowed) for one in known if (allowed := permit(key, one)) is not None}
        found = mine.get(self._name)
        if found is not None:
            return found
        if any(one.name == self._name for one in known):
            raise Forbidden(
                f"The key may not call MCP server {self._name!r}.",
                hint=f"'rondel gateway limit KEY --mcp {self._name}'.",
            )
        raise NotFound(f"There is no MCP server {self._name!r}. {did_you_mean(self._name, mine)}")

    def _tell(self, server: McpServer, message: RpcMessage) -> None:
        """What the record tells of it, in the names of OpenTelemetry's conventions for MCP.

        Source: https://github.com/open-telemetry/semantic-conventions-genai/blob/main/docs/gen-ai/mcp.md
        """
        method = message.method or f"{self.method} stream"
        names = [("mcp.method.name", message.method), ("mcp.server.name", server.name)]
        names += [("mcp.protocol.version", _word(find(self._request.headers, _VERSION)))]
        names += [("jsonrpc.request.id", message.id.decode("utf-8", "replace").strip('"'))]
        if message.method == TOOLS_CALL:
            names += [("gen_ai.operation.name", EXECUTE_TOOL), ("gen_ai.tool.name", message.name)]
        target = message.name if message.method in {TOOLS_CALL, "prompts/get"} else ""
        self.passed = Passed(
            self.method,
            f"/mcp/{server.name}",
            f"{method} {target}".rstrip(),
            {name: value[:256] for name, value in names if value},
        )


def _word(value: bytes) -> str:
    return value.decode("latin-1").strip()
