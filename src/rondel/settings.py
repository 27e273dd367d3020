"""What a person may set: a flag wins over `RONDEL_*`, that over `rondel.yaml`, that over the default."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

import yaml

from rondel.errors import Invalid, did_you_mean

LIMITS_DOWN = ("local", "closed")
REDIS_SCHEMES = ("redis", "rediss", "valkey", "valkeys", "unix")
SECTIONS = frozenset({"gateway"})
"""What `rondel.yaml` may hold beside settings; others read it (`rondel gateway apply`)."""
LOG_LEVELS = ("debug", "info", "warning", "error")

RANGES = {"port": (1, 65_535), "workers": (1, 256), "body_limit": (1, 2**40), "engine_threads": (0, 4096)}
"""The least and the largest value of each number."""


def _setting(default: Any, meaning: str) -> Any:
    return field(default=default, metadata={"meaning": meaning})


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting, its default and its meaning (`docs/settings.md` is made from this)."""

    data: Path = _setting(
        Path("rondel-data"), "The data folder: rows, columns, blobs, spool, keys. One server owns it."
    )
    host: str = _setting("127.0.0.1", "The address the public port binds to. Another than loopback needs `secret`.")
    port: int = _setting(8400, "The one public port: console, API, OTLP and gateway.")
    secret: str = _setting(
        "",
        "At least 32 characters; keys are hashed with it. Empty: one is made in the data folder (loopback only).",
    )
    secrets_key: str = _setting(
        "",
        "The key of stored secrets, 32 bytes in base64; several with commas, the newest first. Empty: the key file's.",
    )
    secrets_key_file: str = _setting(
        "",
        "Where that key is otherwise, outside the data folder. Empty: rondel/secrets.key in the user's configuration.",
    )
    rows: str = _setting("", "DSN of the rows, such as postgresql://user@host/name. Empty: SQLite in the data folder.")
    columns: str = _setting(
        "", "DSN of the columns, such as clickhouse://host:8123/name. Empty: chDB in the data folder."
    )
    workers: int = _setting(1, "How many gateway workers share the public port.")
    project: str = _setting("default", "The name of the project that the first start creates.")
    environment: str = _setting("production", "The environment that commands and keys use unless they say another.")
    body_limit: int = _setting(32 * 1024 * 1024, "Bytes of a request body above which the answer is 413.")
    limits_dsn: str = _setting(
        "",
        "DSN of a Redis or Valkey in which machines share limits, such as redis://host:6379/0. Empty: this machine's.",
    )
    limits_down: str = _setting(
        "local", "While that does not answer: local gives each worker its part of what was left, closed gives nothing."
    )
    cache_dsn: str = _setting(
        "", "DSN of a Redis or Valkey in which machines share kept answers. Empty: each machine has its own."
    )
    engine_threads: int = _setting(0, "Threads of a local engine; 0 takes the cores there are.")
    engine_dedicated: bool = _setting(
        False, "True lets engine threads spin while they wait: faster on an idle machine."
    )
    log_level: str = _setting("info", "debug, info, warning or error.")

    @property
    def is_loopback(self) -> bool:
        """Whether nobody but this machine can reach the public port."""
        return self.host in {"127.0.0.1", "::1", "localhost"}

    def check(self) -> None:
        """Refuse what cannot work or would be unsafe.

        Raises:
            Invalid: a number is out of its range, a level is unknown, or the address can be reached from outside and
                no secret is configured.
        """
        for name, (least, largest) in RANGES.items():
            if not least <= getattr(self, name) <= largest:
                raise Invalid(f"Setting {name!r} takes {least} to {largest}, not {getattr(self, name)}.")
        if self.log_level.lower() not in LOG_LEVELS:
            known = did_you_mean(self.log_level, LOG_LEVELS)
            raise Invalid(f"Setting 'log_level' has no level {self.log_level!r}. {known}")
        if self.limits_down not in LIMITS_DOWN:
            known = did_you_mean(self.limits_down, LIMITS_DOWN)
            raise Invalid(f"Setting 'limits_down' has no value {self.limits_down!r}. {known}")
        for name in ("limits_dsn", "cache_dsn"):
            if (dsn := getattr(self, name)) and dsn.partition("://")[0] not in REDIS_SCHEMES:
                raise Invalid(f"Setting {name!r} takes the DSN of a Redis or Valkey, such as redis://host:6379/0.")
        if not self.is_loopback and len(self.secret) < 32:
            raise Invalid(
                f"Setting 'host' is {self.host!r}, which others can reach, but 'secret' has {len(self.secret)} "
                "characters: set RONDEL_SECRET to at least 32 random characters first, or use 127.0.0.1."
            )


def load(
    flags: Mapping[str, object] | None = None, *, environ: Mapping[str, str] | None = None, folder: Path | None = None
) -> Settings:
    """The settings in force. `flags` whose value is None were not given.

    Raises:
        Invalid: an unknown name in the file, or a value of the wrong type; the message says where it stands.
    """
    hints = get_type_hints(Settings)
    values: dict[str, Any] = {}
    path = (folder or Path.cwd()) / "rondel.yaml"
    if path.is_file():
        for name, value in _read(path).items():
            if name in SECTIONS:
                continue
            if name not in hints:
                raise Invalid(f"{path.name} sets {name!r}, which is no setting. {did_you_mean(name, hints)}")
            values[name] = _convert(name, value, hints[name], path.name)
    env = os.environ if environ is None else environ
    for name, kind in hints.items():
        if (text := env.get(f"RONDEL_{name.upper()}")) is not None:
            values[name] = _convert(name, text, kind, f"RONDEL_{name.upper()}")
    for name, value in (flags or {}).items():
        if value is not None:
            values[name] = _convert(name, value, hints[name], f"--{name.replace('_', '-')}")
    settings = Settings(**values)
    settings.check()
    return settings


def described() -> list[tuple[str, str, str]]:
    """Name, default and meaning of each setting, for the docs and `rondel doctor`."""
    return [(item.name, str(item.default), str(item.metadata["meaning"])) for item in fields(Settings)]


def _read(path: Path) -> dict[str, object]:
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise Invalid(f"{path.name} is not valid YAML: {error}") from error
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise Invalid(f"{path.name} must hold names and values, such as 'port: 8400'.")
    return {str(name): value for name, value in loaded.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  yaml has no types


def _convert(name: str, value: object, kind: type, origin: str) -> object:
    if kind is bool:
        known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        if (text := str(value).lower()) in known:
            return known[text]
        raise Invalid(f"{origin}: setting {name!r} takes true or false, not {value!r}.")
    if kind is int:
        try:
            return int(str(value))
        except ValueError as error:
            raise Invalid(f"{origin}: setting {name!r} takes a whole number, not {value!r}.") from error
    return Path(str(value)) if kind is Path else str(value)
