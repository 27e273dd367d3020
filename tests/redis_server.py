"""A redis-server of a test's own."""

import shutil
import subprocess
import time
from pathlib import Path

import redis

from tests.requirements import missing


class RedisServer:
    """It listens on a Unix socket in `folder`, and is started at once."""

    def __init__(self, folder: Path) -> None:
        found = shutil.which("redis-server") or shutil.which("valkey-server")
        if found is None:
            missing("redis", "there is no redis-server on this machine")
        socket = folder / "redis.sock"
        self.dsn = f"unix://{socket}"
        self._command = [found, "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(folder)]
        self.client = redis.Redis.from_url(self.dsn, socket_timeout=5, socket_connect_timeout=5)
        self.start()

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        for _ in range(500):
            try:
                self.client.ping()
            except redis.RedisError:
                time.sleep(0.01)
                continue
            return
        raise TimeoutError("redis-server does not answer")

    def stop(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()

    def content(self) -> bytes:
        """Everything that it holds."""
        return b"".join(self.client.dump(key) or b"" for key in self.client.keys("*"))
