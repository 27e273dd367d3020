"""The snapshot that a gateway worker lives on, and what a person configures about it.

A worker reads nothing else: keys, routes, releases, targets and prices stand in one `Snapshot`, which the server
compiles and the worker keeps on disk, so that it starts and goes on without the server or a database.
Secrets are not in it: a connection names where its secret is to be found (`env:NAME`, `vault:MOUNT/PATH#FIELD`), and
those of the encrypted store come sealed, for who has the key.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, NamedTuple

import msgspec

from rondel.events import Event
from rondel.gateway.mcp.models import McpServer
from rondel.gateway.purges.models import Purge
from rondel.gateway.routing import Affinity, Cascade, Hedge, Policy, RouteRule, Ruled
from rondel.gateway.secrets.models import Sealed
from rondel.identity.models import OwnerKind
from rondel.spend.budgets.models import Window
from rondel.spend.models import ModelPrice
from rondel.telemetry.records import ArmStage

Fields = dict[str, msgspec.Raw]
"""The top level of a JSON object; every value keeps its bytes."""


class Operation(StrEnum):
    """What a caller asks of a model; the value is the path under `/v1/`, but for Gemini's, which stands under
    `/v1beta/models/NAME:`."""

    CHAT = "chat/completions"
    COMPLETION = "completions"
    EMBEDDING = "embeddings"
    RESPONSES = "responses"
    MESSAGES = "messages"
    COUNT_TOKENS = "messages/count_tokens"
    GENERATE = "generateContent"


class Head(msgspec.Struct, frozen=True, gc=False):
    """What routing and reserving need of a request. `wants_usage` says that a stream's last chunk shall tell its usage.

    `is_array` says that a stream is wanted as one JSON array (application/json) and not as server-sent events, as
    Gemini streams unless `alt=sse` stands in the query. `choices` is how many answers are asked for, `service_tier` how
    the request wants to be served. `is_text` is known of chats: every message is a text alone.
    """

    model: str
    is_stream: bool
    max_tokens: int | None
    user: str
    metadata: Mapping[str, str]
    wants_usage: bool
    is_array: bool = False
    choices: int = 1
    service_tier: str = ""
    is_text: bool = False


class Capture(StrEnum):
    """Which requests keep their payloads in the record."""

    ALL = "all"
    SAMPLE = "sample"
    ERRORS = "errors"
    NONE = "none"


class OnFailure(StrEnum):
    """What happens to an answer that a guardrail finds wrong: it passes with a verdict, is asked again, or is
    refused."""

    PASS = "pass"  # noqa: S105  a word, not a password
    RETRY = "retry"
    ERROR = "error"


class Timeouts(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds until a request is given up: for the connection, the first byte, between bytes, and in all."""

    connect_s: Annotated[float, msgspec.Meta(gt=0)] = 5.0
    first_byte_s: Annotated[float, msgspec.Meta(gt=0)] = 120.0
    idle_s: Annotated[float, msgspec.Meta(gt=0)] = 60.0
    total_s: Annotated[float, msgspec.Meta(gt=0)] = 600.0


class CacheMode(StrEnum):
    """Which requests an answer is kept for: the very same ones, or also those of the same meaning."""

    EXACT = "exact"
    SEMANTIC = "semantic"


class CacheScope(StrEnum):
    """Whose requests may share an answer. `user` is one end user of one key; a key without a team shares with nobody
    under `team`.
    """

    USER = "user"
    KEY = "key"
    TEAM = "team"
    PROJECT = "project"


class CacheSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a route keeps answers.

    `floor` is the cosine similarity in (0, 1] from which two texts count as one; `check_share` the part of such hits
    for which the model is asked all the same, so that the two answers can be compared. Where answers take more than
    `max_bytes` on a machine the oldest give way.
    """

    mode: CacheMode = CacheMode.EXACT
    ttl_s: Annotated[float, msgspec.Meta(gt=0, le=2_592_000)] = 3600.0
    scope: CacheScope = CacheScope.KEY
    floor: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.97
    check_share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.05
    max_bytes: Annotated[int, msgspec.Meta(ge=65_536, le=1_073_741_824)] = 67_108_864


class GuardRule(msgspec.Struct, frozen=True, kw_only=True):
    """A guardrail plugin in force: on the caller's text, on the answer, or on both."""

    check: str
    options: dict[str, msgspec.Raw] = {}
    on_input: bool = False
    on_output: bool = True
    on_failure: OnFailure = OnFailure.PASS


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """A provider's address and how to speak to it. `secret` is `env:NAME`, `file:NAME` or empty.

    `base_url` ends before the operation, such as `https://api.openai.com/v1`. `options` are fields of the provider
    plugin.
    """

    id: str
    name: str
    provider: str
    base_url: str = ""
    secret: str = ""
    headers: dict[str, str] = {}
    options: dict[str, msgspec.Raw] = {}
    project_id: str = ""
    environment: str = ""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A model at a connection. `body` are fields put into every request, such as `{"lora": [{"id": 0, "scale":
    1.0}]}`."""

    connection_id: str
    model: str
    body: dict[str, msgspec.Raw] = {}
    price: ModelPrice | None = None
    weight: float = 1.0
    problem: str = ""
    """Why it cannot be called now; then `connection_id` leads nowhere."""


class PromptMessage(msgspec.Struct, frozen=True):
    """One message of a release's prompt; the content is a template."""

    role: str
    content: str


class ReleaseCall(msgspec.Struct, frozen=True, kw_only=True):
    """What one release does with a request: targets in order of preference, prompt, parameters and guardrails.

    `parameters` win over the caller's; `response_format` is one of them. Only keys of its project may name it.
    """

    id: str
    digest: str
    project_id: str = ""
    name: str = ""
    targets: tuple[Target, ...]
    messages: tuple[PromptMessage, ...] = ()
    prompt_name: str = ""
    prompt_version: str = ""
    parameters: dict[str, msgspec.Raw] = {}
    guardrails: tuple[GuardRule, ...] = ()

    @property
    def told(self) -> str:
        """The id as records and answers tell it: empty when no release stands behind it, but a model alone."""
        return self.id if self.digest else ""


class Arm(msgspec.Struct, frozen=True, kw_only=True):
    """A release on a route. `share` in [0, 1]: of the units for a canary, of the requests copied for a shadow.

    The live arm gets every unit that no canary takes; its own share is not read.
    """

    release_id: str
    stage: ArmStage = ArmStage.LIVE
    share: float = 1.0


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """A name that callers give as `model`, and the traffic policy over releases behind it."""

    name: str
    project_id: str
    environment: str
    arms: tuple[Arm, ...]
    salt: str = ""
    fallbacks: tuple[str, ...] = ()
    """Release ids tried, in order, when every target of the chosen release has failed."""
    attempts: int = 3
    timeouts: Timeouts = Timeouts()
    capture: Capture = Capture.ALL
    capture_share: float = 1.0
    capture_limit: int = 262_144
    """Bytes of one payload above which it is left out of the record."""
    guardrails: tuple[GuardRule, ...] = ()
    policy: Policy = Policy.ORDER
    affinity: Affinity = Affinity.NONE
    resting_share: float = 0.5
    """Of a release's targets with their fallbacks, how many may rest after failures and not be asked at all; one may
    always."""
    rules: tuple[Ruled, ...] = ()
    """The first that holds says who answers, before releases do."""
    hedge: Hedge | None = None
    cascade: Cascade | None = None
    cache: CacheSettings | None = None
    purged: str = ""
    """Another with every order to forget all of its kept answers."""
    shared_purged: str = ""
    """Another with every order to forget those of a key: what keys share does not know whose it is."""


class OnLimitsDown(StrEnum):
    """What happens to limits that machines share while nobody can be asked: each worker goes on with its even part of
    what was last known to be left, or refuses once its leases are used up.
    """

    LOCAL = "local"
    CLOSED = "closed"


class Allowance(msgspec.Struct, frozen=True):
    """A hard budget: nano-USD for every window of a kind."""

    window: Window
    amount_nano: int


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody may use; None is unlimited. `concurrent` are requests at the same time."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent: int | None = None
    budgets: tuple[Allowance, ...] = ()


class LimitedOwner(msgspec.Struct, frozen=True, kw_only=True):
    """A team, an end user (`*` is each one who has nothing of their own) or a project, and what they may use."""

    kind: OwnerKind
    project_id: str
    environment: str
    id: str = ""
    name: str = ""
    limits: Limits = Limits()


class SpentSoFar(msgspec.Struct, frozen=True, array_like=True):
    """What the server knows to be spent of a budget in the window that began on UTC day `began`; its account's name is
    the workers' own.
    """

    account: str
    began: int
    nano: int


class VirtualKey(msgspec.Struct, frozen=True, kw_only=True):
    """A caller's key: the keyed hash of its secret, where it belongs, and what it may do."""

    id: str
    hash: str
    project_id: str
    environment: str
    name: str = ""
    routes: tuple[str, ...] = ()
    """Names of the routes it may call; empty is all of its project."""
    models: tuple[str, ...] = ()
    """Patterns of the models it may name as `connection/model`; empty is all, unless there are `routes`."""
    team_id: str = ""
    team_routes: tuple[str, ...] = ()
    team_models: tuple[str, ...] = ()
    connections: tuple[str, ...] = ()
    """Patterns of the connections it may pass anything to; empty is all, unless there are `routes` or `models`."""
    mcp: tuple[str, ...] = ()
    """Patterns of the MCP servers, or of their tools as `server/tool`, it may call; empty as for `connections`."""
    team_connections: tuple[str, ...] = ()
    team_mcp: tuple[str, ...] = ()
    limits: Limits = Limits()
    expires_at_ns: int | None = None
    old_hash: str = ""
    """Of the secret before the last rotation, which is good until `old_until_ns`."""
    old_until_ns: int = 0
    calls_releases: bool = False
    """Whether it may name a release by its id, live or not, as evaluations do."""
    guardrails: tuple[GuardRule, ...] = ()
    """Its own and its team's: in force on everything that it calls, beside those of routes and releases."""
    console_hash: str = ""
    """Of the secret by which the console asks in this key's name."""
    purged: str = ""
    """Another with every order to forget the answers kept for it."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """All that a worker needs, at one moment. `version` grows with every change."""

    version: int
    hash_key: str
    """Hex; the key of the keyed hash over virtual keys."""
    keys: tuple[VirtualKey, ...] = ()
    routes: tuple[Route, ...] = ()
    releases: tuple[ReleaseCall, ...] = ()
    connections: tuple[Connection, ...] = ()
    workers: int = 1
    """How many workers share the limits on this machine."""
    owners: tuple[LimitedOwner, ...] = ()
    spent: tuple[SpentSoFar, ...] = ()
    """For workers whose own ledger does not know: they go by the higher figure."""
    sealed: tuple[Sealed, ...] = ()
    """The secrets of the encrypted store that connections go by."""
    mcp_servers: tuple[McpServer, ...] = ()
    purges: tuple[Purge, ...] = ()
    """What of the kept answers is to be gone."""


@dataclass(frozen=True, slots=True)
class SavedConnection:
    """A connection as it is kept; the secret is a reference and is bound to the host of `base_url`."""

    id: str
    name: str
    provider: str
    base_url: str
    secret: str
    headers: Mapping[str, str]
    options: Mapping[str, object]
    created_at: datetime


class PlainTarget(msgspec.Struct, frozen=True, kw_only=True):
    """A model at a connection, by names: what a route does until it has a live release."""

    connection: str
    model: str
    parameters: dict[str, object] = {}
    weight: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    """Its part of the requests under the policy `weights`; with 0 it only stands in, whatever the policy."""


class RouteGuard(msgspec.Struct, frozen=True, kw_only=True):
    """A guardrail of a route as a person sets it; meanings as in `GuardRule`."""

    check: str
    options: dict[str, object] = {}
    on_input: bool = False
    on_output: bool = True
    on_failure: OnFailure = OnFailure.PASS


class RouteSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a person sets on a route; meanings as in `Route`. `fallbacks` are names of releases.

    `spares` answer when `target` fails, before any fallback; under another policy than `order` they share its requests.
    """

    target: PlainTarget | None = None
    spares: tuple[PlainTarget, ...] = ()
    fallbacks: tuple[str, ...] = ()
    attempts: Annotated[int, msgspec.Meta(ge=1, le=10)] = 3
    timeouts: Timeouts = Timeouts()
    capture: Capture = Capture.ALL
    capture_share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0
    capture_limit: Annotated[int, msgspec.Meta(ge=0)] = 262_144
    guardrails: tuple[RouteGuard, ...] = ()
    policy: Policy = Policy.ORDER
    affinity: Affinity = Affinity.NONE
    resting_share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5
    rules: tuple[RouteRule, ...] = ()
    hedge: Hedge | None = None
    cascade: Cascade | None = None
    cache: CacheSettings | None = None


@dataclass(frozen=True, slots=True)
class SavedRoute:
    """A route's own settings; its arms come from the rollouts, or from its target while it has no live release."""

    name: str
    settings: RouteSettings
    created_at: datetime


class KeyPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What one key may do at the gateway; None is unlimited. Teams, users and projects have one too.

    With a list of routes or models it may call what stands in either, and nothing else: no connection as a whole and no
    MCP server, unless `connections` and `mcp` name them. The budget is the hard one of
    a calendar month (UTC); it is kept with the other budgets.
    """

    routes: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    connections: tuple[str, ...] = ()
    mcp: tuple[str, ...] = ()
    requests_per_minute: Annotated[int, msgspec.Meta(ge=1)] | None = None
    tokens_per_minute: Annotated[int, msgspec.Meta(ge=1)] | None = None
    concurrent: Annotated[int, msgspec.Meta(ge=1)] | None = None
    budget_nano: Annotated[int, msgspec.Meta(ge=0)] | None = None
    guardrails: tuple[RouteGuard, ...] = ()


class RouteView(NamedTuple):
    """A route as it stands now: its settings, and who answers on it."""

    name: str
    settings: RouteSettings
    arms: tuple[Arm, ...]
    is_saved: bool


class GatewayChanged(Event, frozen=True, kw_only=True):
    """A route, a connection or a key's policy was changed: gateways need a new snapshot."""

    subject: str
    name: str
