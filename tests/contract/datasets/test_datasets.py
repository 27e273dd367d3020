"""Datasets on every database."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from rondel.audit.service import Audit
from rondel.datasets.models import Collected, DatasetVersion, Origin, Row
from rondel.datasets.service import Datasets
from rondel.datasets.store import DatasetStore
from rondel.errors import Conflict, Invalid, NotFound
from rondel.identity.models import Actor
from rondel.ids import Ids
from rondel.storage.blobs.disk import DiskBlobs
from rondel.storage.models import Scope
from rondel.storage.rows.database import Database
from rondel.telemetry.models import TraceFilter


class KeptTraces:
    """Traces that are there already."""

    def read(self, query: str, plain: TraceFilter) -> TraceFilter:
        raise Invalid(f"{query!r} names no field.") if "?" in query else AssertionError(plain)

    def collect(
        self, scope: Scope, chosen: TraceFilter, *, expected_score: str, accept_score: str, accept_at: float, limit: int
    ) -> Iterator[Collected]:
        del scope, chosen, accept_score, accept_at
        for number in range(min(3, limit)):
            yield Collected(f"{number:032x}", f"question {number}", expected_score, {"route": "support"})


@pytest.fixture
def datasets(audit: Audit, ids: Ids, tmp_path: Path) -> Datasets:
    blobs = DiskBlobs(tmp_path / "blobs")
    return Datasets(store=DatasetStore(), blobs=blobs, audit=audit, ids=ids, traces=KeptTraces())


def rows_of(*inputs: str, **more: object) -> list[Row]:
    return [Row(line, text, {"n": len(text)}, dict(more)) for line, text in enumerate(inputs, start=1)]


def added(
    rows: Database, datasets: Datasets, scope: Scope, actor: Actor, content: list[Row], name: str = "faq"
) -> DatasetVersion:
    packed = datasets.pack(content)
    with rows.transaction() as tx:
        return datasets.add_version(tx, scope, actor, name, packed)


def test_a_version_is_read_back_whole_and_in_pages(
    rows: Database, datasets: Datasets, scope: Scope, actor: Actor
) -> None:
    version = added(rows, datasets, scope, actor, rows_of("a", "bb", "ccc", "bb"))
    assert (version.number, version.size, version.duplicates, version.ref) == (1, 3, 1, "faq@1")
    with rows.reading() as tx:
        assert datasets.get(tx, scope, "faq") == datasets.get(tx, scope, version.id) == version
        assert [(p, e.input) for p, e in datasets.examples(tx, scope, version)] == [(0, "a"), (1, "bb"), (2, "ccc")]
        page = list(datasets.examples(tx, scope, version, after=0, limit=1))
        assert [(p, e.input, e.expected) for p, e in page] == [(1, "bb", {"n": 2})]
        [(_, found)] = datasets.examples(tx, scope, version, ids=[page[0][1].id])
        assert found == page[0][1]
    assert [json.loads(line)["input"] for line in datasets.export(version)] == ["a", "bb", "ccc"]


def test_equal_content_is_the_same_version(rows: Database, datasets: Datasets, scope: Scope, actor: Actor) -> None:
    first = added(rows, datasets, scope, actor, rows_of("a"))
    assert added(rows, datasets, scope, actor, rows_of("a")) == first
    second = added(rows, datasets, scope, actor, rows_of("a", "b"))
    assert second.number == 2
    with rows.reading() as tx:
        assert datasets.versions(tx, scope, "faq") == [second, first]
        assert datasets.get(tx, scope, "faq@1") == first
        changed = datasets.diff(tx, scope, "faq@1", "faq@2")
        assert (len(changed.added), changed.removed, changed.same) == (1, (), 1)
        [dataset] = datasets.list(tx, scope)
        assert dataset.newest == 2


def test_a_bad_row_leaves_nothing_behind(
    rows: Database, datasets: Datasets, scope: Scope, actor: Actor, tmp_path: Path
) -> None:
    with pytest.raises(Invalid, match="at least one example"):
        datasets.pack([])
    path = tmp_path / "faq.jsonl"
    path.write_text('{"input": "a"}\n{"inptu": "b"}\n')
    with pytest.raises(Invalid, match=r"faq\.jsonl line 2"):
        datasets.import_file(path)
    assert [file for file in (tmp_path / "blobs").rglob("*") if file.is_file()] == []
    with rows.reading() as tx:
        assert datasets.list(tx, scope) == []
    del actor


def test_files_are_read_by_their_suffix(datasets: Datasets, tmp_path: Path) -> None:
    path = tmp_path / "upload"
    path.write_text("input,expected\nhi,yes\n")
    assert datasets.import_file(path, name="faq.CSV").size == 1
    assert datasets.import_file(path, format_="csv", options={"input": "expected", "expected": "input"}).size == 1
    for name, says in (("faq.xlsx", "cannot be read as 'xlsx'"), ("faq", "has no suffix")):
        with pytest.raises(Invalid, match=says):
            datasets.import_file(path, name=name)
    with pytest.raises(Invalid, match="options colour"):
        datasets.import_file(path, format_="csv", options={"colour": "red"})


def test_a_split_is_a_new_version_that_stays_when_rows_are_added(
    rows: Database, datasets: Datasets, scope: Scope, actor: Actor
) -> None:
    shares = {"train": 0.7, "test": 0.3}
    texts = [f"message number {n} about {n * 37}" for n in range(200)]
    added(rows, datasets, scope, actor, rows_of(*texts))
    with rows.transaction() as tx:
        one = datasets.split(tx, scope, actor, "faq", shares)
    added(rows, datasets, scope, actor, rows_of(*texts, "one more message", "and another"))
    with rows.transaction() as tx:
        two = datasets.split(tx, scope, actor, "faq", shares)
        assert one.origin is Origin.SPLIT
        assert one.parent_id is not None
        before = {e.id: e.split for _, e in datasets.examples(tx, scope, one)}
        after = {e.id: e.split for _, e in datasets.examples(tx, scope, two)}
        assert before.items() <= after.items()
        assert one.splits == {s: list(before.values()).count(s) for s in ("train", "test")}
        test = [e.split for _, e in datasets.examples(tx, scope, two, split="test")]
        assert set(test) == {"test"}
        with pytest.raises(NotFound, match="Did you mean 'test'"):
            list(datasets.examples(tx, scope, two, split="tset"))


def test_near_duplicates_between_splits_are_reported_and_can_be_moved(
    rows: Database, datasets: Datasets, scope: Scope, actor: Actor
) -> None:
    texts = [f"where is the parcel number {n} that i ordered on the {n}th of last month" for n in range(40)]
    version = added(rows, datasets, scope, actor, rows_of(*texts, *(f"{text} please" for text in texts)))
    shares = {"train": 0.5, "test": 0.5}
    with rows.transaction() as tx:
        leaking = datasets.split(tx, scope, actor, version.ref, shares)
        clean = datasets.split(tx, scope, actor, version.ref, shares, move_leaks=True)
    found = datasets.leaks(leaking)
    assert found
    assert all(leak.similarity >= 0.8 and leak.a_split != leak.b_split for leak in found)
    assert datasets.leaks(clean) == []


def test_no_trace_is_no_version(datasets: Datasets, scope: Scope) -> None:
    with pytest.raises(Invalid, match="No trace matches"):
        datasets.from_traces(scope, TraceFilter(), limit=0)


def test_traces_become_examples_that_know_where_they_came_from(
    rows: Database, datasets: Datasets, scope: Scope, actor: Actor
) -> None:
    packed = datasets.from_traces(scope, TraceFilter(), expected_score="label", limit=2)
    with rows.transaction() as tx:
        version = datasets.add_version(tx, scope, actor, "live", packed, origin=Origin.TRACES, source="route support")
    with rows.reading() as tx:
        examples = [e for _, e in datasets.examples(tx, scope, version)]
        assert [(e.input, e.expected, e.trace_id) for e in examples] == [
            ("question 0", "label", f"{0:032x}"),
            ("question 1", "label", f"{1:032x}"),
        ]
        assert datasets.of_trace(tx, scope, f"{1:032x}") == [(version.id, examples[1].id)]


def test_every_write_is_audited_and_nothing_crosses_a_scope(
    rows: Database, datasets: Datasets, audit: Audit, scope: Scope, actor: Actor
) -> None:
    version = added(rows, datasets, scope, actor, rows_of("a"))
    with rows.reading() as tx:
        assert [entry.action for entry in audit.page(tx, scope)] == ["dataset.version", "dataset.create"]
        for other in (Scope("prj_other", scope.environment), Scope(scope.project_id, "staging")):
            assert datasets.list(tx, other) == []
            assert list(datasets.examples(tx, other, version)) == []
            for ref in ("faq", version.id):
                with pytest.raises(NotFound):
                    datasets.get(tx, other, ref)


@pytest.mark.parametrize(
    ("ref", "says"),
    [("fqa", "Did you mean 'faq'?"), ("faq@7", "has no version 7: the newest is 1"), ("faq@x", "names no version")],
)
def test_what_is_not_there_is_named(
    rows: Database, datasets: Datasets, scope: Scope, actor: Actor, ref: str, says: str
) -> None:
    added(rows, datasets, scope, actor, rows_of("a"))
    with rows.reading() as tx, pytest.raises((NotFound, Invalid)) as caught:
        datasets.get(tx, scope, ref)
    assert says in caught.value.message


def test_profile_and_schema_tell_what_is_in_a_version(
    rows: Database, datasets: Datasets, scope: Scope, actor: Actor
) -> None:
    version = added(rows, datasets, scope, actor, rows_of("a", "bb", "cc", "ccc"))
    profile = datasets.profile(version)
    assert (profile.size, profile.fields[0].name, profile.fields[0].values["2"]) == (4, "n", 2)
    properties = datasets.schema(version)["properties"]
    assert isinstance(properties, Mapping)
    assert properties["n"] == {"type": "integer"}


def test_examples_are_put_after_those_that_are_there(
    rows: Database, datasets: Datasets, scope: Scope, actor: Actor
) -> None:
    first = added(rows, datasets, scope, actor, rows_of("a", "bb", note="kept"))
    row = Row(1, "ccc", "right", {"span_id": "s1"}, "", "c" * 32)
    packed = datasets.pack_after(first, [row])
    with rows.transaction() as tx:
        second = datasets.add_after(tx, scope, actor, "faq", packed, first)
    assert (second.number, second.size, second.parent_id) == (2, 3, first.id)
    before, after = list(datasets.all_examples(first)), list(datasets.all_examples(second))
    assert after[:2] == before
    assert (after[2].input, after[2].trace_id, after[2].metadata) == ("ccc", "c" * 32, {"span_id": "s1"})
    again = datasets.pack_after(second, [row])
    with rows.transaction() as tx:
        assert datasets.add_after(tx, scope, actor, "faq", again, second) == second, "it is there already"


def test_a_dataset_that_is_not_there_is_made_by_its_first_example(
    rows: Database, datasets: Datasets, scope: Scope, actor: Actor
) -> None:
    with rows.transaction() as tx:
        assert datasets.newest(tx, scope, "fresh") is None
        version = datasets.add_after(tx, scope, actor, "fresh", datasets.pack_after(None, rows_of("a")), None)
        assert datasets.newest(tx, scope, "fresh") == version
    assert (version.ref, version.parent_id) == ("fresh@1", None)


def test_nothing_that_came_meanwhile_is_lost(rows: Database, datasets: Datasets, scope: Scope, actor: Actor) -> None:
    first = added(rows, datasets, scope, actor, rows_of("a"))
    packed = datasets.pack_after(first, rows_of("b"))
    added(rows, datasets, scope, actor, rows_of("a", "c"))
    with rows.transaction() as tx, pytest.raises(Conflict, match="got a new version meanwhile"):
        datasets.add_after(tx, scope, actor, "faq", packed, first)
