"""`rondel data` over the API of an application in this process."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from rondel.audit.service import Audit
from rondel.clock import SystemClock
from rondel.datasets.api import routes
from rondel.datasets.commands import group
from rondel.datasets.models import Collected
from rondel.datasets.service import Datasets
from rondel.datasets.store import DatasetStore
from rondel.identity.api import Access
from rondel.identity.service import Identity
from rondel.identity.store import IdentityStore
from rondel.ids import Ids
from rondel.server.app import build
from rondel.storage.blobs.disk import DiskBlobs
from rondel.storage.models import Scope
from rondel.storage.rows.database import Database
from rondel.telemetry.models import TraceFilter
from tests.contract.registry.over import Over

Said = Callable[[str], str]


class HalfKnown:
    """As many traces as are asked for; of every second one the right answer is known."""

    def read(self, query: str, plain: TraceFilter) -> TraceFilter:
        del query
        return plain

    def collect(
        self, scope: Scope, chosen: TraceFilter, *, expected_score: str, accept_score: str, accept_at: float, limit: int
    ) -> Iterator[Collected]:
        del scope, chosen, expected_score, accept_score, accept_at
        for number in range(limit):
            yield Collected(f"{number:032x}", f"question {number}", "yes" if number % 2 else None, {})


@pytest.fixture
def said(memory: Database, audit: Audit, ids: Ids, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Said:
    """What a command prints."""
    datasets = Datasets(
        store=DatasetStore(), blobs=DiskBlobs(tmp_path / "blobs"), audit=audit, ids=ids, traces=HalfKnown()
    )
    identity = Identity(store=IdentityStore(), audit=audit, ids=ids, clock=SystemClock(), secret=b"s" * 32)
    with memory.transaction() as tx:
        admin = str(identity.first_start(tx, "shop", "production").secret)
    client = TestClient(build([routes(datasets, memory, Access(identity, memory))], version="0"))
    app = group(lambda: Over(client, admin))

    def run(line: str) -> str:
        app(line.split(), result_action="return_value", exit_on_error=False)
        return capsys.readouterr().out

    return run


@pytest.mark.parametrize(
    ("limit", "made", "note"),
    [
        (4, "has 4 examples", "2 of 4 examples have no expected answer."),
        (2, "has 2 examples", "1 of 2 examples has no expected answer."),
        (1, "has 1 example.", "No example has an expected answer."),
    ],
)
def test_examples_without_an_expected_answer_are_counted(said: Said, limit: int, made: str, note: str) -> None:
    told = said(f"from-traces seen --limit {limit}")
    assert made in told
    assert note in told
    assert said("show seen").count(note) == 1
