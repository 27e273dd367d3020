"""`rondel data`: import, split, look into, compare and export datasets."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cyclopts

from rondel.client.files import save
from rondel.client.http import Api
from rondel.errors import Invalid, NotFound
from rondel.terminal import done, emit, say, table

_VERSION = {"Version": "ref", "Examples": "size", "Splits": "splits", "From": "source", "Created": "created_at"}


def group(connect: Callable[[], Api]) -> cyclopts.App:
    """The commands of datasets."""
    app = cyclopts.App(name="data", help="Datasets: versions of examples that never change.")
    _reading(app, connect)
    _checking(app, connect)
    _importing(app, connect)
    _splitting(app, connect)
    return app


def _reading(app: cyclopts.App, connect: Callable[[], Api]) -> None:
    @app.command(name="list")
    def list_(name: str | None = None, *, json: bool = False) -> None:
        """Every dataset, or all versions of one.

        Parameters
        ----------
        name
            The dataset whose versions are listed.
        json
            For machines.
        """
        found = connect().get("/api/v1/datasets" if name is None else f"/api/v1/dataset-versions/{_at(name)}")
        if json:
            emit(found)
        elif name is None:
            columns = {"Name": "name", "Versions": "newest", "Created": "created_at"}
            table(found, columns, empty="No dataset yet: import one with 'rondel data import FILE'.")
        else:
            table([_line(one) for one in found], _VERSION, empty="")

    @app.command
    def show(ref: str, *, split: str | None = None, after: int = -1, limit: int = 5, json: bool = False) -> None:
        """A version: what is in it, and its first examples.

        Parameters
        ----------
        ref
            `name` (the newest version), `name@2`, or a version's id.
        split
            Only examples of this split.
        after
            Only examples behind this position.
        limit
            How many examples.
        json
            For machines.
        """
        api = connect()
        page = api.get(f"/api/v1/dataset-examples/{_at(ref)}", split=split, after=after, limit=limit)
        profile = api.get(f"/api/v1/dataset-profile/{_at(ref)}")
        if json:
            emit({**page, "profile": profile})
            return
        table([_line(page["version"])], _VERSION, empty="")
        if note := _without_expected(profile):
            say(note)
        fields = [one | {"values": _counts(one["values"])} for one in profile["fields"]]
        columns = {"Field": "name", "Nulls": "nulls", "Distinct": "distinct", "Most frequent": "values"}
        if fields:
            table(fields, columns, empty="")
        columns = {"No": "position", "Split": "split", "Input": "input", "Expected": "expected", "Trace": "trace_id"}
        table(page["items"], columns, empty="No example here.")

    @app.command
    def export(ref: str, file: Path | None = None) -> None:
        """A version as JSON lines, to a file or to standard output.

        Parameters
        ----------
        ref
            The version.
        file
            The file to write; it appears when it is whole.
        """
        api = connect()
        lines = api.lines(f"/api/v1/dataset-export/{_at(ref)}")
        if file is None:
            for line in lines:
                sys.stdout.buffer.write(line)
            return
        save(file, lines)
        done(f"Exported to {file}.", url=f"{api.base_url}/datasets/{_at(ref)}", then=f"rondel data import {file}")


def _checking(app: cyclopts.App, connect: Callable[[], Api]) -> None:
    @app.command
    def diff(before: str, after: str, *, json: bool = False) -> None:
        """What changed from one version to another.

        Parameters
        ----------
        before
            Such as `support@1`.
        after
            Such as `support`.
        json
            For machines.
        """
        found = connect().get("/api/v1/dataset-diff", before=before, after=after)
        if json:
            emit(found)
            return
        line = {name: len(found[name]) for name in ("added", "removed", "changed")} | {"same": found["same"]}
        table([line], {"Added": "added", "Removed": "removed", "Changed": "changed", "Same": "same"}, empty="")

    @app.command
    def leaks(ref: str, *, threshold: float = 0.8, json: bool = False) -> int:
        """Near-duplicates between splits; exit code 1 when there are any.

        Parameters
        ----------
        ref
            The version.
        threshold
            The similarity (0.5 to 1) from which a pair counts.
        json
            For machines.
        """
        found = connect().get(f"/api/v1/dataset-leaks/{_at(ref)}", threshold=threshold)
        if json:
            emit(found)
        else:
            columns = {"Similarity": "similarity", "Split": "a_split", "Example": "a", "and": "b_split", "Other": "b"}
            none = f"No pair of different splits of {found['version']} is {threshold:g} alike or more."
            table(found["leaks"], columns, empty=none)
        return 1 if found["leaks"] else 0


def _importing(app: cyclopts.App, connect: Callable[[], Api]) -> None:
    @app.command(name="import")
    def import_(
        file: Path,
        *,
        name: str | None = None,
        format: str | None = None,  # noqa: A002  the option people expect
        input: str | None = None,  # noqa: A002  the option people expect
        expected: str | None = None,
        json: bool = False,
    ) -> None:
        """A version from a JSONL, CSV or Parquet file.

        Parameters
        ----------
        file
            The file.
        name
            The dataset; the file's name without its suffix if not given.
        format
            jsonl, csv or parquet, when the suffix does not tell.
        input
            The field that is the input.
        expected
            The field that is the expected answer.
        json
            For machines.
        """
        if not file.is_file():
            raise NotFound(f"There is no file {str(file)!r}.")
        api = connect()
        version = api.post(
            "/api/v1/dataset-imports",
            file.read_bytes(),
            name=name or file.stem.replace(" ", "-"),
            filename=file.name,
            format=format,
            input_field=input,
            expected_field=expected,
        )
        _made(api, version, then=f"rondel data split {version['name']} train=0.8 test=0.2", json=json)

    @app.command(name="from-traces")
    def from_traces(
        name: str,
        query: str = "",
        *,
        route: str = "",
        release: str = "",
        expected_score: str = "expected",
        accept_score: str = "",
        accept_at: float = 1.0,
        limit: int = 10_000,
        json: bool = False,
    ) -> None:
        """A version from traces; each example keeps its trace's id.

        Parameters
        ----------
        name
            The dataset.
        query
            The filter language of traces, such as 'status:ok last week'.
        route
            Only traces of this route.
        release
            Only traces of this release.
        expected_score
            The score whose label or comment is the right answer.
        accept_score
            Take the model's own answer as right when this score is high enough.
        accept_at
            How high that is.
        limit
            How many traces, latest first.
        json
            For machines.
        """
        api = connect()
        body = {
            "name": name,
            "query": query,
            "route": route,
            "release": release,
            "expected_score": expected_score,
            "accept_score": accept_score,
            "accept_at": accept_at,
            "limit": limit,
        }
        version = api.post("/api/v1/dataset-traces", body)
        note = "" if json else _without_expected(api.get(f"/api/v1/dataset-profile/{_at(version['ref'])}"))
        _made(api, version, then=f"rondel data split {version['name']} train=0.8 test=0.2", json=json, note=note)


def _splitting(app: cyclopts.App, connect: Callable[[], Api]) -> None:
    @app.command
    def split(ref: str, *shares: str, salt: str = "", move_leaks: bool = False, json: bool = False) -> None:
        """A version in which every example has a split, by the hash of its input: added examples move nobody.

        Parameters
        ----------
        ref
            The version.
        shares
            Such as `train=0.8 test=0.2`.
        salt
            Another word gives another split.
        move_leaks
            Let near-duplicates of the first split join it.
        json
            For machines.
        """
        api = connect()
        given = dict(_share(one) for one in shares or ("train=0.8", "test=0.2"))
        body = {"ref": ref, "shares": given, "salt": salt, "move_leaks": move_leaks}
        version = api.post("/api/v1/dataset-splits", body)
        _made(api, version, then=f"rondel data leaks {version['ref']}", json=json)


def _without_expected(profile: dict[str, Any]) -> str:
    """How many examples nothing can be compared with; "" when there are none."""
    size, without = profile["size"], profile["without_expected"]
    if not without:
        return ""
    if without == size:
        return "No example has an expected answer."
    return f"{without} of {size} examples {'has' if without == 1 else 'have'} no expected answer."


def _made(api: Api, version: dict[str, Any], *, then: str, json: bool, note: str = "") -> None:
    if json:
        emit(version)
        return
    splits = f" ({_counts(version['splits'])})" if any(version["splits"]) else ""
    left_out = (
        f"; {version['duplicates']} duplicate{'' if version['duplicates'] == 1 else 's'} left out"
        if version["duplicates"]
        else ""
    )
    examples = "1 example" if version["size"] == 1 else f"{version['size']} examples"
    sentence = f"Dataset {version['ref']} ({version['id']}) has {examples}{splits}{left_out}."
    done(f"{sentence} {note}".rstrip(), url=f"{api.base_url}/datasets/{_at(version['name'])}", then=then)


def _share(text: str) -> tuple[str, float]:
    name, equals, share = text.partition("=")
    try:
        return name, float(share)
    except ValueError as error:
        raise Invalid(f"{text!r} is no share{'' if equals else ' (it has no =)'}: write train=0.8.") from error


def _line(version: dict[str, Any]) -> dict[str, Any]:
    return version | {
        "splits": _counts(version["splits"]),
        "source": f"{version['origin']} {version['source']}".strip(),
    }


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items() if name)


def _at(ref: str) -> str:
    return quote(ref, safe="/@")
