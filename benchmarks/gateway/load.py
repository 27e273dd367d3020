"""Load: wrk for requests, our own client for streams; and the CPU time of a process and its children."""

import asyncio
import json
import os
import re
import subprocess
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

STAMP = re.compile(rb"t=(\d+) ")
KEY = "sk-rondel-bench"
REPORT = """
done = function(s, l, r) io.write(string.format('{"work":%d,"seconds":%f,"p50_us":%f,"p99_us":%f,"errors":%d}\\n',
  s.requests, s.duration / 1e6, l:percentile(50), l:percentile(99),
  s.errors.connect + s.errors.read + s.errors.write + s.errors.timeout + s.errors.status)) end
"""


class Load(NamedTuple):
    """What was done: requests or pieces, in how long, how quickly, with how many errors."""

    work: int
    seconds: float
    p50_us: float
    p99_us: float
    errors: int


def family(pid: int) -> list[int]:
    """A process and all below it."""
    kids: list[int] = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            kids += [int(kid) for kid in (task / "children").read_text().split()]
    except OSError:
        return []
    return [pid, *(member for kid in kids for member in family(kid))]


def cpu_us(pid: int) -> float:
    """CPU time so far, in microseconds."""
    total = 0
    for member in family(pid):
        for path in Path(f"/proc/{member}/task").glob("*/schedstat"):
            try:
                total += int(path.read_text().split()[0])
            except OSError:
                continue
    return total / 1e3


def rss_mb(pid: int) -> float:
    """Resident memory, in MB."""
    pages = sum(int(Path(f"/proc/{member}/statm").read_text().split()[1]) for member in family(pid))
    return pages * os.sysconf("SC_PAGESIZE") / 2**20


def body(prompt: str, size: int, *, stream: bool = False) -> bytes:
    """A chat request whose prompt has about `size` bytes."""
    messages = [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": f"{prompt} . {'lorem ipsum ' * (size // 12)}"},
    ]
    told = {"model": "mock", "max_tokens": 64, "messages": messages, **({"stream": True} if stream else {})}
    return json.dumps(told).encode()


def requests(url: str, *, connections: int, seconds: float, size: int) -> Load:
    """Closed loop of `connections` connections."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(f'wrk.method="POST"\nwrk.body={json.dumps(body("hello", size).decode())}\n')
        script.write(
            f'wrk.headers["authorization"]="Bearer {KEY}"\nwrk.headers["content-type"]="application/json"\n{REPORT}'
        )
        script.flush()
        command = [
            "wrk",
            "-t1",
            f"-c{connections}",
            f"-d{max(1, round(seconds))}s",
            "--timeout",
            "20s",
            "-s",
            script.name,
            url,
        ]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return Load(**json.loads(out.strip().splitlines()[-1]))


async def streams(
    host: str, port: int, path: str, *, streams: int, chunks: int, interval_ms: float, seconds: float
) -> Load:
    """Keep `streams` streams open; times are those that pieces were under way."""
    request = body(f"@mock chunks={chunks} interval_ms={interval_ms:g} ", 0, stream=True)
    head = f"POST {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {KEY}\r\ncontent-type: application/json\r\n"
    data = f"{head}content-length: {len(request)}\r\n\r\n".encode() + request
    ways: list[float] = []
    counted = [0, 0]
    begun = time.monotonic()

    async def one() -> None:
        reader, writer = await asyncio.open_connection(host, port, limit=2**20)
        while time.monotonic() < begun + seconds:
            writer.write(data)
            got, tail = 0, b""
            while not tail.endswith(b"0\r\n\r\n"):
                piece = await reader.read(65536)
                now = time.monotonic_ns()
                if not piece:
                    counted[1] += 1
                    return
                got += piece.count(b"data: {")
                ways.extend((now - int(stamp)) / 1e3 for stamp in STAMP.findall(piece))
                tail = (tail + piece)[-64:]
            counted[0] += got
            counted[1] += got < chunks * 0.98  # an event may be cut in two by a read
        writer.close()

    await asyncio.gather(*(one() for _ in range(streams)))
    ways.sort()
    p50, p99 = (ways[int(len(ways) * share)] if ways else 0.0 for share in (0.5, 0.99))
    return Load(counted[0], time.monotonic() - begun, p50, p99, counted[1])
