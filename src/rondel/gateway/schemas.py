"""Wire shapes of the gateway."""

import re
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from pydantic import BaseModel, Field, SecretStr

from rondel.errors import Invalid
from rondel.gateway.configuring import Applied, Change
from rondel.gateway.health import Calls
from rondel.gateway.models import (
    Arm,
    CacheMode,
    CacheScope,
    CacheSettings,
    Capture,
    KeyPolicy,
    OnFailure,
    RouteSettings,
    RouteView,
    SavedConnection,
)
from rondel.gateway.routing import Affinity, Policy, Weekday
from rondel.gateway.secrets.models import Rotation, SecretView
from rondel.gateway.watching import RouteHealth
from rondel.identity.models import Owner
from rondel.plugins import PluginInfo

T = TypeVar("T")


class ConnectionIn(BaseModel):
    """Where a provider is, and how to speak to it."""

    provider: str = Field(description="The provider plugin, such as 'openai' or 'openai_compatible'.")
    base_url: str = Field(default="", description="Up to the operation, such as http://127.0.0.1:8000/v1.")
    secret: str | None = Field(
        default=None,
        description="A reference, such as env:NAME or vault:MOUNT/PATH#FIELD. Left out: the one that is there, while "
        "the host stays.",
    )
    secret_value: SecretStr | None = Field(
        default=None, description="The secret itself: kept encrypted, for this host alone, and never shown again."
    )
    headers: dict[str, str] = Field(default_factory=dict)
    options: dict[str, Any] = Field(default_factory=dict)


class ConnectionOut(BaseModel):
    """A connection; of its secret only the reference."""

    id: str
    name: str
    provider: str
    base_url: str
    secret: str
    headers: dict[str, str]
    options: dict[str, Any]
    created_at: datetime

    @classmethod
    def of(cls, connection: SavedConnection) -> "ConnectionOut":
        """From the model."""
        return cls(
            id=connection.id,
            name=connection.name,
            provider=connection.provider,
            base_url=connection.base_url,
            secret=connection.secret,
            headers=dict(connection.headers),
            options=dict(connection.options),
            created_at=connection.created_at,
        )


class SecretIn(BaseModel):
    """A secret for the encrypted store."""

    value: SecretStr = Field(description="The text; it is never shown again.")
    url: str = Field(description="Where it may be sent, such as https://api.openai.com: scheme, host and port count.")


class SecretOut(BaseModel):
    """A secret of the encrypted store, without its text."""

    name: str
    origin: str
    key_id: str
    saved_at: datetime
    used_by: list[str]

    @classmethod
    def of(cls, view: SecretView) -> "SecretOut":
        """From the model."""
        return cls(
            name=view.name,
            origin=view.origin,
            key_id=view.key_id,
            saved_at=view.saved_at,
            used_by=list(view.used_by),
        )


class RotationOut(BaseModel):
    """What came of sealing every secret anew."""

    key_id: str
    sealed: int
    unreadable: list[str]

    @classmethod
    def of(cls, rotation: Rotation) -> "RotationOut":
        """From the model."""
        return cls(key_id=rotation.key_id, sealed=rotation.sealed, unreadable=list(rotation.unreadable))


class TargetIn(BaseModel):
    """A model at a connection; 'local' is the connection to what is served here."""

    connection: str
    model: str
    parameters: dict[str, Any] = Field(default_factory=dict)
    weight: float = Field(default=1.0, ge=0, description="Its part of the requests under the policy 'weights'.")


class TimeoutsIn(BaseModel):
    """Seconds until a request is given up."""

    connect_s: float = 5.0
    first_byte_s: float = 120.0
    idle_s: float = 60.0
    total_s: float = 600.0


class RouteGuardIn(BaseModel):
    """A guardrail on every answer of a route, whatever the release."""

    check: str
    options: dict[str, Any] = Field(default_factory=dict)
    on_input: bool = False
    on_output: bool = True
    on_failure: OnFailure = OnFailure.PASS


class WhenIn(BaseModel):
    """A condition on a request; everything that is named has to hold."""

    headers: dict[str, str] = Field(default_factory=dict, description="Patterns such as 'gold*', by names of headers.")
    metadata: dict[str, str] = Field(default_factory=dict)
    weekdays: list[Weekday] = Field(default_factory=list[Weekday])
    hours: str = Field(default="", description="Such as 08:00-18:00; over midnight where it ends before it begins.")
    zone: str = Field(default="UTC", description="The time zone of hours and weekdays, such as Europe/Berlin.")
    tokens_over: int | None = Field(default=None, description="Of the prompt, guessed as a quarter of its bytes.")
    tokens_under: int | None = None


class RuleIn(BaseModel):
    """Who answers where a condition holds."""

    when: WhenIn
    use: str = Field(description="connection/model, or the name of a route or of a release.")


class HedgeIn(BaseModel):
    """A second target is asked when the first does not begin to answer."""

    after_s: float | None = Field(default=None, description="Left out: the first target's 95th percentile.")


class JudgeIn(BaseModel):
    """Another route whose model says whether an answer is good enough."""

    route: str
    timeout_s: float = 10.0
    rubric: str = Field(default="", description="What a good answer is; empty is the built-in one.")


class CascadeIn(BaseModel):
    """An answer that is not good enough is asked of the next target."""

    finish_reasons: list[str] = Field(default_factory=lambda: ["length", "content_filter"])
    is_refused: bool = Field(default=True, description="Escalate what a guardrail refuses.")
    is_no_json: bool = Field(default=True, description="Escalate what is no JSON where JSON was asked for.")
    shorter_than: int = Field(default=0, description="Characters.")
    pattern: str = Field(default="", description="A regular expression, looked for in the first 2,000 characters.")
    judge: JudgeIn | None = None


class CacheIn(BaseModel):
    """How a route keeps answers."""

    mode: CacheMode = CacheMode.EXACT
    ttl_s: float = 3600.0
    scope: CacheScope = Field(default=CacheScope.KEY, description="Whose requests may share an answer.")
    floor: float = Field(default=CacheSettings().floor, description="Similarity from which two texts count as one.")
    check_share: float = Field(
        default=CacheSettings().check_share, description="Semantic hits for which the model is asked all the same."
    )
    max_bytes: int = 67_108_864


class RouteIn(BaseModel):
    """What is set on a route."""

    target: TargetIn | None = Field(default=None, description="What answers until a release is live.")
    spares: list[TargetIn] = Field(
        default_factory=list[TargetIn], description="Asked beside the target, by the policy, or when it fails."
    )
    fallbacks: list[str] = Field(default_factory=list, description="Releases tried when the chosen one fails.")
    attempts: int = 3
    timeouts: TimeoutsIn = Field(default_factory=TimeoutsIn)
    capture: Capture = Capture.ALL
    capture_share: float = 1.0
    capture_limit: int = 262_144
    guardrails: list[RouteGuardIn] = Field(default_factory=list[RouteGuardIn])
    policy: Policy = Field(default=Policy.ORDER, description="In which order the targets are asked.")
    affinity: Affinity = Field(default=Affinity.NONE, description="What stays with its target while that is well.")
    resting_share: float = Field(default=0.5, description="How many targets may rest after failures at once.")
    rules: list[RuleIn] = Field(default_factory=list[RuleIn], description="The first that holds says who answers.")
    hedge: HedgeIn | None = None
    cascade: CascadeIn | None = None
    cache: CacheIn | None = Field(default=None, description="Answers are kept and given again; null is off.")

    def settings(self) -> RouteSettings:
        """As the model.

        Raises:
            Invalid: a figure is out of its range.
        """
        return _convert(self.model_dump(mode="json"), RouteSettings)


class ArmOut(BaseModel):
    """Who answers on a route."""

    release_id: str
    stage: str
    share: float

    @classmethod
    def of(cls, arm: Arm) -> "ArmOut":
        """From the model."""
        return cls(release_id=arm.release_id, stage=arm.stage.value, share=arm.share)


class RouteOut(RouteIn):
    """A route as it stands now."""

    name: str
    arms: list[ArmOut]

    @classmethod
    def of(cls, view: RouteView) -> "RouteOut":
        """From the model."""
        settings: dict[str, Any] = msgspec.to_builtins(view.settings)
        return cls(name=view.name, arms=[ArmOut.of(arm) for arm in view.arms], **settings)


class CallsOut(BaseModel):
    """Calls of the last hour; null is unknown. `first` is the time to the first token, or to the first byte."""

    calls: int
    per_s: float = Field(description="Over the last minute.")
    error_share: float | None
    p50_ms: float | None
    p95_ms: float | None
    first_p50_ms: float | None
    first_p95_ms: float | None

    @classmethod
    def of(cls, calls: Calls) -> "CallsOut":
        """From the figures."""
        return cls.model_validate(calls._asdict())


class TargetHealthOut(BaseModel):
    """A model that a route may ask, and how it does; what a rule leads to on another route has no connection."""

    role: str
    release_id: str
    release: str
    connection: str
    model: str
    state: str
    said: str
    share: float | None = Field(description="Of the calls of this route; null while there are none.")
    resting: int = Field(description="Workers of this machine whose breaker is open.")
    workers: int
    calls: CallsOut


class ClauseOut(BaseModel):
    """One part of a policy in words; `field` is where the route has it."""

    subject: str
    field: str
    text: str


class CacheHealthOut(BaseModel):
    """Look-ups in the cache within the last hour."""

    outcomes: dict[str, int]
    share: float = Field(description="That needed no new call.")


class RouteHealthOut(BaseModel):
    """A route as it does now."""

    name: str
    state: str
    policy: list[ClauseOut]
    requests: CallsOut
    targets: list[TargetHealthOut]
    cache: CacheHealthOut | None

    @classmethod
    def of(cls, health: RouteHealth) -> "RouteHealthOut":
        """From what is known."""
        line, cache = health.line, health.cache
        targets = [
            TargetHealthOut(
                role=step.role,
                release_id=step.release_id,
                release=step.name,
                connection=target.connection,
                model=target.model,
                state=target.state,
                said=target.problem or target.word,
                share=target.share,
                resting=target.resting,
                workers=target.workers,
                calls=CallsOut.of(target.calls),
            )
            for step in line.steps
            for target in step.targets
        ]
        return cls(
            name=line.name,
            state=line.state,
            policy=[ClauseOut.model_validate(clause._asdict()) for clause in health.policy],
            requests=CallsOut.of(health.requests),
            targets=targets,
            cache=CacheHealthOut(outcomes=dict(cache.outcomes), share=cache.share) if cache else None,
        )


class LimitsIn(BaseModel):
    """What an owner may do; what is left out stays as it is, and null is unlimited."""

    routes: list[str] = Field(default_factory=list, description="Only keys and teams; empty is all, without models.")
    models: list[str] = Field(default_factory=list, description="Patterns of connection/model, such as openai/gpt-5*.")
    connections: list[str] = Field(
        default_factory=list, description="Patterns of connections that anything may be passed to."
    )
    mcp: list[str] = Field(
        default_factory=list, description="Patterns of MCP servers, or of their tools as server/tool."
    )
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent: int | None = Field(default=None, description="Requests at the same time.")
    budget_nano: int | None = Field(default=None, description="Nano-USD in a calendar month (UTC), refused beyond.")
    guardrails: list[RouteGuardIn] = Field(default_factory=list[RouteGuardIn], description="Only keys and teams.")

    def policy(self, before: KeyPolicy) -> KeyPolicy:
        """`before` with what is told.

        Raises:
            Invalid: a figure is out of its range.
        """
        return _convert({**msgspec.to_builtins(before), **self.model_dump(mode="json", exclude_unset=True)}, KeyPolicy)


class LimitsOut(LimitsIn):
    """What an owner may do. `owner` is as people write it."""

    owner: str
    owner_id: str

    @classmethod
    def of(cls, owner: Owner, name: str, policy: KeyPolicy) -> "LimitsOut":
        """From the model."""
        values: dict[str, Any] = msgspec.to_builtins(policy)
        return cls(owner=name, owner_id=owner.id, **values)


class ProviderOut(BaseModel):
    """A provider plugin that is installed."""

    name: str
    package: str
    version: str

    @classmethod
    def of(cls, info: PluginInfo) -> "ProviderOut":
        """From the plugin's description."""
        return cls(name=info.name, package=info.package, version=info.version)


class ProblemOut(BaseModel):
    """Something that cannot be called now, and why.

    `subject` is the release's name, else `Route 'NAME'`, or `Connection 'NAME'` where workers cannot use one.
    """

    release_id: str
    subject: str
    problem: str


class GatewayOut(BaseModel):
    """What workers were last given."""

    version: int
    routes: int
    keys: int
    connections: int
    problems: list[ProblemOut]


class FieldChangeOut(BaseModel):
    """One value, as the file would show it; null is the default."""

    field: str
    before: Any
    after: Any


class ChangeOut(BaseModel):
    """What applying a file does to one connection, route or key."""

    kind: str
    name: str
    action: str
    fields: list[FieldChangeOut]

    @classmethod
    def of(cls, change: Change) -> "ChangeOut":
        """From the model."""
        fields = [FieldChangeOut(field=one.field, before=one.before, after=one.after) for one in change.fields]
        return cls(kind=change.kind, name=change.name, action=change.action.value, fields=fields)


class KeptOut(BaseModel):
    """Something that is there and that the file does not name; only `prune` removes it."""

    kind: str
    name: str


class AppliedOut(BaseModel):
    """What a file changed, or would change. `etag` tells the state that it was compared with, `after` the new one."""

    etag: str
    after: str
    is_applied: bool
    changes: list[ChangeOut]
    kept: list[KeptOut]

    @classmethod
    def of(cls, applied: Applied, *, is_applied: bool) -> "AppliedOut":
        """From what the service says."""
        return cls(
            etag=applied.before,
            after=applied.after,
            is_applied=is_applied,
            changes=[ChangeOut.of(change) for change in applied.comparison.changes],
            kept=[KeptOut(kind=kept.kind, name=kept.name) for kept in applied.comparison.kept],
        )


_RANGE = re.compile(r"Expected `(?:float|int)` (>=|>|<=|<) (\S+)")
_BOUNDS = {">=": "at least", ">": "more than", "<=": "at most", "<": "less than"}


def _convert(values: object, kind: type[T]) -> T:
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        said, _, path = str(error).partition(" - at `$.")
        place = re.sub(r"\[(\d+)\]", r".\1", path.rstrip("`"))
        if found := _RANGE.fullmatch(said):
            said = f"This takes a number of {_BOUNDS[found[1]]} {float(found[2]):,.10g}"
        raise Invalid(f"{said}, in {place!r}." if place else f"{said}.", param=place or None) from error
