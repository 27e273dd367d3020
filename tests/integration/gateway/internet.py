"""Hosts of others, by their real names: a proxy that answers itself, under a certificate of its own authority.

What HTTPS_PROXY and REQUESTS_CA_BUNDLE name is taken by the real client libraries as the way out; so they speak to
`secretmanager.googleapis.com` as they always do, and their bytes arrive here.
"""

import json
import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from tests.requirements import missing


class Request(NamedTuple):
    """What arrived; `host` is what the proxy was asked to reach, empty for a request to this server itself."""

    method: str
    host: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)


class Answer(NamedTuple):
    """What goes back."""

    body: object
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()


@dataclass
class Internet:
    """One server on a free port; `answer` says what comes back to a request."""

    folder: Path
    names: tuple[str, ...] = ()
    answer: Callable[[Request], Answer] = lambda _: Answer({}, 404)
    seen: list[Request] = field(default_factory=list[Request])
    port: int = 0

    @property
    def url(self) -> str:
        """Of the server itself."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def authority(self) -> Path:
        """The certificate to be trusted."""
        return self.folder / "cert.pem"

    def start(self) -> None:
        """Listen; with names, also for those behind TLS."""
        self._context = _certificate(self.folder, self.names) if self.names else None
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), _handler(self))
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()

    def secured(self, connection: Any) -> Any:
        """A proxied connection, as the host it was meant for."""
        assert self._context is not None
        return self._context.wrap_socket(connection, server_side=True)


def _certificate(folder: Path, names: tuple[str, ...]) -> ssl.SSLContext:
    if shutil.which("openssl") is None:
        missing("openssl", "no openssl on this machine")
    folder.mkdir(exist_ok=True)
    key, path = folder / "key.pem", folder / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", str(key), "-out", str(path), "-days", "2", "-subj", "/CN=tests"]
    hosts = ",".join(f"DNS:{name}" for name in names)
    subprocess.run([*command, "-addext", f"subjectAltName={hosts}"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path, key)
    return context


def _handler(internet: Internet) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        host = ""

        def do_CONNECT(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.host = self.path.partition(":")[0]
            self.connection = internet.secured(self.connection)
            self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb")
            self.close_connection = False

        def do_GET(self) -> None:
            length = int(self.headers.get("content-length", 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, self.host, self.path, headers, self.rfile.read(length))
            internet.seen.append(request)
            answer = internet.answer(request)
            body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
            self.send_response(answer.status)
            for name, value in (("content-type", "application/json"), *answer.headers):
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()

        do_POST = do_GET  # noqa: N815  http.server's name

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  http.server's name
            """Say nothing."""

    return Handler
