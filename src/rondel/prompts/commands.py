"""`rondel prompt`: save versions, compare them, move labels."""

import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import cyclopts

from rondel.client.http import Api
from rondel.errors import Invalid
from rondel.terminal import done, emit, read_document, table

DOCUMENT = "'messages', a list of role and content"


def group(connect: Callable[[], Api]) -> cyclopts.App:
    """The commands of prompts."""
    app = cyclopts.App(name="prompt", help="Prompts: versions that never change, labels that move.")
    _reading(app, connect)
    _writing(app, connect)
    return app


def _reading(app: cyclopts.App, connect: Callable[[], Api]) -> None:
    @app.command(name="list")
    def list_(name: str | None = None, *, json: bool = False) -> None:
        """Every prompt, or all versions of one.

        Parameters
        ----------
        name
            The prompt whose versions are listed.
        json
            For machines.
        """
        found = connect().get("/api/v1/prompts" if name is None else f"/api/v1/prompt-versions/{_at(name)}")
        if json:
            emit(found)
        elif name is None:
            lines = [one | {"labels": _labels(one["labels"])} for one in found]
            columns = {"Name": "name", "Versions": "newest", "Labels": "labels", "Changed": "changed_at"}
            table(lines, columns, empty="No prompt yet: save one with 'rondel prompt save NAME FILE.yaml'.")
        else:
            lines = [one | {"labels": ", ".join(one["labels"])} for one in found]
            columns = {"Version": "ref", "Labels": "labels", "Note": "note", "Saved": "created_at", "By": "created_by"}
            table(lines, columns, empty="")

    @app.command
    def show(ref: str, *, json: bool = False) -> None:
        """A version: its messages, parameters and variables.

        Parameters
        ----------
        ref
            `name` (the newest), `name@3`, `name@label`, or a version's id.
        json
            For machines; the shape that `save` reads is in it.
        """
        found = connect().get(f"/api/v1/prompts/{_at(ref)}")
        if json:
            emit(found)
            return
        line = found | {"labels": ", ".join(found["labels"]), "variables": ", ".join(found["variables"])}
        table([line], {"Prompt": "ref", "Labels": "labels", "Variables": "variables", "Digest": "digest"}, empty="")
        table(found["messages"], {"Role": "role", "Content": "content"}, empty="")
        table(
            [{"name": name, "value": value} for name, value in found["parameters"].items()],
            {"Parameter": "name", "Value": "value"},
            empty="No parameters.",
        )
        if found["response_schema"] is not None:
            table([found], {"Response schema": "response_schema"}, empty="")

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
        found = connect().get("/api/v1/prompt-diff", before=before, after=after)
        if json:
            emit(found)
        else:
            sys.stdout.write(f"{found['text'] or 'Nothing changed.'}\n")


def _writing(app: cyclopts.App, connect: Callable[[], Api]) -> None:
    @app.command
    def save(name: str, file: Path, *, note: str = "", json: bool = False) -> None:
        """Save a version from a YAML or JSON file with `messages`, and perhaps `parameters` and `response_schema`.

        Parameters
        ----------
        name
            The prompt, such as `support/triage`.
        file
            The file.
        note
            Why it changed.
        json
            For machines.
        """
        api = connect()
        document = read_document(file, holds=DOCUMENT)
        if "messages" not in document:
            raise Invalid(f"{str(file)!r} must hold {DOCUMENT}.")
        saved = api.post("/api/v1/prompts", {**document, "name": name, "note": note})
        if json:
            emit(saved)
            return
        url, then = f"{api.base_url}/prompts/{_at(saved['name'])}", f"rondel prompt label {saved['ref']} production"
        done(f"Prompt {saved['ref']} ({saved['id']}) is saved.", url=url, then=then)

    @app.command
    def label(ref: str, label: str, *, json: bool = False) -> None:
        """Point a label to a version.

        Parameters
        ----------
        ref
            The version, such as `support@3`.
        label
            The label, such as `production`.
        json
            For machines.
        """
        api = connect()
        move = api.put("/api/v1/prompt-labels", {"ref": ref, "label": label})
        if json:
            emit(move)
            return
        name = move["name"]
        before = f" (before: version {move['before']})" if move["before"] else ""
        sentence = f"{name}@{move['label']} is version {move['after']}{before}."
        done(sentence, url=f"{api.base_url}/prompts/{_at(name)}", then=f"rondel prompt show {name}@{move['label']}")


def _at(ref: str) -> str:
    return quote(ref, safe="/@")


def _labels(labels: dict[str, int]) -> str:
    return ", ".join(f"{label} → {number}" for label, number in labels.items())
