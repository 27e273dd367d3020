"""The provider of a connection, made with the connection's options."""

from collections.abc import Mapping

from rondel.errors import Invalid
from rondel.gateway.ports import PROVIDERS, Provider


def provider_of(kind: str, base_url: str, options: Mapping[str, object]) -> Provider:
    """The provider as a connection has it: its `base_url` is the connection's, else the provider's own.

    Raises:
        NotFound, Unavailable: there is none of this kind, or it needs a library that is not installed.
        Invalid: the options do not fit it.
    """
    given = {**options, "base_url": base_url} if base_url else options
    try:
        return PROVIDERS.get(kind)(**{name: frozen(value) for name, value in given.items()})
    except TypeError as error:
        raise Invalid(f"The options do not fit provider {kind!r}: {error}.") from error


def frozen(value: object) -> object:
    """Lists as tuples, for frozen dataclasses."""
    return tuple(value) if isinstance(value, list) else value  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]  JSON
