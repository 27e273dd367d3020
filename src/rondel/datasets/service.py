"""Keeping examples: packing rows into an immutable version, and reading, splitting and comparing versions."""

import builtins
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec

from rondel.audit.models import Acting
from rondel.audit.service import Audit
from rondel.datasets import rules
from rondel.datasets.models import (
    Dataset,
    DatasetDiff,
    DatasetVersion,
    DatasetVersionAdded,
    Example,
    IndexRow,
    Leak,
    Origin,
    Profile,
    Row,
)
from rondel.datasets.ports import SOURCES, Source, TraceSource
from rondel.datasets.store import DatasetStore
from rondel.errors import Conflict, Invalid, NotFound, did_you_mean
from rondel.events import announce
from rondel.ids import Ids
from rondel.plugins import Plugins
from rondel.storage.models import Scope
from rondel.storage.ports import Blobs, Tx
from rondel.telemetry.models import TraceFilter

SUFFIXES = {"jsonl": "jsonl", "ndjson": "jsonl", "csv": "csv", "parquet": "parquet", "pq": "parquet"}
NAME_LENGTH = 100


class Packed(NamedTuple):
    """Examples as a blob, not yet a version: made outside a transaction, so that a long import blocks nobody."""

    digest: str
    size: int
    splits: Mapping[str, int]
    duplicates: int


class Datasets:
    """Versions never change; equal content is the same version."""

    def __init__(
        self,
        *,
        store: DatasetStore,
        blobs: Blobs,
        audit: Audit,
        ids: Ids,
        traces: TraceSource | None = None,
        sources: Plugins[Source] = SOURCES,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._audit = audit
        self._ids = ids
        self._traces = traces
        self._sources = sources

    # Packing: no transaction

    def pack(self, rows: Iterable[Row]) -> Packed:
        """Write rows as one JSONL blob; an example that is there already (same input and expected) is left out.

        Raises:
            Invalid: a row cannot be kept, or there is none. Nothing stays behind then.
        """
        seen: set[bytes] = set()
        splits: dict[str, int] = {}
        duplicates = 0

        def lines() -> Iterator[bytes]:
            nonlocal duplicates
            for row in rows:
                one = rules.example(row)
                key = bytes.fromhex(one.id[3:])
                if key in seen:
                    duplicates += 1
                    continue
                seen.add(key)
                splits[one.split] = splits.get(one.split, 0) + 1
                yield msgspec.json.encode(one, order="sorted") + b"\n"
            if not seen:
                raise Invalid("There are no rows: a dataset version needs at least one example.")

        blob = self._blobs.put(lines())
        return Packed(blob.sha256, len(seen), splits, duplicates)

    def import_file(
        self,
        path: Path,
        *,
        name: str | None = None,
        format_: str | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Packed:
        """Read a JSONL, CSV or Parquet file; `name` is what error sentences call it, `format_` overrides its suffix.

        Raises:
            Invalid: the format is not known, or a row is wrong: the sentence names file, line and what instead.
        """
        shown = name or path.name
        suffix = Path(shown).suffix.removeprefix(".").lower()
        plugin = format_ or SUFFIXES.get(suffix, suffix)
        if not plugin:
            raise Invalid(f"{shown!r} has no suffix: name the format (jsonl, csv or parquet).")
        try:
            source = self._sources.get(plugin)(**(options or {}))
        except NotFound as error:
            known = [info.name for info in self._sources.list()]
            raise Invalid(f"{shown!r} cannot be read as {plugin!r}. {did_you_mean(plugin, known)}") from error
        except TypeError as error:
            raise Invalid(f"The format {plugin!r} does not have the options {', '.join(options or {})}.") from error
        return self.pack(source.rows(path, shown))

    def from_traces(
        self,
        scope: Scope,
        chosen: TraceFilter,
        *,
        query: str = "",
        expected_score: str = "expected",
        accept_score: str = "",
        accept_at: float = 1.0,
        limit: int = 10_000,
    ) -> Packed:
        """Collect traces into examples that keep their trace id; see `TraceSource.collect` for the expected value.

        `query` is a text in the filter language, added to `chosen`.

        Raises:
            Invalid: no trace matches, or the query is wrong.
        """
        if self._traces is None:
            raise Invalid("Traces cannot be collected here: this process has no telemetry.")
        collected = self._traces.collect(
            scope,
            self._traces.read(query, chosen) if query else chosen,
            expected_score=expected_score,
            accept_score=accept_score,
            accept_at=accept_at,
            limit=limit,
        )
        first = next(collected, None)
        if first is None:
            raise Invalid(
                "No trace matches, so there is nothing to collect.",
                hint="See what there is with 'rondel trace list'; a trace without its payload (capture) is not taken.",
            )
        return self.pack(
            Row(line, one.input, one.expected, one.metadata, "", one.trace_id)
            for line, one in enumerate(chain((first,), collected), start=1)
        )

    def pack_split(
        self, version: DatasetVersion, shares: Mapping[str, float], *, salt: str = "", move_leaks: bool = False
    ) -> Packed:
        """Every example of `version`, assigned to a split by the hash of its normalised input.

        An example stays in its split when others are added. With `move_leaks`, an example that is nearly the same as
        one of the first split joins it there, until no such pair is left between the first split and another.

        Raises:
            Invalid: the shares are not positive or do not sum to 1.
        """
        rules.check_shares(shares)
        assigned = {one.id: rules.split_of(one.input, shares, salt=salt) for one in self.all_examples(version)}
        if move_leaks:
            first = next(iter(shares))
            while moved := self._leaking(version, assigned, first):
                assigned.update(dict.fromkeys(moved, first))
        return self.pack(
            Row(position, one.input, one.expected, one.metadata, assigned[one.id], one.trace_id)
            for position, one in enumerate(self.all_examples(version), start=1)
        )

    def pack_after(self, newest: DatasetVersion | None, rows: Iterable[Row]) -> Packed:
        """The examples of a dataset's newest version, and `rows` after them.

        Raises:
            Invalid: a row cannot be kept.
        """
        kept = self.all_examples(newest) if newest else ()
        own = (
            Row(line, one.input, one.expected, one.metadata, one.split, one.trace_id)
            for line, one in enumerate(kept, start=1)
        )
        return self.pack(chain(own, rows))

    # Writing

    def create(self, tx: Tx, scope: Scope, actor: Acting, name: str, *, description: str = "") -> Dataset:
        """A name for versions; the one that has it already, if any.

        Raises:
            Invalid: the name is empty, too long, or holds '@' or white space.
        """
        if not name or len(name) > NAME_LENGTH or "@" in name or any(letter.isspace() for letter in name):
            raise Invalid(f"{name!r} cannot name a dataset: use 1 to {NAME_LENGTH} characters without '@' and spaces.")
        tx.lock(f"dataset {scope.project_id} {name}")
        if found := self._store.dataset(tx, scope, name):
            return found
        dataset = Dataset(self._ids.new("ds"), name, description, tx.now())
        self._store.add_dataset(tx, scope, dataset)
        self._audit.record(tx, scope, actor, "dataset.create", dataset.id, name=name)
        return dataset

    def add_version(
        self,
        tx: Tx,
        scope: Scope,
        actor: Acting,
        name: str,
        packed: Packed,
        *,
        origin: Origin = Origin.ROWS,
        source: str = "",
        parent_id: str | None = None,
    ) -> DatasetVersion:
        """Make packed examples the next version (or the newest itself, when equal); creates the dataset if need be."""
        dataset = self.create(tx, scope, actor, name)
        return self._add(tx, scope, actor, dataset, packed, origin, source, parent_id)

    def add_after(
        self, tx: Tx, scope: Scope, actor: Acting, name: str, packed: Packed, newest: DatasetVersion | None
    ) -> DatasetVersion:
        """What `pack_after` made ready; creates the dataset if need be.

        Raises:
            Conflict: the dataset has another newest version by now.
        """
        dataset = self.create(tx, scope, actor, name)
        found = self._store.version(tx, scope, dataset.id)
        if (found.id if found else None) != (newest.id if newest else None):
            raise Conflict(f"Dataset {name!r} got a new version meanwhile: add the examples again.")
        parent_id = newest.id if newest else None
        return self._add(tx, scope, actor, dataset, packed, Origin.ROWS, "", parent_id)

    def _add(
        self,
        tx: Tx,
        scope: Scope,
        actor: Acting,
        dataset: Dataset,
        packed: Packed,
        origin: Origin,
        source: str,
        parent_id: str | None,
    ) -> DatasetVersion:
        newest = self._store.version(tx, scope, dataset.id)
        if newest is not None and newest.digest == packed.digest:
            return newest
        version = DatasetVersion(
            id=self._ids.new("dv"),
            dataset_id=dataset.id,
            name=dataset.name,
            number=newest.number + 1 if newest else 1,
            digest=packed.digest,
            size=packed.size,
            splits=dict(packed.splits),
            origin=origin,
            source=source,
            parent_id=parent_id,
            duplicates=packed.duplicates,
            created_at=tx.now(),
            created_by=actor.id,
        )
        with self._blobs.open(packed.digest) as blob:
            self._store.add_version(tx, scope, version, _index(blob))
        self._audit.record(
            tx, scope, actor, "dataset.version", version.id, ref=version.ref, digest=version.digest, size=version.size
        )
        announce(
            tx,
            DatasetVersionAdded(
                project_id=scope.project_id,
                environment=scope.environment,
                dataset_id=dataset.id,
                version_id=version.id,
                name=dataset.name,
                number=version.number,
            ),
        )
        return version

    def split(
        self,
        tx: Tx,
        scope: Scope,
        actor: Acting,
        ref: str,
        shares: Mapping[str, float],
        *,
        salt: str = "",
        move_leaks: bool = False,
    ) -> DatasetVersion:
        """`pack_split` and `add_version` in one transaction: for versions small enough to hold up other writers."""
        version = self.get(tx, scope, ref)
        packed = self.pack_split(version, shares, salt=salt, move_leaks=move_leaks)
        return self.add_split(tx, scope, actor, version, packed, shares)

    def add_split(
        self,
        tx: Tx,
        scope: Scope,
        actor: Acting,
        version: DatasetVersion,
        packed: Packed,
        shares: Mapping[str, float],
    ) -> DatasetVersion:
        """The version that `pack_split` made ready."""
        shown = " ".join(f"{name}={share:g}" for name, share in shares.items())
        return self.add_version(
            tx, scope, actor, version.name, packed, origin=Origin.SPLIT, source=shown, parent_id=version.id
        )

    # Reading

    def list(self, tx: Tx, scope: Scope) -> builtins.list[Dataset]:
        """All datasets, by name."""
        return self._store.datasets(tx, scope)

    def versions(self, tx: Tx, scope: Scope, name: str) -> builtins.list[DatasetVersion]:
        """All versions, newest first; `NotFound` if there is no such dataset."""
        return self._store.versions(tx, scope, self._dataset(tx, scope, name).id)

    def get(self, tx: Tx, scope: Scope, ref: str) -> DatasetVersion:
        """By `name` (the newest version), `name@2`, or a version's id.

        Raises:
            NotFound: there is no such dataset or version; the sentence names the nearest.
        """
        if ref.startswith("dv_") and (version := self._store.version_by_id(tx, scope, ref)):
            return version
        name, at, number = ref.partition("@")
        dataset = self._dataset(tx, scope, name)
        if at and not (number.isdecimal() and len(number) < 10):
            raise Invalid(f"{ref!r} names no version: write {name}@{dataset.newest or 1}.")
        if version := self._store.version(tx, scope, dataset.id, int(number) if at else None):
            return version
        if not dataset.newest:
            raise NotFound(f"Dataset {name!r} has no version yet: import a file or collect traces into it.")
        raise NotFound(f"Dataset {name!r} has no version {number}: the newest is {dataset.newest}.")

    def newest(self, tx: Tx, scope: Scope, name: str) -> DatasetVersion | None:
        """The newest version of a dataset; None while there is none, or no such dataset."""
        dataset = self._store.dataset(tx, scope, name)
        return self._store.version(tx, scope, dataset.id) if dataset else None

    def examples(
        self,
        tx: Tx,
        scope: Scope,
        version: DatasetVersion,
        *,
        split: str | None = None,
        ids: Iterable[str] | None = None,
        after: int = -1,
        limit: int | None = None,
    ) -> Iterator[tuple[int, Example]]:
        """(position, example) in order, read one by one from the blob; `after` and `limit` make pages.

        Raises:
            NotFound: no example is in `split`, and others are in splits.
        """
        if split is not None and split not in version.splits:
            known = [name for name in version.splits if name]
            raise NotFound(f"{version.ref} has no split {split!r}. {did_you_mean(split, known)}")
        rows = self._store.index(tx, scope, version.id, split=split, ids=ids, after=after, limit=limit)
        with self._blobs.open(version.digest) as blob:
            for row in rows:
                blob.seek(row.offset)
                yield row.position, msgspec.json.decode(blob.read(row.length), type=Example)

    def all_examples(self, version: DatasetVersion) -> Iterator[Example]:
        """Every example, streamed from the blob without the database."""
        with self._blobs.open(version.digest) as blob:
            for line in blob:
                yield msgspec.json.decode(line, type=Example)

    def export(self, version: DatasetVersion) -> Iterator[bytes]:
        """The version as JSONL, line by line: what `import` reads."""
        with self._blobs.open(version.digest) as blob:
            yield from blob

    def leaks(self, version: DatasetVersion, *, threshold: float = 0.8) -> builtins.list[Leak]:
        """Pairs of examples in different splits that are nearly the same."""
        return self._leaks(version, None, threshold)

    def profile(self, version: DatasetVersion) -> Profile:
        """Lengths, splits, and the values of each expected field."""
        profiler = rules.Profiler()
        for one in self.all_examples(version):
            profiler.add(one)
        return profiler.finish()

    def schema(self, version: DatasetVersion, *, split: str | None = None) -> dict[str, object]:
        """The JSON schema that the expected values share (those of one split only, when named)."""
        return rules.schema_from_examples(
            one.expected for one in self.all_examples(version) if split is None or one.split == split
        )

    def diff(self, tx: Tx, scope: Scope, before: str, after: str) -> DatasetDiff:
        """What changed from one version to another, by example id."""
        old, new = self.get(tx, scope, before), self.get(tx, scope, after)
        return rules.diff(
            (old.ref, self._store.index(tx, scope, old.id)), (new.ref, self._store.index(tx, scope, new.id))
        )

    def of_trace(self, tx: Tx, scope: Scope, trace_id: str) -> builtins.list[tuple[str, str]]:
        """(version id, example id) of the examples that came from a trace."""
        return self._store.of_trace(tx, scope, trace_id)

    def _dataset(self, tx: Tx, scope: Scope, name: str) -> Dataset:
        if dataset := self._store.dataset(tx, scope, name):
            return dataset
        known = [one.name for one in self._store.datasets(tx, scope)]
        raise NotFound(f"There is no dataset {name!r}. {did_you_mean(name, known)}")

    def _leaking(self, version: DatasetVersion, assigned: Mapping[str, str], first: str) -> set[str]:
        pairs = self._leaks(version, assigned, 0.8)
        return {leak.b if leak.a_split == first else leak.a for leak in pairs if first in {leak.a_split, leak.b_split}}

    def _leaks(
        self, version: DatasetVersion, assigned: Mapping[str, str] | None, threshold: float
    ) -> builtins.list[Leak]:
        ids: builtins.list[str] = []
        splits: builtins.list[str] = []
        with self._blobs.open(version.digest) as blob:
            places: builtins.list[IndexRow] = []
            for row in _index(blob):
                places.append(row)
                ids.append(row.example_id)
                splits.append(row.split if assigned is None else assigned[row.example_id])

            def text(position: int) -> str:
                blob.seek(places[position].offset)
                return rules.text_of(msgspec.json.decode(blob.read(places[position].length), type=Example).input)

            return rules.leaks(ids, splits, text, threshold=threshold)


class _Head(msgspec.Struct):
    """The part of a line that the index needs; the rest is not built."""

    id: str
    split: str = ""
    trace_id: str | None = None


def _index(blob: BinaryIO) -> Iterator[IndexRow]:
    decoder = msgspec.json.Decoder(_Head)
    offset = 0
    for position, line in enumerate(blob):
        head = decoder.decode(line)
        yield IndexRow(position, head.id, head.split, head.trace_id, offset, len(line))
        offset += len(line)
