"""What the workers say, and what the pages make of it."""

from datetime import UTC, datetime, timedelta

import pytest

from rondel.gateway.exposition import Figures, Number
from rondel.gateway.health import Calls, calls_of, read_board
from rondel.gateway.key_pages import Known, callable_by, keys_page, told
from rondel.gateway.models import (
    Arm,
    Connection,
    KeyPolicy,
    PlainTarget,
    ReleaseCall,
    RouteSettings,
    RouteView,
    SavedConnection,
    Snapshot,
    Target,
)
from rondel.gateway.pages import GatewayPage, gateway_page
from rondel.gateway.routing import RouteRule, When
from rondel.gateway.watching import Told
from rondel.identity.models import Key, Owner, OwnerKind, Role
from rondel.spend.budgets.models import Budget, Spent, Standing, Window
from rondel.storage.models import Scope
from rondel.telemetry.records import ArmStage

SCOPE = Scope("prj", "production")
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
FINE = Calls(calls=10, error_share=0.0, p50_ms=5.0)


def resting(value: int, connection: str = "main", model: str = "gpt", project: str = "prj") -> Number:
    labels = {
        "project": project,
        "environment": "production",
        "connection": connection,
        "gen_ai_request_model": model,
    }
    return Number("rondel_gateway_target_resting", value, tuple(labels.items()))


def worker(number: int, *numbers: Number, unusable: tuple[tuple[str, str], ...] = ()) -> Figures:
    return Figures(f"gateway-{number}", 1, (), numbers, unusable=unusable)


def page(
    settings: RouteSettings,
    *figures: Figures,
    arms: tuple[Arm, ...] = (),
    seen: dict[tuple[str, str], Calls] | None = None,
) -> GatewayPage:
    calls = (
        ReleaseCall(
            id="plain:prj:production:support",
            digest="",
            targets=(Target(connection_id="con_main", model="gpt"), Target(connection_id="con_other", model="haiku")),
        ),
        ReleaseCall(id="rel_1", digest="d", name="v1", targets=(Target(connection_id="con_main", model="gpt"),)),
        ReleaseCall(id="rel_2", digest="d", name="v2", targets=(Target(connection_id="", model="x", problem="No."),)),
    )
    connections = tuple(Connection(id=f"con_{name}", name=name, provider="openai") for name in ("main", "other"))
    snapshot = Snapshot(version=7, hash_key="", releases=calls, connections=connections)
    saved = [SavedConnection(f"con_{name}", name, "openai", "", "env:KEY", {}, {}, NOW) for name in ("main", "other")]
    names = {"rel_1": "v1", "rel_2": "v2"}
    told = Told(snapshot, [RouteView("support", settings, arms, is_saved=True)], saved, [], names, {})
    return gateway_page(SCOPE, told, read_board(SCOPE, figures), seen or {})


PLAIN = RouteSettings(
    target=PlainTarget(connection="main", model="gpt"),
    spares=(PlainTarget(connection="other", model="haiku"),),
    fallbacks=("v2",),
)


def test_a_route_shows_whom_it_asks_in_their_order() -> None:
    arms = (Arm(release_id="rel_1"), Arm(release_id="rel_2", stage=ArmStage.CANARY, share=0.2))
    assert [(s.role, s.name, [t.model for t in s.targets]) for s in page(PLAIN, arms=arms).routes[0].steps] == [
        ("live", "v1", ["gpt"]),
        ("canary 20 %", "v2", ["x"]),
        ("fallback 1", "v2", ["x"]),
    ]
    assert [(s.role, s.targets[0].connection) for s in page(PLAIN).routes[0].steps] == [
        ("target", "main"),
        ("spare 1", "other"),
        ("fallback 1", ""),
    ]


@pytest.mark.parametrize(
    ("figures", "calls", "state", "word"),
    [
        ((), Calls(), "off", "idle for an hour"),
        ((), FINE, "ok", "answers"),
        ((), FINE._replace(error_share=0.019), "ok", "answers"),
        ((), FINE._replace(error_share=0.25), "warn", "25 % of its calls fail"),
        ((worker(0, resting(0)), worker(1, resting(1))), FINE, "warn", "rests in 1 of 2 workers"),
        ((worker(0, resting(1)), worker(1, resting(1))), FINE, "error", "rests in 2 of 2 workers"),
        ((worker(0, resting(1, project="another")),), FINE, "ok", "answers"),
        ((worker(0, unusable=(("con_main", "KEY is not set."),)),), FINE, "error", "cannot be called"),
    ],
)
def test_a_targets_state_says_the_worst_that_is_known(
    figures: tuple[Figures, ...], calls: Calls, state: str, word: str
) -> None:
    target = page(PLAIN, *figures, seen={("main", "gpt"): calls}).routes[0].steps[0].targets[0]
    assert (target.state, target.word) == (state, word)


def test_a_route_whose_first_target_cannot_be_called_is_an_error_and_a_lost_fallback_a_warning() -> None:
    broken = worker(0, unusable=(("con_main", "KEY is not set."),))
    assert page(PLAIN, broken).routes[0].state == "error"
    assert page(PLAIN).routes[0].state == "warn"
    assert page(RouteSettings()).routes[0].state == "error"


@pytest.mark.parametrize(
    ("figures", "state", "word"),
    [
        ((), "off", "no worker runs here"),
        ((worker(0),), "ok", "secret read"),
        ((worker(0, resting(1)),), "warn", "rests: gpt"),
        ((worker(0), worker(1, unusable=(("con_main", "KEY is not set."),))), "error", "cannot be used"),
    ],
)
def test_a_connection_says_whether_its_secret_can_be_read(figures: tuple[Figures, ...], state: str, word: str) -> None:
    line = page(PLAIN, *figures).connections[0]
    assert (line.state, line.word) == (state, word)
    assert line.used_by == ("support",)


def test_figures_of_the_cache_are_shown_only_when_a_worker_has_some() -> None:
    assert read_board(SCOPE, [worker(0)]).cache is None
    here = (("project", SCOPE.project_id), ("environment", SCOPE.environment))
    hits = Number("rondel_gateway_cache_total", 3, (*here, ("outcome", "hit")))
    misses = Number("rondel_gateway_cache_total", 5, (*here, ("outcome", "miss")))
    cache = read_board(SCOPE, [worker(0, hits, misses), worker(1, misses, hits)]).cache
    assert cache is not None
    assert cache.outcomes == (("hits", 6), ("misses", 10))
    assert cache.share == 6 / 16
    elsewhere = [Number("rondel_gateway_cache_total", 3, (("project", "other"), here[1], ("outcome", "hit")))]
    assert read_board(SCOPE, [worker(0, *elsewhere)]).cache is None


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (KeyPolicy(), ()),
        (KeyPolicy(routes=("support",), models=("main/*",)), ("support", "main/*")),
        (KeyPolicy(connections=("main",)), ("every model", "anything at main")),
        (KeyPolicy(routes=("support",), mcp=("search/*",)), ("support", "MCP search/*")),
    ],
)
def test_what_a_key_may_call_is_told_whole(policy: KeyPolicy, words: tuple[str, ...]) -> None:
    assert callable_by(policy) == words


def test_the_targets_of_rules_stand_behind_the_routes_own_and_their_problems_are_told() -> None:
    settings = RouteSettings(
        target=PlainTarget(connection="main", model="gpt"),
        rules=(
            RouteRule(when=When(tokens_over=9), use="other/long"),
            RouteRule(when=When(tokens_over=5), use="v2"),
            RouteRule(when=When(tokens_over=1), use="elsewhere"),
        ),
    )
    steps = page(settings).routes[0].steps
    assert [(step.role, step.name, [target.model for target in step.targets]) for step in steps] == [
        ("target", "", ["gpt"]),
        ("rule 1", "", ["long"]),
        ("rule 2", "v2", ["x"]),
        ("rule 3", "elsewhere", []),
    ]


def test_a_server_is_no_worker() -> None:
    board = read_board(SCOPE, [Figures("server", 1, (), (Number("rondel_gateway_requests_open", 9),)), worker(0)])
    assert board.workers == ("gateway-0",)
    assert board.requests_open == 0


def test_unknown_times_stay_unknown() -> None:
    assert calls_of({"count": 2.0, "p50_ms": None}, 0.5) == Calls(calls=2, per_s=0.5)


def standing(spent: int, amount: int, *, reached: int = 0, is_hard: bool = True) -> Standing:
    owner = Owner(OwnerKind.PROJECT, "")
    budget = Budget(f"bud_{spent}", owner, Window.MONTH, amount, is_hard, (80,), NOW)
    return Standing(budget, "project", NOW, None, Spent(spent, 1, 0), reached)


@pytest.mark.parametrize(
    ("budget", "state", "word"),
    [
        (standing(79, 100), "ok", "has money left"),
        (standing(80, 100), "warn", "has money left"),
        (standing(10, 100, reached=50), "warn", "has money left"),
        (standing(100, 100), "error", "refuses"),
        (standing(130, 100, is_hard=False), "warn", "is spent"),
        (standing(0, 0), "error", "refuses"),
    ],
)
def test_a_budget_says_how_near_its_end_is(budget: Standing, state: str, word: str) -> None:
    line = keys_page(SCOPE, Known([], [], {}, {}, [budget], {}), now=NOW).budgets[0]
    assert (line.state, line.word) == (state, word)
    assert line.left_nano == max(0, budget.budget.amount_nano - budget.spent.nano)


def key(name: str, **more: object) -> Key:
    values = {"role": Role.CALLER, "person_id": None, "hash": "", "shown": "sk-…", "created_at": NOW, **more}
    return Key(f"key_{name}", "prj", "production", name, **values)  # pyright: ignore[reportArgumentType]  test values


def test_keys_that_open_nothing_stand_apart() -> None:
    hour = timedelta(hours=1)
    keys = [
        key("fine"),
        key("rotating", old_hash="x", old_until=NOW + hour),
        key("rotated", old_hash="x", old_until=NOW - hour),
        key("over", expires_at=NOW - hour),
        key("ended", revoked_at=NOW),
    ]
    view = keys_page(SCOPE, Known(keys, [], {}, {}, [], {}), now=NOW)
    assert [(line.name, line.word, line.old_until is not None) for line in view.keys] == [
        ("fine", "valid", False),
        ("rotating", "rotating", True),
        ("rotated", "valid", False),
    ]
    assert [(line.name, line.word) for line in view.ended] == [("over", "expired"), ("ended", "revoked")]


def test_limits_are_told_in_words_and_a_monthly_budget_is_no_limit_of_its_own() -> None:
    assert told(KeyPolicy(requests_per_minute=600, concurrent=2)) == "600 requests/min, 2 at once"
    policies = {
        Owner(OwnerKind.PROJECT, ""): KeyPolicy(budget_nano=5),
        Owner(OwnerKind.USER, "*"): KeyPolicy(concurrent=1),
    }
    names = {owner: owner.kind.value for owner in policies}
    assert [line.owner for line in keys_page(SCOPE, Known([], [], {}, policies, [], names), now=NOW).limits] == ["user"]
