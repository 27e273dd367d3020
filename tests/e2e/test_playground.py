"""The playground in a real browser: streamed as it comes, kept as examples, copied."""

import re
from collections.abc import Generator
from dataclasses import replace

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from rondel.ids import Ids
from rondel.telemetry.models import Entry, Span, SpanKind
from tests.e2e.browser import Watched
from tests.e2e.desk import PLAY, RULES, Bench, go


@pytest.fixture
def page(bench: Bench) -> Generator[Page]:
    """A page that complained of nothing but refusals when the test is over."""
    context = bench.desk.open()
    page = context.new_page()
    watched = Watched(page)
    yield page
    assert [said for said in watched.complaints if "Failed to load resource" not in said] == []
    context.close()


def test_a_first_load_of_the_playground_is_small(bench: Bench) -> None:
    session = bench.desk.open()
    context = bench.desk.browser.new_context(base_url=bench.desk.url, storage_state=session.storage_state())
    session.close()
    page = context.new_page()
    watched = Watched(page)
    page.goto(PLAY, wait_until="networkidle")
    sizes = {kind: sum(size for _, one, size in watched.sizes if one == kind) for kind in ("script", "stylesheet")}
    assert len(watched.sizes) <= 10, watched.sizes
    assert 10 * 1024 < sizes["script"] <= 60 * 1024, sizes
    assert sizes["stylesheet"] <= 12 * 1024, sizes
    context.close()


def test_columns_are_asked_at_once_in_the_name_of_who_is_signed_in(bench: Bench, page: Page) -> None:
    bench.gateway.state.asked.clear()
    go(page, PLAY)
    page.keyboard.press("Control+Enter")
    first, second = page.locator("[data-column]").all()
    expect(first.locator("[data-out]")).to_contain_text("main/gpt-5-mini answers: hello")
    expect(second.locator("[data-out]")).to_contain_text("plain answers: hello")
    expect(first.locator("[data-state]")).to_have_text("done")
    expect(first.locator("[data-figure=tokens]")).to_have_text("21 → 9")
    expect(first.locator("[data-figure=first]")).to_have_text(re.compile("ms|s"))
    expect(first.locator("[data-trace]")).to_have_attribute("href", "/traces/" + "c" * 32)
    by_model = {one["model"]: one for one in bench.gateway.state.asked}
    assert by_model["main/gpt-5-mini"]["temperature"] == 0.2
    assert by_model["plain"]["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hello"},
    ]
    assert {one["as"] for one in by_model.values()} == {"Ada"}
    assert {one["tags"] for one in by_model.values()} == {"rondel, playground"}
    keys = {one["key"] for one in by_model.values()}
    assert len(keys) == 1
    assert not keys & {f"Bearer {bench.desk.house.secret}"}
    second.get_by_role("button", name="Compare with A").click()
    expect(second.locator("del")).to_contain_text("main/gpt-5-mini")
    expect(second.locator("ins")).to_contain_text("plain")
    assert "input=hello" in page.url


def test_a_stopped_column_hangs_up_and_the_others_go_on(bench: Bench, page: Page) -> None:
    go(page, "/playground?model=slow&model=slow&input=hello")
    page.keyboard.press("Control+Enter")
    first, second = page.locator("[data-column]").all()
    expect(second.locator("[data-out]")).to_contain_text("and and")
    before = bench.gateway.state.hung_up
    first.get_by_role("button", name="Stop", exact=True).click()
    expect(first.locator("[data-state]")).to_have_text("stopped")
    expect(second.locator("[data-state]")).to_have_text("answers")
    page.keyboard.press("Escape")
    expect(second.locator("[data-state]")).to_have_text("stopped")
    for _ in range(100):
        if bench.gateway.state.hung_up == before + 2:
            break
        page.wait_for_timeout(50)
    assert bench.gateway.state.hung_up == before + 2


def test_what_goes_wrong_is_said_in_its_column(page: Page) -> None:
    go(page, "/playground?model=broken&model=nobody&model=plain&prompt=&prompt=&prompt=support/nothing&input=hello")
    page.keyboard.press("Control+Enter")
    broken, nobody, unknown = page.locator("[data-column]").all()
    expect(broken.locator(".fault")).to_have_text("The provider hung up.")
    expect(nobody.locator(".fault")).to_contain_text("Did you mean 'plain'?")
    expect(unknown.locator(".fault")).to_contain_text("support/nothing")


def test_nothing_moves_while_an_answer_comes(page: Page) -> None:
    go(page, PLAY)
    where = """() => [...document.querySelectorAll("[data-column], .out, .figures")]
      .map((element) => JSON.stringify(element.getBoundingClientRect())).join()"""
    before = page.evaluate(where)
    page.keyboard.press("Control+Enter")
    for _ in range(8):
        page.wait_for_timeout(60)
        assert page.evaluate(where) == before


def test_a_column_is_added_and_its_free_text_becomes_a_prompt(bench: Bench, page: Page) -> None:
    go(page, PLAY)
    page.get_by_role("button", name="Column").first.click()
    third = page.locator("[data-column]").nth(2)
    expect(third).to_have_attribute("aria-label", "Column C")
    third.locator("[data-field=text]").fill("You are {{ mood }}.")
    third.get_by_role("button", name="Save prompt").click()
    made = page.locator("dialog[open]")
    made.get_by_label("Name").fill("tried/here")
    made.get_by_role("button", name="Save version").click()
    expect(third.locator("[data-field=prompt]")).to_have_value("tried/here@1")
    page.locator("summary", has_text="Variables").click()
    page.get_by_label("Variables").fill("mood=kind")
    bench.gateway.state.asked.clear()
    page.keyboard.press("Control+Enter")
    expect(third.locator("[data-state]")).to_have_text("done")
    sent = [one["messages"][0]["content"] for one in bench.gateway.state.asked]
    assert "You are kind." in sent


def store_trace(bench: Bench) -> str:
    """The trace that the answers of the fake gateway name; gives the id of its model span."""
    house = bench.desk.house
    now = house.services.clock.now()
    ids = Ids(house.services.clock)
    top = Span(
        trace_id="c" * 32,
        span_id=ids.span_id(),
        parent_id="",
        name="POST /v1/chat/completions",
        kind=SpanKind.GATEWAY,
        start=now,
        end=now,
        entry=Entry.ROOT,
    )
    call = replace(top, span_id=ids.span_id(), parent_id=top.span_id, kind=SpanKind.LLM, entry=Entry.INNER)
    house.services.traces.add(house.scope, [top, call])
    house.services.traces.flush()
    return call.span_id


def test_a_saved_answer_is_an_example_that_knows_its_trace_and_what_was_there_stays(bench: Bench, page: Page) -> None:
    span_id = store_trace(bench)
    go(page, PLAY)
    page.keyboard.press("Control+Enter")
    column = page.locator("[data-column]").first
    expect(column.locator("[data-state]")).to_have_text("done")
    expect(column.locator("[data-figure=cost]")).to_have_text("unknown")
    column.get_by_role("button", name="Save as dataset item").click()
    made = page.locator("dialog[open]")
    assert [one["id"] for one in Axe().run(page, options=RULES).response["violations"]] == []
    expect(made.get_by_label("Question")).to_have_value("hello")
    made.get_by_label("Dataset").fill("no name")
    made.get_by_role("button", name="Save example").click()
    expect(made.locator(".said")).to_contain_text("'no name' cannot name a dataset")
    made.get_by_label("Dataset").fill("support-golden")
    made.get_by_label("Right answer").fill("Good day.")
    made.get_by_role("button", name="Save example").click()
    link = column.locator("[data-kept]")
    expect(link).to_have_text("Kept in support-golden@3")
    house = bench.desk.house
    with house.services.rows.reading() as tx:
        version = house.services.datasets.get(tx, house.scope, "support-golden")
        examples = [one for _, one in house.services.datasets.examples(tx, house.scope, version)]
    assert (version.number, len(examples)) == (3, 61)
    last = examples[-1]
    assert (last.input, last.expected, last.trace_id) == ("hello", "Good day.", "c" * 32)
    assert (last.metadata["prompt"], last.metadata["span_id"]) == ("support/answer@1", span_id)
    assert last.metadata["output"] == "main/gpt-5-mini answers: hello – in good time."

    column.get_by_role("button", name="Save as dataset item").click()
    made.get_by_label("Dataset").fill("support-golden")
    made.get_by_label("Right answer").fill("Good day.")
    made.get_by_role("button", name="Save example").click()
    expect(made).to_have_count(0)
    expect(link).to_have_text("Kept in support-golden@3")
    link.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("support-golden")


def test_variables_are_kept_with_the_question(bench: Bench, page: Page) -> None:
    go(page, "/playground?model=plain&prompt=&text=You+are+{{ mood }}.&input=hello&variables=mood%3Dkind")
    page.keyboard.press("Control+Enter")
    column = page.locator("[data-column]").first
    expect(column.locator("[data-state]")).to_have_text("done")
    column.get_by_role("button", name="Save as dataset item").click()
    made = page.locator("dialog[open]")
    made.get_by_label("Dataset").fill("moods")
    made.get_by_role("button", name="Save example").click()
    expect(column.locator("[data-kept]")).to_have_text("Kept in moods@1")
    house = bench.desk.house
    with house.services.rows.reading() as tx:
        version = house.services.datasets.get(tx, house.scope, "moods")
        [(_, example)] = house.services.datasets.examples(tx, house.scope, version)
    assert example.input == {"mood": "kind", "messages": [{"role": "user", "content": "hello"}]}


def test_a_question_that_cannot_be_asked_is_not_copied_but_says_why(page: Page) -> None:
    go(page, "/playground?model=plain&prompt=support/nothing&input=hello")
    column = page.locator("[data-column]").first
    column.locator("summary").click()
    column.get_by_role("button", name="curl", exact=True).click()
    expect(page.locator("#toast")).to_contain_text("support/nothing")


@pytest.mark.parametrize(("form", "begins"), [("curl", "curl "), ("Python", "import os")])
def test_a_columns_question_is_copied_as_others_would_ask_it(bench: Bench, form: str, begins: str) -> None:
    context = bench.desk.open()
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=bench.desk.url)
    page = context.new_page()
    go(page, PLAY)
    column = page.locator("[data-column]").nth(1)
    column.locator("summary").click()
    column.get_by_role("button", name=form, exact=True).click()
    expect(page.locator("#toast")).to_have_text("Copied.")
    text = page.evaluate("navigator.clipboard.readText()")
    assert text.startswith(begins)
    for part in ("Be brief.", "hello", "plain"):
        assert part in text
    assert "sk-rondel" not in text
    context.close()
