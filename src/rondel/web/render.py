"""Views to HTML: the one place that knows the template engine, the static files and the headers of a page."""

import base64
import gzip
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from rondel.money import usd
from rondel.web import copies, formats, pictures
from rondel.web.icons import icon, mark

HERE = Path(__file__).parent
THEME_SCRIPT = (
    'document.documentElement.dataset.theme=localStorage.theme||(matchMedia("(prefers-color-scheme:dark)").matches?'
    '"dark":"light")'
)
"""The only inline script: the theme has to be known before the first paint. The policy names its hash."""

_SCRIPT_HASH = base64.b64encode(hashlib.sha256(THEME_SCRIPT.encode()).digest()).decode()
SECURITY = {
    "content-security-policy": (
        f"default-src 'none'; script-src 'self' 'sha256-{_SCRIPT_HASH}'; style-src 'self'; font-src 'self'; "
        "img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
}
"""Headers of every page. No style attribute and no inline handler exists, so neither has to be allowed."""

MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
}
SMALLEST_ZIPPED = 800
_NAMED = re.compile(rb'(from |url\(|import\()("[\w./-]+)"')


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file as it is sent; `zipped` is empty for what does not get smaller."""

    content: bytes
    zipped: bytes
    media_type: str


class StaticFiles(NamedTuple):
    """All of them by path, and the one version that their addresses carry."""

    files: dict[str, StaticFile]
    version: str


def read_static(folder: Path) -> StaticFiles:
    """Every file below `folder`; what scripts and style sheets name gets the version too, so all can be kept."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix in MEDIA_TYPES]
    version = hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()[:10]
    found: dict[str, StaticFile] = {}
    for path in paths:
        content = path.read_bytes()
        if path.parent == folder:
            content = _NAMED.sub(rb"\1\2?v=" + version.encode() + rb'"', content)
        zipped = b"" if path.suffix == ".woff2" else gzip.compress(content, 9)
        found[path.relative_to(folder).as_posix()] = StaticFile(content, zipped, MEDIA_TYPES[path.suffix])
    return StaticFiles(found, version)


def cited(text: str) -> Markup:
    """Text with its `[1]` set off as citations."""
    return Markup(re.sub(r"\[(\d{1,2})\]", r'<span class="cite">\1</span>', str(escape(text))))  # noqa: S704  escaped first


def part_of_url(text: str) -> str:
    """Text as one part of a path."""
    return quote(text, safe="")


def at_least(value: float, least: float) -> float:
    """So that a bar of no width is still seen."""
    return max(value, least)


GLOBALS: dict[str, Any] = {
    "icon": icon,
    "mark": mark,
    "bar": pictures.bar,
    "bars": pictures.bars,
    "confidence_sequence": pictures.confidence_sequence,
    "interval": pictures.interval,
    "theme_script": Markup(THEME_SCRIPT),  # noqa: S704  our own constant
}
FILTERS: dict[str, Any] = {
    "as_cli": copies.query_as_cli,
    "as_curl": copies.query_as_curl,
    "as_python": copies.query_as_python,
    "ago": formats.ago,
    "at_least": at_least,
    "brief": formats.brief,
    "cited": cited,
    "clock": formats.clock,
    "day": formats.day,
    "dollars": formats.dollars,
    "duration": formats.duration,
    "host": formats.host,
    "hour": formats.hour,
    "measure": formats.measure,
    "moment": formats.moment,
    "number": formats.number,
    "percent": formats.percent,
    "plural": formats.plural,
    "pretty": formats.pretty,
    "rate": formats.rate,
    "score": formats.score,
    "signed": formats.signed,
    "size": formats.size,
    "told": formats.told,
    "url": part_of_url,
    "usd": usd,
    "width": pictures.percent_of,
}


class Renderer:
    """Fills templates with typed views. Undefined names are errors and every text is escaped."""

    def __init__(self) -> None:
        self.static = read_static(HERE / "static")
        self._environment = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        functions: dict[str, Any] = self._environment.globals  # the engine's own type knows only its defaults
        functions.update(GLOBALS)
        functions["asset"] = self.asset
        self._environment.filters.update(FILTERS)

    def asset(self, name: str) -> str:
        """The address of a static file, with its version, so that it may be kept for ever.

        Raises:
            KeyError: there is no such file.
        """
        if name not in self.static.files:
            raise KeyError(name)
        return f"/static/{name}?v={self.static.version}"

    def html(self, template: str, context: Mapping[str, object]) -> str:
        """A template filled in."""
        return self._environment.get_template(template).render(context)

    def respond(
        self,
        request: Request,
        template: str,
        context: Mapping[str, object],
        *,
        status: int = 200,
    ) -> Response:
        """A page or a fragment, zipped if the browser can, never kept in a cache."""
        body = self.html(template, context).encode()
        sent = {**SECURITY, "cache-control": "no-store", "vary": "Accept-Encoding, HX-Request"}
        if len(body) > SMALLEST_ZIPPED and takes_gzip(request):
            body = gzip.compress(body, 5)
            sent["content-encoding"] = "gzip"
        return Response(body, status_code=status, media_type="text/html; charset=utf-8", headers=sent)

    def respond_static(self, request: Request, name: str) -> Response:
        """A static file; 404 for what is not one of ours."""
        file = self.static.files.get(name)
        if file is None:
            return Response("Not found", status_code=404, media_type="text/plain")
        headers = {"vary": "Accept-Encoding", "x-content-type-options": "nosniff", "etag": f'"{self.static.version}"'}
        is_versioned = request.query_params.get("v") == self.static.version
        headers["cache-control"] = "public, max-age=31536000, immutable" if is_versioned else "no-cache"
        if request.headers.get("if-none-match") == headers["etag"]:
            return Response(status_code=304, headers=headers)
        if file.zipped and takes_gzip(request):
            headers["content-encoding"] = "gzip"
            return Response(file.zipped, media_type=file.media_type, headers=headers)
        return Response(file.content, media_type=file.media_type, headers=headers)


def takes_gzip(request: Request) -> bool:
    """Whether the browser reads gzip."""
    return "gzip" in request.headers.get("accept-encoding", "")
