"""`store:NAME`: our own encrypted store. What is sealed comes with the snapshot; the key does not."""

import re
from dataclasses import dataclass

from rondel.errors import Invalid, Unavailable
from rondel.gateway.secrets.models import Asked, Secret
from rondel.gateway.secrets.ports import Means
from rondel.gateway.secrets.rules import bound_to, field_of
from rondel.gateway.secrets.sealing import unseal

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class Store:
    """Opens a secret for the origin it was sealed for, and for no other."""

    renewed_every_s: float | None = None

    def check(self, name: str, field: str) -> None:  # noqa: ARG002  any field may be one
        """A plain name."""
        if not NAME.fullmatch(name):
            raise Invalid("A secret store:NAME takes up to 100 letters, digits, '.', '_' and '-'.")

    def read(self, asked: Asked, means: Means) -> Secret:
        """The text, by the key of this installation."""
        name = asked.reference.name
        sealed = means.sealed.get((asked.project_id, asked.environment, name))
        if sealed is None:
            raise Unavailable(f"the store has no secret {name!r}: set it with 'rondel secret set {name}'.")
        if sealed.origin != asked.origin:
            raise Unavailable(f"its secret {name!r} is for {sealed.origin} and is not sent to {asked.origin}.")
        bound = bound_to(asked.project_id, asked.environment, name, asked.origin)
        return Secret(field_of(unseal(sealed.text, means.keys(), bound=bound), asked.reference))
