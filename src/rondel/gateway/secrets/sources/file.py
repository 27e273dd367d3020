"""`file:NAME`: a file in the folder `secrets` of the data folder, as container platforms mount them."""

import re
from dataclasses import dataclass

from rondel.errors import Invalid, Unavailable
from rondel.gateway.secrets.models import Asked, Secret
from rondel.gateway.secrets.ports import Means
from rondel.gateway.secrets.rules import SECRET_LIMIT, field_of

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class File:
    """Whole files, without the white space at their ends; read again every second."""

    renewed_every_s: float | None = 1.0

    def check(self, name: str, field: str) -> None:  # noqa: ARG002  any field may be one
        """A plain name."""
        if not _NAME.fullmatch(name):
            raise Invalid("A secret file:NAME takes the name of a file in the folder 'secrets' of the data folder.")

    def read(self, asked: Asked, means: Means) -> Secret:
        """The file as it is now."""
        name = asked.reference.name
        try:
            with (means.folder / name).open(encoding="utf-8") as file:
                text = file.read(SECRET_LIMIT + 1).strip()
        except (OSError, UnicodeDecodeError) as error:
            told = f"the file {name!r} of its secret cannot be read from the folder 'secrets'."
            raise Unavailable(told) from error
        if not text:
            raise Unavailable(f"the file {name!r} of its secret is empty.")
        return Secret(field_of(text, asked.reference))
