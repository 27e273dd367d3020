"""Gateway and Keys & budgets in a real browser: what is written goes through the public API."""

import re
from collections.abc import Generator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

from rondel.gateway.models import (
    CacheMode,
    CacheScope,
    CacheSettings,
    Capture,
    OnFailure,
    PlainTarget,
    RouteGuard,
    RouteSettings,
    Timeouts,
)
from rondel.gateway.routing import Affinity, Cascade, Hedge, Judge, Policy, RouteRule, Weekday, When
from rondel.identity.models import Role, system
from tests.e2e.browser import Watched
from tests.e2e.desk import PLAY, RULES, Bench, box, dialog, go

SIDES = ("light", "dark")


@pytest.fixture
def page(bench: Bench) -> Generator[Page]:
    """A page that complained of nothing but refusals when the test is over."""
    context = bench.desk.open()
    page = context.new_page()
    watched = Watched(page)
    yield page
    assert [said for said in watched.complaints if "Failed to load resource" not in said] == []
    context.close()


@pytest.mark.parametrize("theme", SIDES)
def test_dialogs_are_accessible(bench: Bench, theme: str) -> None:
    context = bench.desk.open(theme)
    page = context.new_page()
    for path, button in (
        ("/gateway", "Change route plain"),
        ("/gateway", "Connection"),
        ("/gateway/keys", "Key"),
        ("/gateway/keys", "Rotate batch"),
        ("/gateway/keys", "Limits of batch"),
        ("/gateway/keys", "Change the budget of project"),
    ):
        go(page, path)
        dialog(page, button)
        assert [one["id"] for one in Axe().run(page, options=RULES).response["violations"]] == [], button
    context.close()


@pytest.mark.parametrize("path", ["/gateway", "/gateway/routes/plain", "/gateway/keys", PLAY])
@pytest.mark.parametrize("width", [390, 1100])
def test_nothing_scrolls_sideways_but_tables_inside_their_frames(page: Page, path: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    page.goto(path)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_route_is_made_changed_and_removed_and_what_its_form_does_not_show_stays(bench: Bench, page: Page) -> None:
    go(page, "/gateway")
    form = dialog(page, "Route")
    box(form, "Name").fill("fresh")
    box(form, "Connection").fill("main")
    box(form, "Model").fill("gpt-5-mini")
    form.get_by_role("button", name="Save").click()
    expect(page.get_by_role("button", name="Change route fresh")).to_be_visible()

    go(page, "/gateway")
    form = dialog(page, "Change route plain")
    box(form, "Attempts").fill("5")
    form.get_by_role("button", name="Save").click()
    expect(page.locator("tr.sub", has_text="plain")).to_contain_text("5 attempts")
    house = bench.desk.house
    with house.services.rows.reading() as tx:
        settings = house.services.gateways.route(tx, house.scope, "plain").settings
    assert settings.attempts == 5
    assert settings.spares[0].parameters == {"temperature": 0.2}

    go(page, "/gateway")
    asked = dialog(page, "Remove route fresh")
    asked.locator(".btn.pri").click()
    expect(page.get_by_role("button", name="Change route fresh")).to_have_count(0)


@pytest.mark.parametrize(
    ("label", "value", "said"),
    [
        ("Name", "no name", "cannot name a connection"),
        ("Provider", "opnai", "Did you mean 'openai'?"),
        ("Base URL", "ftp://elsewhere", "elsewhere"),
        ("Headers", "{", "no JSON"),
    ],
)
def test_what_is_wrong_stands_beside_its_field(page: Page, label: str, value: str, said: str) -> None:
    go(page, "/gateway")
    form = dialog(page, "Connection")
    box(form, "Name").fill("third")
    box(form, "Provider").fill("openai_compatible")
    form.locator("summary").click()
    box(form, "Base URL").fill("http://127.0.0.1:1/v1")
    field = box(form, label)
    field.fill(value)
    form.get_by_role("button", name="Save").click()
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field.locator("xpath=following-sibling::*[contains(@class, 'said')]")).to_contain_text(said)
    expect(field).to_be_focused()


def test_a_keys_secret_is_shown_once_and_the_key_can_be_limited_rotated_and_revoked(bench: Bench, page: Page) -> None:
    go(page, "/gateway/keys")
    form = dialog(page, "Key")
    box(form, "Name").fill("mobile")
    box(form, "Team").select_option("checkout")
    form.get_by_role("button", name="Create key").click()
    shown = form.locator("code")
    expect(shown).to_contain_text("sk-rondel-")
    secret = shown.inner_text()
    form.get_by_role("button", name="Done").click()
    row = page.locator("tr", has=page.get_by_text("mobile", exact=True))
    expect(row).to_contain_text("caller, checkout")
    assert secret not in page.content()

    go(page, "/gateway/keys")
    form = dialog(page, "Limits of mobile")
    box(form, "Requests a minute").fill("30")
    box(form, "Models").fill("main/gpt-5*")
    form.get_by_role("button", name="Save").click()
    expect(row).to_contain_text("30 requests/min")
    expect(row).to_contain_text("main/gpt-5*")

    go(page, "/gateway/keys")
    form = dialog(page, "Rotate mobile")
    form.get_by_role("button", name="Make a new secret").click()
    expect(shown).to_contain_text("sk-rondel-")
    assert shown.inner_text() != secret
    form.get_by_role("button", name="Done").click()
    expect(row).to_contain_text("old to")
    house = bench.desk.house
    with house.services.rows.reading() as tx:
        house.services.identity.caller(tx, secret, Role.CALLER)

    go(page, "/gateway/keys")
    asked = dialog(page, "Revoke mobile")
    asked.locator(".btn.pri").click()
    expect(page.get_by_role("button", name="Revoke mobile")).to_have_count(0)


def test_a_budget_is_set_in_dollars_changed_and_removed(bench: Bench, page: Page) -> None:
    go(page, "/gateway/keys")
    form = dialog(page, "Budget")
    box(form, "Whose").fill("user:u_5")
    box(form, "Dollars").fill("0.35")
    box(form, "Window").select_option("day")
    box(form, "Alerts").fill("10 90")
    form.get_by_role("button", name="Save").click()
    row = page.locator("tr", has=page.get_by_text("user:u_5", exact=True))
    expect(row).to_contain_text("$0.35")

    go(page, "/gateway/keys")
    form = dialog(page, "Change the budget of user:u_5")
    expect(box(form, "Dollars")).to_have_value("0.35")
    box(form, "Dollars").fill("2")
    box(form, "Refuse").uncheck()
    form.get_by_role("button", name="Save").click()
    expect(row).to_contain_text("$2.00")
    expect(row).to_contain_text("soft")
    house = bench.desk.house
    with house.services.rows.reading() as tx:
        found = next(one for one in house.services.budgets.list(tx, house.scope) if one.name == "user:u_5")
    assert (found.budget.amount_nano, found.budget.is_hard, found.budget.alerts) == (2 * 10**9, False, (10, 90))

    go(page, "/gateway/keys")
    asked = dialog(page, "Remove the budget of user:u_5")
    asked.locator(".btn.pri").click()
    expect(row).to_have_count(0)


def test_who_may_only_look_sees_no_button_that_writes_and_cannot_ask(bench: Bench) -> None:
    house = bench.desk.house
    with house.services.rows.transaction() as tx:
        actor = system(house.scope.project_id)
        secret = house.services.identity.issue_key(tx, house.scope, actor, name="looks", role=Role.VIEWER).secret
    context = bench.desk.browser.new_context(base_url=bench.desk.url)
    page = context.new_page()
    page.goto("/sign-in")
    page.fill("input[name=key]", secret)
    page.click("button[type=submit]")
    for path in ("/gateway", "/gateway/keys"):
        page.goto(path)
        assert page.locator("main :is([data-post], [data-dialog], form[data-api])").count() == 0, path
    page.goto(PLAY)
    expect(page.get_by_role("button", name="Run")).to_be_disabled()
    asked = page.request.post("/playground/ask", data={"model": "plain"}, headers={"origin": bench.desk.url})
    assert asked.status == 403
    context.close()


def test_a_developer_changes_routes_but_neither_keys_nor_connections(bench: Bench) -> None:
    house = bench.desk.house
    with house.services.rows.transaction() as tx:
        actor = system(house.scope.project_id)
        secret = house.services.identity.issue_key(tx, house.scope, actor, name="builds", role=Role.DEVELOPER).secret
    context = bench.desk.browser.new_context(base_url=bench.desk.url)
    page = context.new_page()
    page.goto("/sign-in")
    page.fill("input[name=key]", secret)
    page.click("button[type=submit]")
    page.goto("/gateway")
    expect(page.get_by_role("button", name="Change route plain")).to_be_visible()
    assert page.get_by_role("button", name=re.compile("connection", re.IGNORECASE)).count() == 0
    page.goto("/gateway/keys")
    assert page.locator("main :is([data-post], [data-dialog])").count() == 0
    context.close()


def settings_of(bench: Bench, name: str) -> RouteSettings:
    house = bench.desk.house
    with house.services.rows.reading() as tx:
        return house.services.gateways.route(tx, house.scope, name).settings


def opened(form: Locator, title: str) -> None:
    form.locator("summary", has_text=re.compile(rf"^{title}")).click()


def test_every_part_of_a_policy_is_set_by_the_form(bench: Bench, page: Page) -> None:
    """The whole way: fields, the public API, what is kept, and the words on the route's page."""
    go(page, "/gateway")
    form = dialog(page, "Route")
    box(form, "Name").fill("whole")
    form.get_by_role("button", name="Target", exact=True).click()
    for number, (connection, model) in enumerate((("main", "small"), ("claude", "big"))):
        box(form, "Connection").nth(number).fill(connection)
        box(form, "Model").nth(number).fill(model)
    assert box(form, "Weight").first.is_hidden()
    box(form, "Targets are asked").select_option("weights")
    box(form, "Weight").first.fill("3")
    opened(form, "Fallbacks")
    box(form, "Affinity").select_option("session")
    box(form, "Hedging").select_option("on")
    box(form, "Second target").fill("0.8")
    opened(form, "Rules")
    form.get_by_role("button", name="Rule", exact=True).click()
    box(form, "Use").fill("main/best")
    box(form, "Headers").fill("x-tier=gold*")
    box(form, "Hours").fill("08:00-18:00")
    box(form, "Time zone").fill("Europe/Berlin")
    form.get_by_label("Fri").check()
    box(form, "Prompt of more").fill("100")
    opened(form, "Cache")
    box(form, "Answers are").select_option("semantic")
    box(form, "For, s").fill("90")
    box(form, "Within").select_option("project")
    box(form, "Similarity").fill("0.99")
    opened(form, "Guardrails")
    form.get_by_role("button", name="Guardrail", exact=True).click()
    box(form, "Check").select_option("pii")
    form.get_by_label("on the question").check()
    box(form, "Options").fill('{"kinds": ["EMAIL"]}')
    box(form, "Where it finds").select_option("error")
    opened(form, "Times")
    box(form, "First byte").fill("7.5")
    box(form, "Payloads kept").select_option("sample")
    box(form, "Share sampled").fill("0.25")
    form.get_by_role("button", name="Save").click()
    expect(page.get_by_role("button", name="Change route whole")).to_be_visible()
    when = When(
        headers={"x-tier": "gold*"},
        hours="08:00-18:00",
        zone="Europe/Berlin",
        weekdays=(Weekday.FRI,),
        tokens_over=100,
    )
    guard = RouteGuard(check="pii", options={"kinds": ["EMAIL"]}, on_input=True, on_failure=OnFailure.ERROR)
    wanted = RouteSettings(
        target=PlainTarget(connection="main", model="small", weight=3),
        spares=(PlainTarget(connection="claude", model="big"),),
        policy=Policy.WEIGHTS,
        affinity=Affinity.SESSION,
        hedge=Hedge(after_s=0.8),
        rules=(RouteRule(when=when, use="main/best"),),
        cache=CacheSettings(mode=CacheMode.SEMANTIC, ttl_s=90, scope=CacheScope.PROJECT, floor=0.99),
        guardrails=(guard,),
        timeouts=Timeouts(first_byte_s=7.5),
        capture=Capture.SAMPLE,
        capture_share=0.25,
    )
    assert settings_of(bench, "whole") == wanted

    go(page, "/gateway/routes/whole")
    expect(page.locator("dl.told")).to_contain_text("One drawn by weight: main/small 75 %, claude/big 25 %.")
    form = dialog(page, "Change")
    form.get_by_role("button", name="Save").click()
    expect(form).to_have_count(0)
    assert settings_of(bench, "whole") == wanted, "a form that is saved as it was opened changes nothing"

    form = dialog(page, "Change")
    opened(form, "Cache")
    box(form, "Answers are").select_option("")
    opened(form, "Fallbacks")
    box(form, "Hedging").select_option("")
    box(form, "Affinity").select_option("none")
    opened(form, "Rules")
    form.get_by_role("button", name="Remove this rule").click()
    form.get_by_role("button", name="Move this target up").nth(0).click()
    box(form, "Targets are asked").select_option("order")
    opened(form, "Cascade")
    box(form, "A cheap target").select_option("on")
    box(form, "ends by").fill("length")
    box(form, "this route").fill("plain")
    box(form, "What a good answer").fill("It names the order.")
    form.get_by_role("button", name="Save").click()
    expect(page.locator("dl.told")).to_contain_text("route plain, asked as a judge")
    changed = settings_of(bench, "whole")
    judge = Judge(route="plain", rubric="It names the order.")
    assert (changed.cache, changed.hedge, changed.rules) == (None, None, ())
    assert changed.cascade == Cascade(finish_reasons=("length",), judge=judge)
    assert changed.target == PlainTarget(connection="claude", model="big")
    assert changed.spares == (PlainTarget(connection="main", model="small", weight=3),), (
        "a weight that is not shown stays"
    )
    assert changed.guardrails == (guard,)


@pytest.mark.parametrize(
    ("part", "label", "value", "said"),
    [
        ("Rules", "Hours", "8-18", "Hours are written as 08:00-18:00, not '8-18'."),
        ("Rules", "Time zone", "Europe/Berln", "There is no time zone 'Europe/Berln' here"),
        ("Rules", "Headers", "gold", "Write it as name=value, one a line."),
        ("Rules", "Use", "nobody", "Route 'plain' names 'nobody', which is not there."),
        ("Guardrails", "Options", '{"kinds": ["MAIL"]}', "Did you mean 'EMAIL'?"),
        ("Times", "Between bytes", "-1", "This takes a number of more than 0"),
        ("Times", "Connect,", "", "Please fill"),
        ("Fallbacks", "Fallbacks", "v99", "v99"),
    ],
)
def test_what_is_wrong_with_a_route_stands_beside_its_field_wherever_that_is_folded(
    page: Page, part: str, label: str, value: str, said: str
) -> None:
    go(page, "/gateway")
    form = dialog(page, "Change route plain")
    opened(form, part)
    if part in {"Rules", "Guardrails"}:
        form.get_by_role("button", name=part[:-1], exact=True).click()
    if part == "Rules":
        box(form, "Use").fill("main/gpt-5-mini")
        box(form, "Prompt of more").fill("5")
    if part == "Guardrails":
        box(form, "Check").select_option("pii")
    field = box(form, label)
    field.fill(value)
    opened(form, part)
    form.get_by_role("button", name="Save").click()
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field.locator("xpath=following-sibling::*[contains(@class, 'said')]")).to_contain_text(said)
    expect(field).to_be_focused()


def test_a_keys_guardrails_and_what_it_may_pass_through_are_set_by_its_form(bench: Bench, page: Page) -> None:
    go(page, "/gateway/keys")
    form = dialog(page, "Limits of batch")
    opened(form, "Pass-through")
    box(form, "Connections").fill("main")
    box(form, "MCP").fill("search/*")
    opened(form, "Guardrails")
    form.get_by_role("button", name="Guardrail", exact=True).click()
    box(form, "Check").select_option("json_schema")
    form.get_by_role("button", name="Save").click()
    expect(form).to_have_count(0)
    house = bench.desk.house
    with house.services.rows.reading() as tx:
        policy = house.services.gateways.policy(tx, house.scope, "batch")
    assert (policy.connections, policy.mcp) == (("main",), ("search/*",))
    assert policy.guardrails == (RouteGuard(check="json_schema"),)


def test_the_forms_are_accessible_with_every_part_unfolded(bench: Bench) -> None:
    for theme in SIDES:
        context = bench.desk.open(theme)
        page = context.new_page()
        go(page, "/gateway")
        form = dialog(page, "Change route plain")
        for part in ("Fallbacks", "Rules", "Cascade", "Cache", "Guardrails", "Times"):
            opened(form, part)
        form.get_by_role("button", name="Rule", exact=True).click()
        form.get_by_role("button", name="Guardrail", exact=True).click()
        box(form, "A cheap target").select_option("on")
        box(form, "Answers are").select_option("semantic")
        assert [one["id"] for one in Axe().run(page, options=RULES).response["violations"]] == []
        context.close()
