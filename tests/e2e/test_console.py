"""The console in a real browser: accessible, within its budgets, and driven by keys."""

import re
from collections.abc import Generator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from rondel.identity.models import Role, system
from rondel.storage.ports import Columns
from rondel.telemetry.models import Entry
from rondel.testing.rows import file_rows
from tests.e2e.browser import Watched, chromium, served
from tests.e2e.desk import RULES, Desk
from tests.integration.web import samples
from tests.integration.web.house import House, evaluations, furnish, open_house

AGENT = "d9144fb82acd" + "0" * 20
PAGES = (
    "/",
    "/traces",
    f"/traces/{AGENT}",
    "/releases",
    "/releases/support-v15",
    "/releases/support-v14",
    "/datasets",
    "/datasets/support-golden",
    "/datasets/support-golden?leaks=true",
    "/prompts",
    "/prompts/support/answer",
    "/experiments",
    "/experiments/ev_2",
    "/experiments/compare?a=ev_1&b=ev_2",
    "/models",
    "/models/smollm2",
    "/gateway",
    "/gateway/routes/plain",
    "/gateway/routes/rich",
    "/gateway/keys",
    "/playground?model=main/gpt-5-mini&model=plain&prompt=support/answer@2&prompt=&input=hello",
    "/monitors",
    "/monitors/slow",
    "/audit",
    "/audit?action=release.",
    "/audit/verify",
    "/sign-in",
)
expect.set_options(timeout=30_000)


@pytest.fixture(scope="module")
def desk(columns: Columns, tmp_path_factory: pytest.TempPathFactory) -> Generator[Desk]:
    """One furnished installation for all tests here."""
    folder = tmp_path_factory.mktemp("console")
    house = open_house(columns, file_rows(folder), folder)
    kept, fake = evaluations(), house.services.evaluations
    fake.evaluations, fake.answers, fake.comparisons = kept.evaluations, kept.answers, kept.comparisons  # pyright: ignore[reportAttributeAccessIssue]  the fake
    furnish(house, requests=150)
    with chromium() as browser, served(house.app) as url:
        yield Desk(browser, house, url)


@pytest.fixture
def page(desk: Desk) -> Generator[Page]:
    """A page of a signed-in browser that complained of nothing when the test is over."""
    context = desk.open()
    page = context.new_page()
    watched = Watched(page)
    yield page
    assert [said for said in watched.complaints if "409 (Conflict)" not in said] == []
    context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_is_accessible(desk: Desk, theme: str) -> None:
    context = desk.open(theme)
    page = context.new_page()
    watched = Watched(page)
    found: list[str] = []
    for path in (*PAGES, *_runs(page)):
        page.goto(path)
        for violation in Axe().run(page, options=RULES).response["violations"]:
            where = "; ".join(node["html"][:140] for node in violation["nodes"][:3])
            found.append(f"{path} {theme}: {violation['id']}: {where}")
    assert found == []
    assert watched.complaints == []
    context.close()


def _runs(page: Page) -> list[str]:
    """A run, and two side by side: their ids are made when the house is furnished."""
    page.goto("/experiments")
    boxes = page.locator("input[name=run]")
    ids = [boxes.nth(index).get_attribute("value") for index in range(min(boxes.count(), 2))]
    return [f"/experiments/{ids[0]}", "/experiments/compare?" + "&".join(f"run={one}" for one in ids)]


WIDTHS = """() => [...document.querySelectorAll("table.t")].flatMap((table) =>
  [...table.querySelectorAll("thead th")].filter((cell) => cell.innerText.trim() && !cell.querySelector(".sr"))
    .filter((cell) => cell.clientWidth < 40 && !cell.matches(".x-model, .x-usd")).map((cell) => cell.innerText))"""


@pytest.mark.parametrize("width", [1100, 1280])
def test_no_page_scrolls_sideways_and_no_column_vanishes_on_a_small_screen(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    found: list[str] = []
    for path in (*PAGES, *_runs(page)):
        page.goto(path)
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            found.append(f"{path} scrolls sideways")
        found += [f"{path}: no room for {title!r}" for title in page.evaluate(WIDTHS)]
    assert found == []


@pytest.mark.parametrize("dialog", ["?", "Control+k", "d", "r"])
def test_dialogs_are_accessible(page: Page, dialog: str) -> None:
    page.goto(f"/traces/{AGENT}")
    page.locator("html[data-ready]").wait_for()
    page.keyboard.press(dialog)
    expect(page.locator("dialog[open]")).to_be_visible()
    assert [one["id"] for one in Axe().run(page, options=RULES).response["violations"]] == []
    page.keyboard.press("Escape")
    expect(page.locator("dialog[open]")).to_have_count(0)


def test_a_first_load_is_small(desk: Desk) -> None:
    session = desk.open()
    context = desk.browser.new_context(base_url=desk.url, storage_state=session.storage_state())
    session.close()
    page = context.new_page()
    watched = Watched(page)
    page.goto("/traces", wait_until="networkidle")
    by_kind: dict[str, int] = {}
    for _, kind, size in watched.sizes:
        by_kind[kind] = by_kind.get(kind, 0) + size
    assert len(watched.sizes) <= 10, watched.sizes
    assert by_kind["script"] > 10 * 1024, "the browser's cache was not empty"
    assert by_kind["script"] <= 60 * 1024, by_kind
    assert by_kind["stylesheet"] <= 12 * 1024, by_kind
    context.close()


@pytest.mark.parametrize(
    "path", ["/traces", "/releases", "/datasets", "/prompts", "/experiments", "/models", "/monitors", "/audit"]
)
def test_a_list_has_few_nodes(page: Page, path: str) -> None:
    page.goto(path)
    assert page.evaluate("document.querySelectorAll('*').length") <= 2000


def test_keys_move_open_and_come_back(page: Page) -> None:
    page.goto("/traces?range=all")
    page.locator("html[data-ready]").wait_for()
    chosen = page.locator("tr[aria-selected=true]")
    expect(chosen).to_have_count(1)
    first = chosen.get_attribute("data-id")
    page.keyboard.press("j")
    second = chosen.get_attribute("data-id")
    assert second != first
    assert f"row={second}" in page.url
    page.keyboard.press("k")
    assert chosen.get_attribute("data-id") == first
    page.keyboard.press("x")
    assert f"picked={first}" in page.url
    page.reload()
    expect(page.locator("tr[data-picked]")).to_have_count(1)
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(f"/traces/{first}"))
    page.keyboard.press("g")
    page.keyboard.press("r")
    page.wait_for_url(re.compile("/releases$"))


def test_a_filter_changes_rows_and_address_without_a_new_page(page: Page) -> None:
    page.goto("/traces?range=all")
    page.evaluate("window.same = true")
    before = page.locator("tr[data-href]").count()
    page.check("input[name=status][value=error]")
    expect(page.locator(".chip")).to_contain_text("status is")
    assert "status=error" in page.url
    assert page.locator("tr[data-href]").count() < before
    assert page.evaluate("window.same") is True
    page.go_back()
    expect(page.locator(".chip")).to_have_count(0)


@pytest.mark.parametrize("status", [503, 0])
def test_when_the_server_does_not_answer_the_old_rows_stay_and_one_can_try_again(desk: Desk, status: int) -> None:
    context = desk.open()
    page = context.new_page()
    page.goto("/traces?range=all")
    before = page.locator("tr[data-href]").count()
    if status:
        body = "<div><b>The columns do not answer.</b></div>"
        told = {"x-request-id": "req_1"}
        page.route("**/traces?*", lambda route: route.fulfill(status=status, headers=told, body=body))
    else:
        page.route("**/traces?*", lambda route: route.abort())
    page.check("input[name=status][value=error]")
    trouble = page.locator("#trouble")
    expect(trouble).to_contain_text("request req_1" if status else "did not answer")
    assert page.locator("tr[data-href]").count() == before
    page.unroute("**/traces?*")
    trouble.get_by_role("button", name="Try again").click()
    expect(page.locator(".chip")).to_contain_text("status is")
    expect(trouble).to_be_empty()
    context.close()


def test_the_loop_refreshes_itself_while_live(page: Page) -> None:
    page.goto("/")
    page.locator("html[data-ready]").wait_for()
    page.evaluate("document.querySelector('[data-refresh]').dataset.refresh = 0.3")
    page.evaluate("document.querySelector('#loop .stage b').textContent = 'old'")
    page.click("[data-refresh]")
    expect(page.locator("#loop .stage b").first).not_to_have_text("old")
    expect(page.locator("#loop")).to_have_count(1)


def test_search_keeps_the_cursor_in_the_box(page: Page) -> None:
    page.goto("/traces?range=all")
    page.locator("html[data-ready]").wait_for()
    page.keyboard.press("/")
    page.keyboard.type("lithium")
    page.wait_for_url(re.compile("q=lithium"))
    assert page.evaluate("document.activeElement.id") == "q"
    expect(page.locator("tr[data-href]").first).to_contain_text("lithium")
    page.keyboard.type(" nosuchword")
    expect(page.locator("#rows")).to_contain_text("No trace matches")


def test_spans_are_walked_folded_and_the_next_error_found(page: Page) -> None:
    page.goto(f"/traces/{AGENT}?span={0:016x}")
    page.locator("html[data-ready]").wait_for()
    page.keyboard.press("e")
    chosen = page.locator(".wr[aria-selected=true]")
    expect(chosen).to_contain_text("issue_refund")
    expect(page.locator("#panel")).to_contain_text("UpstreamTimeout")
    assert re.search(r"span=[0-9a-f]{16}", page.url)
    page.goto(f"/traces/{AGENT}?span={8:016x}")
    page.locator("html[data-ready]").wait_for()
    assert page.locator(".wr:visible").count() == 19
    page.keyboard.press("ArrowLeft")
    assert page.locator(".wr:visible").count() == 10
    assert "folded=" in page.url
    page.reload()
    expect(page.locator(".wr:visible")).to_have_count(10)
    page.keyboard.press("ArrowRight")
    assert page.locator(".wr:visible").count() == 19


def test_tabs_of_a_span_show_one_pane(page: Page) -> None:
    page.goto(f"/traces/{AGENT}")
    page.get_by_role("tab", name="Raw").click()
    expect(page.locator("#pane-raw")).to_be_visible()
    expect(page.locator("#pane-messages")).to_be_hidden()


def test_a_very_long_trace_shows_its_rows_as_one_scrolls(desk: Desk, page: Page) -> None:
    shift = desk.house.services.clock.now() - samples.NOW
    long = samples.long_trace(5000)
    spans = [samples.moved(span, shift) for span in long.spans]
    desk.house.services.traces.add(desk.house.scope, spans)
    page.goto("/traces/" + spans[0].trace_id)
    expect(page.locator(".wr").first).to_be_visible()
    assert page.evaluate("document.querySelectorAll('*').length") < 12_000
    page.locator("html[data-ready]").wait_for()
    page.evaluate("document.querySelector('.wfb').scrollTop = 1e9")
    expect(page.locator("#s-" + f"{4999:016x}")).to_be_visible()
    assert page.locator(".wr").count() < 2000


def test_new_traces_come_in_by_themselves_and_wait_under_the_pointer(desk: Desk, page: Page) -> None:
    page.goto("/traces?range=15m")
    page.locator("html[data-ready]").wait_for()
    page.mouse.move(700, 20)
    page.click("[data-live]")
    page.mouse.move(700, 20)
    page.wait_for_timeout(1500)
    made = _one_more(desk.house, "abc1")
    expect(page.locator("tbody tr").first).to_have_attribute("data-id", made, timeout=8000)
    page.hover("#rows")
    held = _one_more(desk.house, "abc2")
    expect(page.locator("[data-live][data-held]")).to_have_count(1, timeout=8000)
    expect(page.locator("tbody tr").first).to_have_attribute("data-id", made)
    page.mouse.move(700, 20)
    expect(page.locator("tbody tr").first).to_have_attribute("data-id", held, timeout=3000)


def _one_more(house: House, beginning: str) -> str:
    trace_id = beginning + "0" * 28
    span = samples.plain_span(trace_id, house.services.clock.now(), entry=Entry.ROOT)
    house.services.traces.add(house.scope, [span])
    return trace_id


def test_ctrl_k_leads_to_a_place_by_its_name(page: Page) -> None:
    page.goto("/")
    page.locator("html[data-ready]").wait_for()
    page.keyboard.press("Control+k")
    page.keyboard.type("v15")  # at once: what is typed before the box is there is for it
    expect(page.locator("#jump input")).to_have_value("v15")
    expect(page.locator("#found a").first).to_contain_text("support-v15")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/releases/rel_"))


def test_the_theme_is_kept(page: Page) -> None:
    page.goto("/")
    page.click("[data-theme-toggle]")
    page.goto("/releases")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_a_rollout_is_held_and_goes_on_from_its_page(page: Page) -> None:
    page.goto("/releases/support-v15")
    page.get_by_role("button", name="Hold").click()
    dialog = page.locator("dialog[open]")
    dialog.get_by_label("Reason").fill("looking at the losses")
    dialog.get_by_role("button", name="Hold").click()
    expect(page.locator(".tag").first).to_contain_text("held")
    expect(page.locator("body")).to_contain_text("looking at the losses")
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("button", name="Hold")).to_be_visible()


def test_a_refused_write_says_why_in_its_dialog(page: Page) -> None:
    page.goto("/releases/support-v14")
    page.get_by_role("button", name="Roll back").click()
    dialog = page.locator("dialog[open]")
    dialog.get_by_label("Reason").fill("trying")
    dialog.get_by_role("button", name="Roll back").click()
    expect(dialog.locator("[role=alert]")).to_contain_text("go back to")


def test_a_trace_is_added_to_a_dataset_from_its_page(page: Page) -> None:
    page.goto(f"/traces/{AGENT}")
    page.locator("html[data-ready]").wait_for()
    page.keyboard.press("d")
    dialog = page.locator("dialog[open]")
    dialog.get_by_label("Dataset").fill("picked-by-hand")
    dialog.get_by_role("button", name="Add").click()
    expect(page.locator("#toast")).to_contain_text("new version")
    page.goto("/datasets/picked-by-hand")
    expect(page.locator(f"a[href='/traces/{AGENT}']")).to_have_count(1)


def test_a_label_moves_from_version_to_version(page: Page) -> None:
    page.goto("/prompts/support/answer")
    page.get_by_label("Point a label here").fill("tried")
    page.get_by_role("button", name="Move label").click()
    expect(page.locator(".tag.ok", has_text="tried")).to_have_count(1)


def test_who_may_only_look_sees_no_button_that_writes(desk: Desk) -> None:
    services = desk.house.services
    with services.rows.transaction() as tx:
        secret = services.identity.issue_key(
            tx, desk.house.scope, system(desk.house.scope.project_id), name="looker", role=Role.VIEWER
        ).secret
    context = desk.browser.new_context(base_url=desk.url)
    page = context.new_page()
    page.goto("/sign-in")
    page.fill("input[name=key]", secret)
    page.click("button[type=submit]")
    for path in ("/releases/support-v15", f"/traces/{AGENT}", "/prompts/support/answer", "/monitors/slow"):
        page.goto(path)
        assert page.locator("main :is([data-post], [data-key=r], form[data-api])").count() == 0, path
    context.close()


def test_an_answer_is_scored_from_its_trace(desk: Desk, page: Page) -> None:
    page.goto(f"/traces/{AGENT}")
    page.locator("html[data-ready]").wait_for()
    page.keyboard.press("r")
    dialog = page.locator("dialog[open]")
    dialog.get_by_label("Value").fill("0.25")
    dialog.get_by_role("button", name="Score").click()
    expect(page.locator("#toast")).to_have_text("Scored.")
    desk.house.services.traces.flush()
    page.reload()
    expect(page.locator(".thead")).to_contain_text("0.25")


def test_a_monitor_is_checked_now(page: Page) -> None:
    page.goto("/monitors/errors")
    page.get_by_role("button", name="Check now").click()
    expect(page.locator(".page")).not_to_contain_text("not checked yet")


def test_nothing_people_wrote_runs(columns: Columns, tmp_path: Path, desk: Desk) -> None:
    house = open_house(columns, file_rows(tmp_path), tmp_path)
    furnish(house, text=samples.HOSTILE, requests=30)
    with served(house.app) as url:
        hostile = Desk(desk.browser, house, url)
        context = hostile.open()
        page = context.new_page()
        watched, shown = Watched(page), list[str]()
        page.on("dialog", lambda dialog: shown.append(dialog.message))
        for path in ("/", "/traces", f"/traces/{AGENT}", "/releases/support-v15", "/datasets/support-golden", "/audit"):
            page.goto(path)
        page.get_by_role("link", name="Loop", exact=True).click()
        context.close()
    assert shown == []
    assert watched.complaints == []
