"""`rondel gateway import litellm`."""

import os
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from textwrap import wrap

import cyclopts

from rondel.errors import Conflict, Invalid, RondelError
from rondel.gateway.configuring import check, read, written
from rondel.gateway.litellm.converting import SECTIONS, convert
from rondel.gateway.litellm.models import Imported
from rondel.gateway.litellm.reading import gather
from rondel.gateway.ports import PROVIDERS
from rondel.terminal import emit, read_document, say

WIDTH = 118


def imports() -> cyclopts.App:
    """The commands that turn another gateway's configuration into ours."""
    app = cyclopts.App(name="import", help="Turn another gateway's configuration into a file of ours.")

    @app.command
    def litellm(config: Path, *, out: Path | None = None, force: bool = False, json: bool = False) -> None:
        """Write our configuration file from LiteLLM's `config.yaml`, and tell all that is not in it.

        Parameters
        ----------
        config
            LiteLLM's file; what it includes is read too.
        out
            The file to write; without it, standard output.
        force
            Overwrite the file.
        json
            For machines: the text of the file, and the notes.
        """
        if out is not None and out.exists() and not force:
            raise Conflict(f"{str(out)!r} is there already.", hint="Name another file, or overwrite it with --force.")
        document = gather(config, lambda file: read_document(file, holds="sections"))
        if not SECTIONS & document.keys():
            hint = f"It has none of {', '.join(sorted(SECTIONS))}."
            raise Invalid(f"{str(config)!r} is no configuration of LiteLLM's proxy.", hint=hint)
        found = convert(document, os.environ, _providers())
        text = written(found.config, comments(config.name, found))
        check(read(str(out or config), text))
        if json:
            emit({"config": text, "notes": [note._asdict() for note in found.notes]})
            return
        if out is None:
            say(text.rstrip("\n"))
            return
        out.write_text(text, encoding="utf-8")
        counts = f"{len(found.config.section('connections'))} connections, {len(found.config.section('routes'))} routes"
        say(f"{out}: {counts}. To look at, since it is not taken over as it was:")
        for sentence in found.sentences:
            say(f"- {sentence}")
        if variables := _variables(found):
            say(f"The environment of 'rondel up' has to hold {', '.join(variables)}.")
        say(f"  next  rondel gateway check {out}")

    return app


def comments(name: str, found: Imported) -> str:
    """The notes as lines that begin with `#`."""
    lines = [f"# Made from LiteLLM's {name}. Not taken over as it was:", "#"]
    for sentence in found.sentences:
        lines += wrap(sentence, WIDTH, initial_indent="# - ", subsequent_indent="#   ", break_on_hyphens=False)
    return "\n".join(lines) + "\n"


def _variables(found: Imported) -> list[str]:
    """The environment variables that hold the connections' keys."""
    connections = (found.config.connections or {}).values()
    return sorted({one.secret.removeprefix("env:") for one in connections if one.secret.startswith("env:")})


def _providers() -> Mapping[str, frozenset[str]]:
    """The provider plugins that are installed and can be loaded, with the names of their options."""
    found: dict[str, frozenset[str]] = {}
    for info in PROVIDERS.list():
        try:
            kind = PROVIDERS.get(info.name)
        except RondelError:  # it is installed without what it needs: the import says that there is none
            continue
        found[info.name] = frozenset(field.name for field in fields(kind)) if is_dataclass(kind) else frozenset()
    return found
