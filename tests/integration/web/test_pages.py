"""Every page over real services: empty, full, with hostile and with very long text."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from rondel.storage.ports import Columns
from rondel.testing.rows import memory_rows
from rondel.web.render import SECURITY, Renderer
from tests.integration.web import samples
from tests.integration.web.house import House, evaluations, furnish, open_house

LISTS = (
    "/",
    "/traces",
    "/releases",
    "/datasets",
    "/prompts",
    "/experiments",
    "/models",
    "/gateway",
    "/gateway/keys",
    "/playground",
    "/monitors",
    "/audit",
)
GATEWAY_DIALOGS = (
    "/gateway/route",
    "/gateway/connection",
    "/gateway/keys/new",
    "/gateway/keys/limits",
    "/gateway/keys/limits?owner=project",
    "/gateway/keys/budget",
    "/gateway/keys/team",
)
DIALOGS = ("/jump", "/jump/found?q=rel", "/keys", "/datasets/add?trace=" + "a" * 32, *GATEWAY_DIALOGS)


class Outline(HTMLParser):
    """What a page says about itself: ids, links, attributes that the policy forbids, headings."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: set[str] = set()
        self.forbidden: list[str] = []
        self.headings = 0
        self.scripts: list[str] = []
        self._in_script = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect."""
        self._in_script = tag == "script"
        self.headings += tag == "h1"
        for name, value in attrs:
            if name == "id" and value:
                self.ids.append(value)
            if name == "href" and value and value.startswith("/") and not value.startswith(("/static", "/api")):
                self.links.add(value)
            if name == "style" or name.startswith("on") or (value or "").strip().lower().startswith("javascript:"):
                self.forbidden.append(f"{tag} {name}")

    def handle_data(self, data: str) -> None:
        """Keep the text of scripts."""
        if self._in_script and data.strip():
            self.scripts.append(data)


def signed_in(house: House) -> TestClient:
    """A browser that has pasted the key."""
    client = TestClient(house.app, base_url="http://rondel.test", follow_redirects=False)
    answer = client.post("/sign-in", data={"key": house.secret, "next": "/traces"})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/traces"
    return client


def house_of(columns: Columns, folder: Path, text: str | None) -> House:
    """An installation: empty for None, else furnished with `text` in every place a person may write."""
    house = open_house(columns, memory_rows(), folder)
    if text is not None:
        kept = evaluations(text)
        fake = house.services.evaluations
        fake.evaluations, fake.answers, fake.comparisons = kept.evaluations, kept.answers, kept.comparisons  # pyright: ignore[reportAttributeAccessIssue]  the fake
        furnish(house, text=text, requests=60)
    return house


@pytest.fixture(scope="module")
def empty(columns: Columns, tmp_path_factory: pytest.TempPathFactory) -> House:
    """Nothing has happened yet."""
    return house_of(columns, tmp_path_factory.mktemp("empty"), None)


@pytest.fixture(scope="module", params=["", samples.HOSTILE, samples.LONG], ids=["plain", "hostile", "long"])
def full(request: pytest.FixtureRequest, columns: Columns, tmp_path_factory: pytest.TempPathFactory) -> House:
    """Everything is there."""
    return house_of(columns, tmp_path_factory.mktemp("full"), str(request.param))


def check(html: str) -> Outline:
    """What holds for every page."""
    outline = Outline(html)
    assert outline.forbidden == []
    assert len(outline.ids) == len(set(outline.ids)), "an id is used twice"
    assert "<script>alert" not in html
    assert "<img src=x" not in html
    assert all("dataset.theme" in script for script in outline.scripts)
    return outline


@pytest.mark.parametrize("path", LISTS)
def test_an_empty_page_says_one_sentence_and_the_command_that_fills_it(empty: House, path: str) -> None:
    answer = signed_in(empty).get(path)
    assert answer.status_code == 200
    assert check(answer.text).headings == 1
    if path not in {"/audit", "/gateway", "/playground"}:
        assert 'data-copy="rondel ' in answer.text


def crawl(client: TestClient) -> Iterator[tuple[str, str]]:
    """Every page that is reached by links, each once; of a kind of page at most six."""
    waiting, seen, kinds = [*LISTS, *DIALOGS, "/gateway/route?name=rich"], set[str](), dict[str, int]()
    while waiting:
        path = waiting.pop(0)
        kind = re.sub(r"[?].*|[^/]*[0-9@%][^/]*", "*", path)
        if path in seen or kinds.get(kind, 0) >= 6:
            continue
        seen.add(path)
        kinds[kind] = kinds.get(kind, 0) + 1
        answer = client.get(path)
        assert answer.status_code == 200, f"{path}: {answer.text[:300]}"
        yield path, answer.text
        waiting += sorted(Outline(answer.text).links - seen)


def test_every_link_leads_to_a_page_whatever_people_wrote(full: House) -> None:
    found = {path: check(html) for path, html in crawl(signed_in(full))}
    for start in (
        "/traces/",
        "/releases/rel_",
        "/datasets/support",
        "/prompts/support",
        "/experiments/",
        "/models/",
        "/monitors/",
        "/gateway/routes/",
    ):
        assert any(path.startswith(start) for path in found), f"no link leads to {start}"
    whole = [path for path in found if path not in {*DIALOGS, "/gateway/route?name=rich"}]
    assert all(found[path].headings == 1 for path in whole)


def test_a_page_needs_a_session_and_leads_back_after_the_sign_in(empty: House) -> None:
    client = TestClient(empty.app, follow_redirects=False)
    answer = client.get("/releases?x=1")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/sign-in?next=%2Freleases%3Fx%3D1"
    form = client.get(answer.headers["location"])
    assert 'value="/releases?x=1"' in form.text
    assert client.post("/sign-in", data={"key": "sk-rondel-wrong"}).status_code == 401


@pytest.mark.parametrize("where", ["https://evil.example/", "//evil.example", "/\\evil.example", "/sign-out", "x\r\ny"])
def test_the_sign_in_leads_nowhere_else(empty: House, where: str) -> None:
    client = TestClient(empty.app, follow_redirects=False)
    answer = client.post("/sign-in", data={"key": empty.secret, "next": where})
    assert answer.headers["location"] == "/"


def test_the_session_cookie_is_kept_from_scripts_and_other_sites(empty: House) -> None:
    client = TestClient(empty.app, follow_redirects=False)
    cookie = client.post("/sign-in", data={"key": empty.secret}).headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie


def test_another_site_can_neither_sign_in_nor_out(empty: House) -> None:
    client = signed_in(empty)
    foreign = {"origin": "https://evil.example"}
    assert client.post("/sign-out", headers=foreign).status_code == 403
    assert client.post("/sign-in", data={"key": empty.secret}, headers=foreign).status_code == 403
    assert client.get("/", headers={}).status_code == 200


def test_a_one_time_link_opens_the_console_once(empty: House) -> None:
    services = empty.services
    with services.rows.transaction() as tx:
        key = services.identity.keys(tx, empty.scope)[0]
        token = services.identity.open_link(tx, key.id)
    client = TestClient(empty.app, follow_redirects=False)
    assert client.get(f"/sign-in?token={token}").status_code == 303
    assert client.get("/").status_code == 200
    assert TestClient(empty.app, follow_redirects=False).get(f"/sign-in?token={token}").status_code == 401


def test_signing_out_ends_the_session(empty: House) -> None:
    client = signed_in(empty)
    cookies = dict(client.cookies)
    client.post("/sign-out")
    client.cookies.update(cookies)
    assert client.get("/").status_code == 303


def test_pages_carry_a_strict_policy_and_are_never_cached(empty: House) -> None:
    answer = signed_in(empty).get("/")
    for name, value in SECURITY.items():
        assert answer.headers[name] == value
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"


def test_what_is_not_there_is_said_in_words(empty: House) -> None:
    client = signed_in(empty)
    for path in (
        "/traces/" + "f" * 32,
        "/releases/nope",
        "/datasets/nope",
        "/prompts/nope",
        "/experiments/nope",
        "/models/nope",
        "/monitors/nope",
        "/gateway/routes/nope",
    ):
        answer = client.get(path)
        assert answer.status_code == 404, path
        assert "Traceback" not in answer.text
        check(answer.text)
    part = client.get("/traces/" + "f" * 32 + "/spans/1", headers={"hx-request": "true"})
    assert part.status_code == 404
    assert "<html" not in part.text


def test_a_search_that_cannot_be_read_says_so_and_keeps_the_page(full: House) -> None:
    answer = signed_in(full).get("/traces", params={"q": "nosuchfield:1"})
    assert answer.status_code == 200
    assert "nosuchfield" in answer.text
    assert 'role="alert"' in answer.text


def test_a_filter_swaps_the_list_alone_and_stays_in_the_address(full: House) -> None:
    client = signed_in(full)
    part = client.get("/traces?status=error&range=all", headers={"hx-request": "true"})
    assert "<html" not in part.text
    assert 'hx-swap-oob="true"' in part.text
    assert re.search(r'name="status" value="error" checked', part.text)
    assert "status is" in part.text


def test_older_and_newer_traces_are_found_from_a_trace(full: House) -> None:
    client = signed_in(full)
    ids = re.findall(r'data-id="([0-9a-f]{32})"', client.get("/traces?range=all").text)
    assert len(ids) > 10
    older = client.get(f"/traces/{ids[3]}/neighbour?which=older")
    assert older.headers["location"] == f"/traces/{ids[4]}"
    newer = client.get(f"/traces/{ids[3]}/neighbour?which=newer")
    assert newer.headers["location"] == f"/traces/{ids[2]}"
    assert client.get(f"/t/{ids[0]}").headers["location"] == f"/traces/{ids[0]}"


def test_static_files_are_kept_for_ever_under_their_version(empty: House) -> None:
    client = TestClient(empty.app)
    renderer = Renderer()
    answer = client.get(renderer.asset("app.css"))
    assert "immutable" in answer.headers["cache-control"]
    assert client.get("/static/app.css").headers["cache-control"] == "no-cache"
    assert client.get("/static/../render.py").status_code == 404
    assert client.get("/static/app.css", headers={"if-none-match": answer.headers["etag"]}).status_code == 304
