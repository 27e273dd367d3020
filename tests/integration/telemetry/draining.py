"""A process that owns a spool and the columns, to be killed: drains, takes spans in, and tells what it acknowledged.

Usage: draining.py FOLDER work|count. `work` goes on until it is killed; `count` drains once and prints what is stored.
"""

import json
import sys
import threading
import time
from pathlib import Path

from rondel.clock import SystemClock
from rondel.storage.columns.chdb import open_chdb
from rondel.storage.models import Scope
from rondel.storage.rows.database import connect
from rondel.storage.rows.migrate import migrate
from rondel.testing.columns import traces_over

SCOPE = Scope("prj_killed", "production")


def main(folder: Path, what: str) -> None:
    """See the top."""
    clock = SystemClock()
    rows = connect(f"sqlite:///{folder / 'rows.db'}", clock)
    migrate(rows)
    columns = open_chdb(folder / "columns")
    # Many small batches: there is always one under way.
    traces = traces_over(columns, rows, folder / "spool", clock, batch=7)
    if what == "count":
        traces.drain()
        sql = "SELECT trace_id, span_id, count() FROM spans GROUP BY trace_id, span_id"
        sys.stdout.write(json.dumps([[str(t), str(s), n] for t, s, n in columns.query(sql).rows]))
        columns.close()
        return
    say("ready")

    def take_in() -> None:
        number = time.monotonic_ns() % 2**60
        while True:
            number += 1
            begun = time.time_ns()
            span = {
                "traceId": f"{number:032x}",
                "spanId": f"{number:016x}",
                "name": "sent",
                "startTimeUnixNano": str(begun),
                "endTimeUnixNano": str(begun + 1),
            }
            body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode()
            traces.ingest_otlp(SCOPE, body, "application/json")
            say(f"acknowledged {number:032x}")

    threading.Thread(target=take_in, daemon=True).start()
    while True:
        traces.drain()


def say(line: str) -> None:
    """One line, handed to the kernel at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
