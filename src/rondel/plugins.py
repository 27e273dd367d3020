"""Plugins: things chosen by name. One mechanism for every kind.

A kind is a `Protocol` and an entry-point group. Our own implementations are declared
in our pyproject.toml exactly as a stranger's are in theirs. Nothing is imported until
it is asked for by name, so an engine that needs CUDA costs nothing to those without it.
"""

import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from importlib.metadata import EntryPoint, PackageNotFoundError, distribution, entry_points
from typing import Generic, NamedTuple, TypeVar, cast

import msgspec

from rondel.errors import Conflict, Invalid, NotFound, Unavailable, did_you_mean

T = TypeVar("T")


class PluginInfo(NamedTuple):
    """Where a plugin comes from; known without importing it."""

    name: str
    package: str
    version: str


class Plugins(Generic[T]):
    """The implementations of one kind, by name."""

    def __init__(self, group: str) -> None:
        self.group = group

    def get(self, name: str) -> type[T]:
        """Import and return the implementation called `name`.

        Raises:
            NotFound: nothing has that name; the message says what does.
            Conflict: two installed packages claim it.
            Unavailable: it is installed but cannot be imported; the message says which extra brings what it lacks.
        """
        points = [point for point in entry_points(group=self.group) if point.name == name]
        if not points:
            known = [info.name for info in self.list()]
            raise NotFound(f"No {self.group} plugin is called {name!r}. {did_you_mean(name, known)}")
        if len({point.value for point in points}) > 1:
            raise Conflict(
                f"{self.group} plugin {name!r} comes from {' and '.join(sorted(map(_package, points)))}: remove one."
            )
        try:
            return cast("type[T]", points[0].load())
        except ModuleNotFoundError as error:
            missing = error.name or "a module"
            raise Unavailable(
                f"{self.group} plugin {name!r} needs {missing!r}, which is not installed: {_remedy(points[0], missing)}"
            ) from error

    def list(self) -> list[PluginInfo]:
        """Describe every installed plugin without importing any."""
        points = sorted(entry_points(group=self.group), key=lambda point: (point.name, _package(point)))
        return [PluginInfo(p.name, _package(p), p.dist.version if p.dist else "?") for p in points]


def with_options(kind: type[T], options: Mapping[str, object], *, called: str) -> T:
    """A plugin with its options, the fields of its dataclass; `called` names it in errors: `trainer 'lora'`.

    Raises:
        Invalid: an option that it does not have, one that is missing, or a value of the wrong type.
    """
    known = [option.name for option in fields(kind)] if is_dataclass(kind) else []
    for name in options:
        if name not in known:
            raise Invalid(f"{called[0].upper()}{called[1:]} has no option {name!r}. {did_you_mean(name, known)}")
    if not known:
        return kind()
    try:
        return msgspec.convert(dict(options), kind)
    except msgspec.ValidationError as error:
        raise Invalid(f"An option of {called} is not right: {error}. It takes: {', '.join(known)}.") from error


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist else "?"


def _remedy(point: EntryPoint, module: str) -> str:
    """The pip command that brings `module`: by the extra of the plugin's package that lists it, else by its name."""
    package, wanted = _package(point), module.split(".", maxsplit=1)[0].replace("_", "-").lower()
    try:
        requirements = distribution(package).requires or []
    except PackageNotFoundError:
        requirements = []
    for line in requirements:
        found = re.match(r"([A-Za-z0-9._-]+).*;.*extra == ['\"]([^'\"]+)['\"]", line)
        if found and found[1].replace("_", "-").lower() == wanted:
            return f"pip install '{package}[{found[2]}]'"
    return f"pip install {wanted}"
