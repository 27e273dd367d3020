"""What an import comes to."""

from typing import NamedTuple

from rondel.gateway.configuring import GatewayConfig


class Note(NamedTuple):
    """Something that was not taken over as it is: where it stands, why, and what to do instead."""

    where: str
    why: str
    instead: str

    @property
    def sentence(self) -> str:
        """All of it in a line, whatever signs the names in it have."""
        line = f"{self.where}: {self.why} {self.instead}".strip()
        return "".join(sign if sign.isprintable() else "?" for sign in line)


class Imported(NamedTuple):
    """Our configuration, and all that is not in it."""

    config: GatewayConfig
    notes: tuple[Note, ...]

    @property
    def sentences(self) -> tuple[str, ...]:
        """The notes for people: what is to be said of several places is said once."""
        places: dict[tuple[str, str], list[str]] = {}
        for note in self.notes:
            places.setdefault((note.why, note.instead), []).append(note.where)
        return tuple(Note(", ".join(where), *said).sentence for said, where in places.items())


class Notes:
    """Gathers notes; the same one is kept once."""

    def __init__(self) -> None:
        self._kept: dict[Note, None] = {}

    def add(self, where: str, why: str, instead: str) -> None:
        """Keep one."""
        self._kept.setdefault(Note(where, why, instead))

    def all(self) -> tuple[Note, ...]:
        """In the order in which they were found."""
        return tuple(self._kept)
