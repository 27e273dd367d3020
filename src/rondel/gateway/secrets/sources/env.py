"""`env:NAME`: a variable of the gateway's own environment."""

import re
from dataclasses import dataclass

from rondel.errors import Invalid, Unavailable
from rondel.gateway.secrets.models import Asked, Secret
from rondel.gateway.secrets.ports import Means
from rondel.gateway.secrets.rules import field_of

_NAME = re.compile(r"[A-Za-z0-9_]*_(?:API_KEY|KEY|TOKEN)|RONDEL_SECRET_[A-Za-z0-9_]+")
_OURS = re.compile(r"RONDEL_(?!SECRET_).*|VAULT_TOKEN|AWS_SECRET_ACCESS_KEY|AWS_SESSION_TOKEN")
"""What this installation itself goes by: a connection that could send these somewhere would give everything away."""


@dataclass(frozen=True)
class Environment:
    """Variables that look like keys; not every variable, since who may make a connection says where it is sent."""

    renewed_every_s: float | None = None

    def check(self, name: str, field: str) -> None:  # noqa: ARG002  any field may be one
        """A name of the two forms."""
        if not _NAME.fullmatch(name) or _OURS.fullmatch(name):
            raise Invalid(
                "A secret env:NAME takes a name that ends in _API_KEY, _KEY or _TOKEN, or begins with RONDEL_SECRET_; "
                "not one by which this installation itself is known elsewhere."
            )

    def read(self, asked: Asked, means: Means) -> Secret:
        """The variable as it was when the process started."""
        name = asked.reference.name
        value = means.environ.get(name, "").strip()
        if not value:
            raise Unavailable(f"the environment variable {name!r} of its secret is not set.")
        return Secret(field_of(value, asked.reference))
