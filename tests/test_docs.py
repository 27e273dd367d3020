"""README and docs tell what is there: settings, commands, events and plugins are all told, and every example holds."""

import ast
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from importlib.metadata import distribution
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, cast

import cyclopts
import pytest
import yaml
from msgspec import json

import rondel
from rondel.cli import main
from rondel.client.sdk import Client
from rondel.evaluation.ports import EVALUATORS
from rondel.events import Event
from rondel.gateway.configuring import check as check_configuration
from rondel.gateway.configuring import read as read_configuration
from rondel.gateway.litellm.commands import imports
from rondel.gateway.litellm.converting import convert
from rondel.governance.schemas import PolicyIn
from rondel.prompts.rules import check
from rondel.prompts.schemas import PromptIn
from rondel.releases.bundle import read_plan, read_release
from rondel.settings import described
from rondel.training.rules import read_recipe
from tests.pages import ROOT, Piece, arguments, blocks, commands, headings, inline, links, pages

GUIDES = ROOT / "docs" / "guide"
GUIDE_OF = {
    "telemetry": "traces",
    "registry": "models",
    "experiments": "training",
    "spend": "limits",
    "governance": "audit",
}
"""The guide of an area that is not called as the area is."""
PLACEHOLDER = "1"
"""A number is a text as well."""


def _all(of: Callable[..., Iterator[Piece]], *arguments: str) -> list[Piece]:
    return [piece for page in pages() for piece in of(page, *arguments)]


def _none(wrong: list[str]) -> None:
    assert not wrong, "\n" + "\n".join(wrong)


def _commands_of(app: cyclopts.App, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], set[str]]]:
    """Every command below `app`: how it is called, and all names that it goes by."""
    names: dict[int, list[str]] = {}
    for name in app:
        if not name.startswith("-"):
            names.setdefault(id(app[name]), []).append(name)
    for called in names.values():
        below = list(_commands_of(app[called[0]], (*path, called[0])))
        yield from below or [(path, set(called))]


def _told_in_guides() -> str:
    return " ".join(" ".join(path.read_text().split()) for path in sorted(GUIDES.glob("*.md")))


def test_the_base_install_has_the_size_that_is_told() -> None:
    page = ROOT / "docs" / "decisions" / "0004-locked-dependencies.md"
    told = re.search(r"distributions have (\d+) MB", page.read_text())
    assert told, f"{page.relative_to(ROOT)}:1: tells no size"
    lock = (ROOT / "requirements" / "base.txt").read_text()
    megabytes = sum(map(_size, re.findall(r"^([A-Za-z0-9][\w.-]*)", lock, re.MULTILINE))) / 1e6
    assert megabytes <= 700
    assert abs(megabytes - int(told[1])) < 30, f"{page.relative_to(ROOT)}:1: tells {told[1]} MB; it is {megabytes:.0f}"


def _size(name: str) -> int:
    """Bytes of an installed distribution, without bytecode."""
    found = [Path(str(file.locate())) for file in distribution(name).files or () if file.suffix != ".pyc"]
    return sum(path.stat().st_size for path in found if path.is_file())


def test_every_setting_is_told_with_its_default_and_meaning() -> None:
    told = (ROOT / "docs" / "settings.md").read_text()
    rows = [f"| `{name}` | {f'`{default}`' if default else ''} | {meaning} |" for name, default, meaning in described()]
    _none([f"docs/settings.md:1: has no row {row}" for row in rows if row not in told])


@pytest.mark.parametrize("group", [*main.GROUPS, ""])
def test_every_command_is_told_in_a_guide(group: str) -> None:
    told = _told_in_guides()
    app = cast("cyclopts.App", getattr(main, group)) if group else main.build()
    stack = ((("rondel",), {name}) for name in app if not name.startswith("-") and name not in main.GROUPS)
    found = _commands_of(app, ("rondel", group)) if group else stack
    missing = [(*path, min(names)) for path, names in found if not any(" ".join((*path, n)) in told for n in names)]
    _none([f"docs/guide: no guide names '{' '.join(command)}'" for command in missing])


def test_every_exit_code_is_told() -> None:
    told = (GUIDES / "cli.md").read_text()
    codes = {0, 1, 130, *main.EXIT_CODES.values()}
    _none([f"docs/guide/cli.md:1: says nothing of exit code {code}" for code in codes if f"| {code} |" not in told])


def _events() -> list[type[Event]]:
    for area in iter_modules(rondel.__path__):
        for word in ("models", "service"):
            name = f"rondel.{area.name}.{word}"
            if area.ispkg and find_spec(name):
                import_module(name)
    ours = [event for event in Event.__subclasses__() if event.__module__.startswith("rondel.")]
    return sorted(ours, key=lambda event: event.__name__)


@pytest.mark.parametrize("event", _events(), ids=lambda event: event.__name__)
def test_every_event_is_told_in_the_guide_of_its_area(event: type[Event]) -> None:
    area = event.__module__.split(".")[1]
    guide = GUIDES / f"{GUIDE_OF.get(area, area)}.md"
    assert guide.is_file(), f"{guide.relative_to(ROOT)}:1: is missing; it would tell of {event.__name__}"
    assert f"`{event.__name__}`" in guide.read_text(), f"{guide.relative_to(ROOT)}:1: does not tell of {event.__name__}"


def test_every_kind_of_plugin_and_every_plugin_of_ours_is_told() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    kinds: Mapping[str, Mapping[str, str]] = project["entry-points"]
    told = (GUIDES / "plugins.md").read_text()
    names = {name for kind, plugins in kinds.items() for name in (kind, *plugins)}
    _none([f"docs/guide/plugins.md:1: does not tell of {name}" for name in sorted(names) if f"`{name}`" not in told])


def test_every_link_leads_somewhere() -> None:
    wrong: list[str] = []
    for page in pages():
        for link in links(page):
            if "://" in link.text or link.text.startswith("mailto:"):
                continue
            file, _, part = link.text.partition("#")
            target = (page.parent / file).resolve() if file else page
            if not target.exists():
                wrong.append(f"{link.where}: leads to {file!r}, which is not there")
            elif part and target.suffix == ".md" and part not in headings(target):
                wrong.append(f"{link.where}: {target.name} has no heading {part!r}")
    _none(wrong)


def test_every_guide_stands_in_the_index() -> None:
    told = {link.text for link in links(GUIDES / "README.md")}
    _none([f"docs/guide/README.md:1: has no link to {guide.name}" for guide in GUIDES.glob("*.md")
           if guide.name not in {*told, "README.md"}])  # fmt: skip


def _refusal(app: cyclopts.App, command: str, *, is_inline: bool) -> str | None:
    """Why a command line cannot be run; None when it can. A sentence may name a command without its arguments."""
    try:
        words = arguments(command)
    except ValueError as error:
        return str(error)
    if is_inline and (not words or (len(words) == 1 and words[0] in main.GROUPS)):
        return None  # the program or a group is spoken of
    if words and words[-1] in app.help_flags:
        known = (*main.GROUPS, "GROUP")
        return None if len(words) == 1 or words[0] in known else f"there is no group {words[0]!r}"
    refused = None
    for filled in (words, [PLACEHOLDER if word.isupper() or "…" in word else word for word in words]):
        try:
            called = app.parse_args(filled, print_error=False, exit_on_error=False)[0]
        except cyclopts.MissingArgumentError as error:
            return None if is_inline else str(error)
        except cyclopts.CycloptsError as error:
            refused = " ".join(str(error).split())
            continue
        return "names a group and no command" if called == app.help_print else None
    return refused


def test_every_command_line_shown_can_be_called() -> None:
    app = main.build()
    shown = {
        piece: _refusal(app, piece.text, is_inline=piece.language == "inline") for piece in _all(commands, "rondel")
    }
    assert len(shown) > 100
    _none([f"{piece.where}: {piece.text!r}: {refused}" for piece, refused in shown.items() if refused])


def _suggestions() -> Iterator[Piece]:
    """Command lines in our own sentences and templates, up to the first value that is filled in."""
    quoted = re.compile(r"(?:^|[`'>])(rondel [a-z][^`'<{|\n]*)")
    for path in sorted((ROOT / "src" / "rondel").rglob("*.py")):
        tree = ast.parse(path.read_text())
        filled = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values[1:]}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in filled:
                for text in quoted.findall(node.value):
                    yield Piece(f"{path.relative_to(ROOT)}:{node.lineno}", "inline", text)
    for path in sorted((ROOT / "src" / "rondel").rglob("*.html")):
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            for text in quoted.findall(line):
                yield Piece(f"{path.relative_to(ROOT)}:{number}", "inline", text)


def test_every_command_that_is_suggested_can_be_called() -> None:
    app = main.build()
    suggested = {piece: re.split(r" > |   ", piece.text.strip())[0] for piece in _suggestions()}
    assert len(suggested) > 80
    refused = {piece: _refusal(app, command, is_inline=True) for piece, command in suggested.items()}
    _none([f"{piece.where}: {piece.text!r}: {why}" for piece, why in refused.items() if why])


def test_every_make_target_shown_is_there() -> None:
    there = {line.split(":")[0] for line in (ROOT / "Makefile").read_text().splitlines() if ":" in line}
    shown = [(piece, word) for piece in _all(commands, "make") for word in piece.text.split()[1:2]]
    assert shown
    _none([f"{piece.where}: there is no 'make {word}'" for piece, word in shown if word not in there])


SHOWN_PATH = re.compile(r"^([A-Z|]+) (/api/v1/[^?]*)")


def _routes() -> set[tuple[str, str]]:
    """Method and path of every route of the API, read from the decorators."""
    found = {("GET", "/api/v1/status"), ("GET", "/api/openapi.json")}
    source = ROOT / "src" / "rondel"
    for path in (*source.glob("*/api.py"), *source.glob("spend/*/api.py"), *source.glob("gateway/*/api.py")):
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        keywords = [word for call in calls if ast.unparse(call.func) == "APIRouter" for word in call.keywords]
        prefixes = [str(ast.literal_eval(word.value)) for word in keywords if word.arg == "prefix"] or [""]
        for call in calls:
            method = call.func.attr.upper() if isinstance(call.func, ast.Attribute) else ""
            if method in {"GET", "POST", "PUT", "DELETE"} and ast.unparse(call.func).startswith("router."):
                found |= {(method, prefix + str(ast.literal_eval(call.args[0]))) for prefix in prefixes}
    return found


def _shown_paths(text: str) -> Iterator[tuple[str, str]]:
    """What `GET|POST /api/v1/x-{a,b}` names: each method with each path."""
    if found := SHOWN_PATH.match(text):
        parts = re.split(r"\{([^{}]*,[^{}]*)\}", found[2].rstrip("/"))
        paths = ["".join(words) for words in product(*(part.split(",") for part in parts))]
        yield from product(found[1].split("|"), paths)


def _is_route(method: str, path: str) -> bool:
    shown = re.sub(r"\{[^}]*\}", "X", path)
    patterns = [re.sub(r"\\\{[^}]*:path\\\}", ".+", re.escape(known)) for verb, known in ROUTES if verb == method]
    return any(re.fullmatch(re.sub(r"\\\{[^}]*\\\}", "[^/]+", pattern), shown) for pattern in patterns)


ROUTES = _routes()


def test_every_path_of_the_api_shown_is_there() -> None:
    shown = [(piece.where, *one) for piece in _all(inline) for one in _shown_paths(piece.text)]
    assert len(shown) > 80
    _none([f"{where}: there is no {method} {path}" for where, method, path in shown if not _is_route(method, path)])


PYTHON = [piece for piece in _all(blocks) if piece.language in {"python", "py"}]


def _needs_a_server(code: str) -> bool:
    return any(word in code for word in ("Client(", "OpenAI(", "client.", "http://127.0.0.1"))


@pytest.mark.parametrize("piece", PYTHON, ids=lambda piece: piece.where)
def test_python_compiles_and_what_needs_no_server_runs(piece: Piece) -> None:
    tree = ast.parse(piece.text, piece.where)
    if _needs_a_server(piece.text):
        tree.body = [line for line in tree.body if isinstance(line, ast.Import | ast.ImportFrom)]
        if "rondel.client" in piece.text:
            client = Client("http://127.0.0.1:1", "sk-rondel-none")
            asked = [n for n in ast.walk(ast.parse(piece.text)) if isinstance(n, ast.Attribute) and _is_client(n.value)]
            _none([f"{piece.where}: Client has no {n.attr!r}" for n in asked if not hasattr(client, n.attr)])
    exec(compile(tree, piece.where, "exec"), {"__name__": "shown"})


def _is_client(node: ast.expr) -> bool:
    return ast.unparse(node).startswith("Client(") or (isinstance(node, ast.Name) and node.id == "client")


def _prompt(document: Any) -> None:
    check("shown", PromptIn.model_validate({"name": "shown", **document}).draft())


def _settings(document: Any) -> None:
    known = {name for name, _default, _meaning in described()}
    assert set(document) <= known, f"{sorted(set(document) - known)} are no settings"


def _evaluators(document: Any) -> None:
    for name, options in document.items():
        assert name == "parameters" or EVALUATORS.get(name)(**options)


def _configuration(document: Any) -> None:
    check_configuration(read_configuration("shown", json.encode(document).decode()))


def _litellm(document: Any) -> None:
    assert convert(document, {}, {"anthropic": frozenset(), "openai": frozenset(), "azure_openai": frozenset()}).notes


READERS: Mapping[str, Callable[[Any], object]] = {
    "trainer": read_recipe,
    "requirements": PolicyIn.model_validate,
    "route": read_release,
    "ladder": read_plan,
    "messages": _prompt,
    "connections": _configuration,
    "model_list": _litellm,
    "port": _settings,
    "columns": _settings,
    "rows": _settings,
    "regex": _evaluators,
}
"""A field, and the reader of the documents that have it."""


def test_the_import_from_litellm_prints_what_the_guide_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = list(blocks(GUIDES / "gateway.md"))
    config = next(piece.text for piece in shown if "model_list" in piece.text)
    printed = next(piece for piece in shown if piece.language == "text")
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text(config)
    imports()(["litellm", "config.yaml", "--out", "rondel-gateway.yaml"], result_action="return_value")
    assert capsys.readouterr().out == printed.text, printed.where
    document = read_configuration("rondel-gateway.yaml", Path("rondel-gateway.yaml").read_text())
    check_configuration(document)


@pytest.mark.parametrize(
    "piece", [p for p in _all(blocks) if p.language in {"yaml", "yml", "json", "toml"}], ids=lambda piece: piece.where
)
def test_documents_pass_their_reader(piece: Piece) -> None:
    if piece.language in {"json", "toml"}:
        json.decode(piece.text) if piece.language == "json" else tomllib.loads(piece.text)
        return
    document = yaml.safe_load(piece.text)
    reader = next((read for field, read in READERS.items() if field in document), None)
    assert reader is not None, f"{piece.where}: a document with {sorted(document)} is read by nobody"
    reader(document)
