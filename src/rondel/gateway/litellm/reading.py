"""LiteLLM's configuration from its files: the one that is named, and what it includes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from rondel.errors import Invalid

Read = Callable[[Path], dict[str, Any]]
"""Reads one YAML file that is a mapping."""


def gather(file: Path, read: Read) -> dict[str, Any]:
    """The file with its includes: lists go on, every other value is overwritten, each file counts once.

    An include stands beside the file that names it, or else beside the first file.
    Source: https://docs.litellm.ai/docs/proxy/config_management

    Raises:
        NotFound, Invalid: a file is not there, or is no mapping.
    """
    merged = read(file)
    pending, done = _includes(merged, file), {file.resolve()}
    while pending:
        name, declared_in = pending.pop(0)
        beside = declared_in.parent / name
        path = beside if beside.is_file() else file.parent / name
        if path.resolve() in done:
            continue
        done.add(path.resolve())
        included = read(path)
        for key, value in included.items():
            held = merged.get(key)
            merged[key] = [*held, *value] if isinstance(held, list) and isinstance(value, list) else value
        pending += _includes(included, path)
    merged.pop("include", None)
    return merged


def _includes(document: dict[str, Any], file: Path) -> list[tuple[str, Path]]:
    names: Any = document.get("include") or []
    if not isinstance(names, list):
        raise Invalid(f"'include' of {str(file)!r} must be a list of files.")
    return [(str(name), file) for name in cast("list[object]", names)]
