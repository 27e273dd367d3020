"""`/api/v1/datasets`, and versions, examples, imports, splits, leaks and diffs beside it: names may hold slashes."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from pydantic import JsonValue

from rondel.datasets.models import DatasetVersion, Example, Origin
from rondel.datasets.schemas import (
    DatasetDiffOut,
    DatasetOut,
    DatasetVersionOut,
    ExampleOut,
    ExamplePageOut,
    FromTracesIn,
    LeakOut,
    LeaksOut,
    ProfileOut,
    RowsIn,
    SplitIn,
)
from rondel.datasets.service import Datasets
from rondel.errors import Invalid, TooLarge
from rondel.identity.api import Access
from rondel.identity.models import Caller, Role
from rondel.storage.ports import Rows
from rondel.telemetry.models import TraceFilter

IMPORT_LIMIT = 4 * 1024**3
"""Bytes of an imported file."""


def routes(datasets: Datasets, rows: Rows, access: Access) -> APIRouter:
    """Everything about datasets; a version is asked for by `name` (the newest), `name@2` or its id."""
    router = APIRouter(prefix="/api/v1", tags=["datasets"])
    _reading(router, datasets, rows, access)
    _asking(router, datasets, rows, access)
    _writing(router, datasets, rows, access)
    return router


def _reading(router: APIRouter, datasets: Datasets, rows: Rows, access: Access) -> None:
    viewer = Depends(access.require(Role.VIEWER))

    @router.get("/datasets")
    def list_(caller: Annotated[Caller, viewer]) -> list[DatasetOut]:
        with rows.reading() as tx:
            return [DatasetOut.model_validate(one) for one in datasets.list(tx, caller.scope)]

    @router.get("/datasets/{ref:path}")
    def get(ref: str, caller: Annotated[Caller, viewer]) -> DatasetVersionOut:
        """One version."""
        with rows.reading() as tx:
            return DatasetVersionOut.model_validate(datasets.get(tx, caller.scope, ref))

    @router.get("/dataset-versions/{name:path}")
    def versions(name: str, caller: Annotated[Caller, viewer]) -> list[DatasetVersionOut]:
        """All versions, newest first."""
        with rows.reading() as tx:
            return [DatasetVersionOut.model_validate(one) for one in datasets.versions(tx, caller.scope, name)]

    @router.get("/dataset-examples/{ref:path}")
    def examples(
        ref: str,
        caller: Annotated[Caller, viewer],
        split: str | None = None,
        after: int = -1,
        limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    ) -> ExamplePageOut:
        """A page of examples."""
        with rows.reading() as tx:
            version = datasets.get(tx, caller.scope, ref)
            found = list(datasets.examples(tx, caller.scope, version, split=split, after=after, limit=limit + 1))
        shown = found[:limit]
        return ExamplePageOut(
            version=DatasetVersionOut.model_validate(version),
            items=[_example(position, one) for position, one in shown],
            next_after=shown[-1][0] if len(found) > limit else None,
        )

    @router.get("/dataset-export/{ref:path}")
    def export(ref: str, caller: Annotated[Caller, viewer]) -> StreamingResponse:
        """The version as JSON lines, which `import` reads."""
        with rows.reading() as tx:
            version = datasets.get(tx, caller.scope, ref)
        return StreamingResponse(_chunks(datasets.export(version)), media_type="application/x-ndjson")


def _asking(router: APIRouter, datasets: Datasets, rows: Rows, access: Access) -> None:
    viewer = Depends(access.require(Role.VIEWER))

    def version_of(caller: Caller, ref: str) -> DatasetVersion:
        with rows.reading() as tx:
            return datasets.get(tx, caller.scope, ref)

    @router.get("/dataset-leaks/{ref:path}")
    def leaks(
        ref: str, caller: Annotated[Caller, viewer], threshold: Annotated[float, Query(ge=0.5, le=1)] = 0.8
    ) -> LeaksOut:
        """Near-duplicates between splits."""
        version = version_of(caller, ref)
        if len(version.splits) < 2:
            raise Invalid(
                f"{version.ref} is not split, so nothing can leak from one split into another.",
                hint=f"Split it: rondel data split {version.ref} train=0.8 test=0.2",
            )
        found = [LeakOut.model_validate(leak) for leak in datasets.leaks(version, threshold=threshold)]
        return LeaksOut(version=version.ref, threshold=threshold, leaks=found)

    @router.get("/dataset-profile/{ref:path}")
    def profile(ref: str, caller: Annotated[Caller, viewer]) -> ProfileOut:
        """Lengths, splits, and the values of each expected field."""
        return ProfileOut.model_validate(datasets.profile(version_of(caller, ref)))

    @router.get("/dataset-schema/{ref:path}")
    def schema(ref: str, caller: Annotated[Caller, viewer], split: str | None = None) -> dict[str, JsonValue]:
        """The JSON schema that the expected values share."""
        found = datasets.schema(version_of(caller, ref), split=split)
        return msgspec.convert(found, dict[str, JsonValue])

    @router.get("/dataset-diff")
    def diff(before: str, after: str, caller: Annotated[Caller, viewer]) -> DatasetDiffOut:
        """What changed from one version to another."""
        with rows.reading() as tx:
            return DatasetDiffOut.model_validate(datasets.diff(tx, caller.scope, before, after))


def _writing(router: APIRouter, datasets: Datasets, rows: Rows, access: Access) -> None:
    developer = Depends(access.require(Role.DEVELOPER))

    @router.post("/datasets", status_code=201)
    def add(body: RowsIn, caller: Annotated[Caller, developer]) -> DatasetVersionOut:
        """A version from rows in the request, after the newest one's with `extend`; creates the dataset."""
        if not body.extend:
            packed = datasets.pack(body.as_rows())
            with rows.transaction() as tx:
                version = datasets.add_version(tx, caller.scope, caller.actor, body.name, packed)
            return DatasetVersionOut.model_validate(version)
        with rows.reading() as tx:
            newest = datasets.newest(tx, caller.scope, body.name)
        packed = datasets.pack_after(newest, body.as_rows())
        with rows.transaction() as tx:
            version = datasets.add_after(tx, caller.scope, caller.actor, body.name, packed, newest)
        return DatasetVersionOut.model_validate(version)

    @router.post("/dataset-imports", status_code=201)
    async def import_(
        request: Request,
        caller: Annotated[Caller, developer],
        name: str,
        filename: str,
        format: str | None = None,  # noqa: A002  the word of the query parameter
        input_field: str | None = None,
        expected_field: str | None = None,
    ) -> DatasetVersionOut:
        """A version from a JSONL, CSV or Parquet file, which is the request's body as it is."""
        named = {"input": input_field, "expected": expected_field}
        options = {option: value for option, value in named.items() if value}

        def keep(path: Path) -> DatasetVersion:
            packed = datasets.import_file(path, name=filename, format_=format, options=options)
            with rows.transaction() as tx:
                return datasets.add_version(
                    tx, caller.scope, caller.actor, name, packed, origin=Origin.FILE, source=filename
                )

        with tempfile.NamedTemporaryFile(prefix="rondel-import-") as file:
            size = 0
            async for chunk in request.stream():
                size += len(chunk)
                if size > IMPORT_LIMIT:
                    raise TooLarge(f"An imported file has at most {IMPORT_LIMIT // 1024**3} GiB: import it in parts.")
                file.write(chunk)
            file.flush()
            if not size:
                raise Invalid(f"{filename!r} is empty: a dataset version needs at least one example.")
            return DatasetVersionOut.model_validate(await run_in_threadpool(keep, Path(file.name)))

    @router.post("/dataset-traces", status_code=201)
    def from_traces(body: FromTracesIn, caller: Annotated[Caller, developer]) -> DatasetVersionOut:
        """A version from traces; each example keeps its trace's id."""
        packed = datasets.from_traces(
            caller.scope,
            TraceFilter(routes=(body.route,) if body.route else (), releases=(body.release,) if body.release else ()),
            query=body.query,
            expected_score=body.expected_score,
            accept_score=body.accept_score,
            accept_at=body.accept_at,
            limit=body.limit,
        )
        asked = {"route": body.route, "release": body.release}
        source = " ".join([*(f"{field}:{value}" for field, value in asked.items() if value), body.query]).strip()
        with rows.transaction() as tx:
            version = datasets.add_version(
                tx, caller.scope, caller.actor, body.name, packed, origin=Origin.TRACES, source=source or "all traces"
            )
        return DatasetVersionOut.model_validate(version)

    @router.post("/dataset-splits", status_code=201)
    def split(body: SplitIn, caller: Annotated[Caller, developer]) -> DatasetVersionOut:
        """A version in which every example has a split, by the hash of its input."""
        with rows.reading() as tx:
            version = datasets.get(tx, caller.scope, body.ref)
        packed = datasets.pack_split(version, body.shares, salt=body.salt, move_leaks=body.move_leaks)
        with rows.transaction() as tx:
            made = datasets.add_split(tx, caller.scope, caller.actor, version, packed, body.shares)
        return DatasetVersionOut.model_validate(made)


def _example(position: int, one: Example) -> ExampleOut:
    return ExampleOut.model_validate({"position": position, **msgspec.to_builtins(one)})


def _chunks(lines: Iterator[bytes]) -> Iterator[bytes]:
    """Lines in pieces of about 64 kB."""
    piece = bytearray()
    for line in lines:
        piece += line
        if len(piece) >= 65_536:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)
