"""Columns for tests: the real engine on a temporary folder, and traces over it."""

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from rondel.audit.service import Audit
from rondel.audit.signing import Signer
from rondel.audit.store import AuditStore
from rondel.clock import Clock, SystemClock
from rondel.ids import Ids
from rondel.spend.ports import OwnPrices, PriceBooks
from rondel.storage.columns.chdb import open_chdb
from rondel.storage.ports import Columns, Rows
from rondel.telemetry.figures import Figures
from rondel.telemetry.intake import WAITING_LIMIT, Intake
from rondel.telemetry.positions import Positions
from rondel.telemetry.repricing import Repricing
from rondel.telemetry.service import Traces
from rondel.telemetry.spool.drain import BATCH, Charging, Drain
from rondel.telemetry.store import Store


@contextmanager
def temporary_columns() -> Generator[Columns]:
    """chDB on a folder of its own. One folder a process: start it once, and keep tests apart by their projects."""
    with tempfile.TemporaryDirectory(prefix="rondel-columns-") as folder:
        columns = open_chdb(Path(folder) / "columns")
        try:
            yield columns
        finally:
            columns.close()


def traces_over(
    columns: Columns,
    rows: Rows,
    spool: Path,
    clock: Clock,
    prices: PriceBooks | None = None,
    *,
    batch: int = BATCH,
    waiting_limit: int = WAITING_LIMIT,
    charge: Charging | None = None,
) -> Traces:
    """A `Traces` as the server has it, with its tables made."""
    store, positions = Store(columns), Positions()
    intake = Intake(store, clock, waiting_limit=waiting_limit)
    book = prices or OwnPrices({})
    spool.mkdir(parents=True, exist_ok=True)
    traces = Traces(
        store=store,
        figures=Figures(columns),
        repricing=Repricing(columns),
        intake=intake,
        positions=positions,
        rows=rows,
        prices=book,
        audit=Audit(store=AuditStore(), signer=Signer(b"a secret for tests")),
        ids=Ids(SystemClock()),
        clock=clock,
        drain=Drain(
            spool,
            rows=rows,
            positions=positions,
            intake=intake,
            prices=book,
            clock=clock,
            batch=batch,
            charge=charge,
        ),
    )
    traces.prepare()
    return traces
