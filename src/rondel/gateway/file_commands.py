"""`rondel gateway check|diff|apply|export|schema`: the configuration as a file."""

import json as json_
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import cyclopts

from rondel.client.http import Api, ApiError
from rondel.errors import Invalid, NotFound, RondelError
from rondel.gateway.configuring import SECTION, GatewayConfig, check, read, schema
from rondel.terminal import done, emit, say

FILE = Path("rondel-gateway.yaml")
BESIDE_SETTINGS = Path("rondel.yaml")
_CONFIG = "/api/v1/gateway/config"
_SIGNS = {"add": "+", "change": "~", "remove": "-"}


def add_file_commands(app: cyclopts.App, connect: Callable[[], Api]) -> None:
    """Add the commands that read or write the file."""
    _judging(app, connect)
    _changing(app, connect)


def _judging(app: cyclopts.App, connect: Callable[[], Api]) -> None:
    @app.command(name="check")
    def check_(file: Path | None = None, *, offline: bool = False, json: bool = False) -> int:
        """Find what is wrong in a configuration file, with the line of every fault.

        Parameters
        ----------
        file
            The file: `rondel-gateway.yaml`, or `rondel.yaml` with a part `gateway:`, when none is given.
        offline
            Ask no server: what the file names in keys, releases and sections that it lacks stays unchecked.
        json
            For machines.
        """
        path, text = _read(file)
        reading = read(str(path), text)
        check(reading)
        asked = "" if offline else _asked(connect, path, text)
        if json:
            emit({"file": str(path), "is_valid": True, "server": asked or None, **_counts(reading.config)})
            return 0
        say(f"{path} is right: {', '.join(f'{n} {name}' for name, n in _counts(reading.config).items())}.")
        say(f"Checked with {asked}." if asked else "No server was asked: keys and releases are not checked.")
        return 0

    @app.command
    def diff(file: Path | None = None, *, prune: bool = False, json: bool = False) -> int:
        """Show what applying a file would change. Exit code 0: nothing, 2: something, 1: it could not be told.

        Parameters
        ----------
        file
            The file: `rondel-gateway.yaml`, or `rondel.yaml` with a part `gateway:`, when none is given.
        prune
            As if what the file does not name were to be removed.
        json
            For machines; its `etag` is what `apply --etag` takes.
        """
        try:
            path, text = _read(file)
            told = _post(connect(), path, text, prune=prune, dry_run=True)
        except (RondelError, ApiError) as error:
            raise RondelError(error.message, hint=error.hint) from error  # 2 has another meaning here
        if json:
            emit(told)
        else:
            _show(told)
        return 2 if told["changes"] else 0

    @app.command(name="schema")
    def schema_() -> None:
        """The JSON schema of the file, for editors: save it as `rondel-gateway.schema.json` beside the file."""
        say(json_.dumps(schema(), indent=2))


def _changing(app: cyclopts.App, connect: Callable[[], Api]) -> None:
    @app.command
    def apply(
        file: Path | None = None,
        *,
        prune: bool = False,
        etag: str | None = None,
        force: bool = False,
        json: bool = False,
    ) -> None:
        """Make connections, routes and keys' limits as a file says: all of it or nothing.

        Parameters
        ----------
        file
            The file: `rondel-gateway.yaml`, or `rondel.yaml` with a part `gateway:`, when none is given.
        prune
            Remove what the file does not name, in the sections that it has.
        etag
            Only while the configuration is the one that `rondel gateway diff --json` told of with this mark.
        force
            Also when it was changed between the comparison and now.
        json
            For machines.
        """
        path, text = _read(file)
        api = connect()
        expected = None if force else etag or str(_post(api, path, text, prune=prune, dry_run=True)["etag"])
        told = _post(api, path, text, prune=prune, dry_run=False, etag=expected)
        if json:
            emit(told)
            return
        _show(told)
        if told["changes"]:
            done(f"{path} is applied.", url=f"{api.base_url}/gateway", then="rondel gateway status")

    @app.command
    def export(*, out: Path | None = None) -> None:
        """The configuration as it is now, as a file that changes nothing when it is applied.

        Parameters
        ----------
        out
            The file to write; without it, standard output.
        """
        api = connect()
        content = bytes(api.get(_CONFIG)).decode()
        if out is None:
            say(content.rstrip("\n"))
            return
        save(out, content)
        done(f"The configuration is in {out}.", url=f"{api.base_url}/gateway", then=f"rondel gateway diff {out}")


def save(file: Path, content: str) -> None:
    """Write a file; it appears when it is whole."""
    draft = file.with_name(f"{file.name}.draft")
    draft.write_text(content, encoding="utf-8")
    draft.replace(file)


def _read(file: Path | None) -> tuple[Path, str]:
    path = file or (FILE if FILE.is_file() or not BESIDE_SETTINGS.is_file() else BESIDE_SETTINGS)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        hint = "Write one from what is there now: 'rondel gateway export --out rondel-gateway.yaml'."
        raise NotFound(f"There is no file {str(path)!r}.", hint=hint) from error
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"{str(path)!r} cannot be read: {error}.") from error
    if re.search(r"(?m)^model_list\s*:", text):
        hint = f"Turn it into ours: 'rondel gateway import litellm {path} --out {FILE}'."
        raise Invalid(f"{path} is LiteLLM's configuration.", hint=hint)
    if path == BESIDE_SETTINGS and f"\n{SECTION}:" not in f"\n{text}":
        raise NotFound(f"{path} has no part '{SECTION}:', and there is no {FILE}.")
    return path, text


def _post(api: Api, path: Path, text: str, *, prune: bool, dry_run: bool, etag: str | None = None) -> dict[str, Any]:
    answer = api.post(
        _CONFIG,
        text.encode(),
        file=str(path)[-500:],
        dry_run=str(dry_run).lower(),
        prune=str(prune).lower(),
        etag=etag,
    )
    return cast("dict[str, Any]", answer)


def _asked(connect: Callable[[], Api], path: Path, text: str) -> str:
    """The address of the server that found nothing wrong either; empty when there is none.

    Raises:
        ApiError: it found something, or does not let us ask.
    """
    try:
        api = connect()
        _post(api, path, text, prune=False, dry_run=True)
    except ApiError as error:
        if error.code == "unavailable" and not error.status:
            return ""
        raise
    return api.base_url


def _counts(config: GatewayConfig) -> dict[str, int]:
    return {section: len(config.section(section)) for section in ("connections", "routes", "keys")}


def _show(told: Mapping[str, Any]) -> None:
    """Changes as people read them."""
    for change in told["changes"]:
        say(f"{_SIGNS[change['action']]} {change['kind']} {change['name']}")
        for field in change["fields"]:
            before, after = _value(field["before"]), _value(field["after"])
            if change["action"] == "change":
                say(f"    {field['field']}: {before} -> {after}")
            else:
                say(f"    {field['field']}: {after if change['action'] == 'add' else before}")
    counts = {action: sum(change["action"] == action for change in told["changes"]) for action in _SIGNS}
    words = ", ".join(f"{n} to {action}" for action, n in counts.items() if n)
    is_applied = told["is_applied"]
    say((f"{words}." if not is_applied else f"Done: {words}.") if words else "Nothing is different.")
    if told["kept"]:
        names = ", ".join(f"{kept['kind']} {kept['name']}" for kept in told["kept"])
        say(f"Not in the file, and kept (--prune removes them): {names}.")


def _value(value: object) -> str:
    if value is None:
        return "(default)"
    return value if isinstance(value, str) else json_.dumps(value, ensure_ascii=False)
