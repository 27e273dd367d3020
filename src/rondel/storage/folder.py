"""The data folder: where everything of one installation stands, and who owns it."""

import fcntl
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from rondel.errors import Conflict, Unavailable


@dataclass(frozen=True, slots=True)
class Folder:
    """Paths in the data folder. Nobody else composes them."""

    root: Path

    @property
    def rows(self) -> Path:
        """The SQLite file."""
        return self.root / "rows.db"

    @property
    def columns(self) -> Path:
        """chDB's folder."""
        return self.root / "columns"

    @property
    def blobs(self) -> Path:
        """Content-addressed files."""
        return self.root / "blobs"

    @property
    def spool(self) -> Path:
        """Records of requests that are not in the columns yet."""
        return self.root / "spool"

    @property
    def run(self) -> Path:
        """Sockets, pids and snapshots of the running processes."""
        return self.root / "run"

    @property
    def logs(self) -> Path:
        """One log a process."""
        return self.root / "logs"

    @property
    def running(self) -> Path:
        """What the supervisor of a running stack wrote down."""
        return self.run / "up.json"

    @property
    def local_key(self) -> Path:
        """The key of this machine's own commands."""
        return self.run / "local.json"

    @property
    def socket(self) -> Path:
        """The server's Unix socket."""
        return self.run / "server.sock"

    @property
    def jobs(self) -> Path:
        """The worker's SQLite file."""
        return self.root / "jobs.db"

    @property
    def work(self) -> Path:
        """What jobs write before it is a blob: checkpoints, files that are being made."""
        return self.root / "work"

    def waiting_bytes(self) -> int:
        """The size of what is in the spool; a segment that is taken meanwhile counts nothing."""
        sizes = 0
        for path in self.spool.glob("*.seg"):
            with suppress(FileNotFoundError):
                sizes += path.stat().st_size
        return sizes

    def prepare(self) -> None:
        """Make the folders; nobody but the owner may look into them.

        Raises:
            Unavailable: the file system does not let us.
        """
        try:
            for path in (self.root, self.blobs, self.spool, self.run, self.logs, self.work):
                path.mkdir(parents=True, exist_ok=True)
            self.root.chmod(0o700)
        except OSError as error:
            raise Unavailable(
                f"The data folder {str(self.root)!r} cannot be made ({error.strerror}: {error.filename!r}): "
                "choose another with --data or RONDEL_DATA."
            ) from error

    def secret(self, configured: str = "") -> bytes:
        """The installation's secret: as configured, else made once and kept in `secret` (mode 0600)."""
        if configured:
            return configured.encode()
        path = self.root / "secret"
        if not path.exists():
            self.root.mkdir(parents=True, exist_ok=True)
            draft = self.root / f".secret-{secrets.token_hex(4)}"
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_hex(32).encode())
            with suppress(FileExistsError):
                os.link(draft, path)  # whoever is first wins, and nobody reads half a secret
            draft.unlink()
        return path.read_bytes()

    def own(self) -> IO[str]:
        """Become the one server of this folder; hold the returned file as long as it runs.

        Raises:
            Conflict: another server owns it; the message says which process.
        """
        self.prepare()
        file = (self.root / "owner.lock").open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            owner = file.read().strip() or "another process"
            file.close()
            raise Conflict(
                f"The data folder {str(self.root)!r} is in use by {owner}: "
                "stop it with 'rondel down', or choose another folder."
            ) from error
        file.truncate(0)
        file.write(f"process {os.getpid()}")
        file.flush()
        return file
