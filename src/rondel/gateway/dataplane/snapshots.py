"""Keeps a worker's snapshot fresh: from disk at the start, then from the server, which answers as soon as it
changes."""

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import httptools
import msgspec
import structlog

from rondel.gateway.dataplane.secrets import Known, Secrets
from rondel.gateway.models import Snapshot

RETRY_S = 0.5
ANSWER_S = 60.0
"""The server answers a long poll well before this."""

log = structlog.get_logger()
_decode = msgspec.json.Decoder(Snapshot).decode


class Snapshots:
    """One worker's copy, `snapshot.json` in the folder of running processes, replaced as a whole."""

    def __init__(
        self,
        *,
        path: Path,
        socket: Path,
        key: str,
        worker: int,
        secrets: Secrets,
        apply: Callable[[Snapshot, Mapping[str, Known]], list[str]],
    ) -> None:
        self._path, self._socket, self._key, self._worker = path, socket, key, worker
        self._secrets, self._apply = secrets, apply
        self._snapshot: Snapshot | None = None
        self._version = -1

    async def load(self) -> bool:
        """Apply the copy on disk, if there is one that can be read."""
        try:
            await self._take(self._path.read_bytes())
        except FileNotFoundError:
            return False
        except (OSError, msgspec.DecodeError, ValueError) as error:
            log.warning("snapshot on disk not used", reason=str(error))
            return False
        return True

    async def follow(self) -> None:
        """Poll the server for ever; while it does not answer the last snapshot stays in force."""
        was_down = False
        while True:
            try:
                body = await asyncio.wait_for(self._poll(), ANSWER_S)
                was_down = False
                if body is not None:
                    await self._take(body)
                    self._save(body)
            except (OSError, TimeoutError, httptools.HttpParserError, msgspec.DecodeError, ValueError) as error:
                if not was_down:
                    log.info("server does not give a snapshot", reason=str(error) or type(error).__name__)
                was_down = True
                await asyncio.sleep(RETRY_S)

    def again(self) -> None:
        """A secret is another: apply the snapshot with it."""
        if self._snapshot is not None:
            self._use(self._snapshot)

    async def _take(self, body: bytes) -> None:
        snapshot = _decode(body)
        await self._secrets.want(snapshot)
        self._use(snapshot)
        self._snapshot, self._version = snapshot, snapshot.version

    def _use(self, snapshot: Snapshot) -> None:
        problems = self._apply(snapshot, self._secrets.known())
        log.info("snapshot applied", version=snapshot.version, routes=len(snapshot.routes), keys=len(snapshot.keys))
        for problem in problems:
            log.warning("part of the snapshot does not work", problem=problem)

    def _save(self, body: bytes) -> None:
        new = self._path.with_name(f"{self._path.name}.{self._worker}")
        try:
            file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(file, "wb") as out:
                out.write(body)
                out.flush()
                os.fsync(out.fileno())
            new.replace(self._path)
        except OSError as error:
            log.warning("snapshot not kept on disk", reason=str(error))

    async def _poll(self) -> bytes | None:
        """The next snapshot; None when nothing has changed for a while."""
        reader, writer = await asyncio.open_unix_connection(str(self._socket))
        try:
            line = f"GET /internal/snapshot?after={self._version} HTTP/1.1\r\n"
            headers = f"host: rondel\r\nconnection: close\r\nauthorization: Bearer {self._key}\r\n\r\n"
            writer.write((line + headers).encode())
            answer = _Collected()
            while not answer.is_whole and (data := await reader.read(1 << 16)):
                answer.parser.feed_data(data)
        finally:
            writer.close()
        if not answer.is_whole:
            raise OSError("the server closed the connection")
        if answer.status == 204:
            return None
        if answer.status != 200:
            raise OSError(f"the server answered with status {answer.status}")
        return b"".join(answer.parts)


class _Collected:
    """An HTTP answer, gathered."""

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.parts: list[bytes] = []
        self.status = 0
        self.is_whole = False

    def on_headers_complete(self) -> None:
        self.status = self.parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self.parts.append(body)

    def on_message_complete(self) -> None:
        self.is_whole = True
