"""The keys that seal secrets: in RONDEL_SECRETS_KEY, else in a file outside the data folder."""

import base64
import binascii
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rondel.errors import Invalid, Unavailable
from rondel.gateway.secrets.rules import KEY_SIZE
from rondel.ids import Ids

_HOW = "32 bytes in base64, as 'openssl rand -base64 32' makes them"


def key_file(configured: str, environ: Mapping[str, str]) -> Path:
    """The key file as a setting says it, else `rondel/secrets.key` where a user's configuration is."""
    if configured:
        return Path(configured).expanduser()
    base = environ.get("XDG_CONFIG_HOME", "")
    return (Path(base) if base else Path.home() / ".config") / "rondel" / "secrets.key"


@dataclass(frozen=True, slots=True)
class Keys:
    """Where the keys are. `configured` holds one or more, the newest first, with commas between; empty: `path` does,
    one a line. `data` is the data folder, in which the file must not stand: a copy of the folder alone opens nothing.
    """

    configured: str
    path: Path
    data: Path

    def read(self) -> tuple[bytes, ...]:
        """The keys there are, the newest first.

        Raises:
            Unavailable: there is none, or what is there is no key.
        """
        if self.configured:
            return _parse(self.configured.split(","), "RONDEL_SECRETS_KEY")
        try:
            lines = self.path.read_text().split("\n")
        except FileNotFoundError as error:
            raise Unavailable(
                f"there is no key for stored secrets: RONDEL_SECRETS_KEY is not set, and {str(self.path)!r} is no file."
            ) from error
        except (OSError, UnicodeDecodeError) as error:
            raise Unavailable(f"the key file {str(self.path)!r} cannot be read.") from error
        return _parse(lines, f"the key file {str(self.path)!r}")

    def made(self, ids: Ids) -> tuple[bytes, ...]:
        """The keys; the first one is made when there is none.

        Raises:
            Invalid: the key file would stand in the data folder.
            Unavailable: a key is there that is none, or the file cannot be written.
        """
        if self.configured or self.path.exists():
            return self.read()
        self._write((_fresh(ids),))
        return self.read()

    def renewed(self, ids: Ids) -> tuple[bytes, ...]:
        """The keys with a new one before them; the earlier ones stay, for copies of the database.

        Keys of RONDEL_SECRETS_KEY are renewed by who sets it: they stay as they are.
        """
        if self.configured:
            return self.read()
        if not self.path.exists():
            return self.made(ids)
        self._write((_fresh(ids), *self.read()))
        return self.read()

    def _write(self, keys: tuple[bytes, ...]) -> None:
        """The file as a whole, so that nobody reads half of it; readable by its owner alone."""
        if self.path.absolute().resolve().is_relative_to(self.data.absolute().resolve()):
            raise Invalid(
                f"The key file {str(self.path)!r} stands in the data folder that it protects: "
                "set RONDEL_SECRETS_KEY_FILE to a path outside, or RONDEL_SECRETS_KEY to a key."
            )
        draft = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        text = "".join(f"{base64.b64encode(key).decode()}\n" for key in keys)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self.path)
        except OSError as error:
            raise Unavailable(
                f"The key file {str(self.path)!r} cannot be written ({error.strerror}): "
                "set RONDEL_SECRETS_KEY_FILE to one that can, or RONDEL_SECRETS_KEY to a key."
            ) from error


def _fresh(ids: Ids) -> bytes:
    return bytes.fromhex(ids.secret(KEY_SIZE))


def _parse(texts: list[str], place: str) -> tuple[bytes, ...]:
    found: list[bytes] = []
    for text in filter(None, map(str.strip, texts)):
        try:
            key = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError) as error:
            raise Unavailable(f"{place} holds something that is no key: a key is {_HOW}.") from error
        if len(key) != KEY_SIZE:
            raise Unavailable(f"{place} holds a key of {len(key)} bytes: a key is {_HOW}.")
        found.append(key)
    if not found:
        raise Unavailable(f"{place} holds no key: a key is {_HOW}.")
    return tuple(found)
