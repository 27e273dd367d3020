"""`rondel audit`: list, verify, export."""

from collections.abc import Callable
from pathlib import Path

import cyclopts
import msgspec

from rondel.audit.models import Head
from rondel.audit.service import verify_file
from rondel.client.http import Api
from rondel.errors import Invalid, NotFound
from rondel.terminal import done, emit, listing


def group(connect: Callable[[], Api]) -> cyclopts.App:
    """The commands of the audit log."""
    app = cyclopts.App(name="audit", help="The audit log: list, verify, export.")

    @app.command(name="list")
    def list_(*, subject: str | None = None, action: str | None = None, limit: int = 50, json: bool = False) -> None:
        """The newest entries.

        Parameters
        ----------
        subject
            Only what was done to this id.
        action
            Only actions that begin so, such as `release.`.
        limit
            How many.
        json
            For machines.
        """
        entries = connect().get("/api/v1/audit", subject=subject, action=action, limit=limit)
        columns = {"No": "number", "When": "at", "Who": "actor_id", "Did": "action", "To": "subject"}
        listing(entries, columns, json=json, empty="Nothing was written yet.")

    @app.command
    def verify(
        file: Path | None = None, *, head: Path | None = None, public_key: str | None = None, json: bool = False
    ) -> int:
        """Read the whole chain: find a changed, a removed, a reordered entry, and a cut tail.

        Parameters
        ----------
        file
            An exported log; without it the running installation checks its own.
        head
            A signed head kept from earlier (a file with the JSON of `rondel audit head`): it shows a tail cut later.
        public_key
            The installation's key, kept from earlier, in hex.
        json
            For machines.
        """
        if file is None:
            told = connect().get("/api/v1/audit/verify")
        else:
            found = verify_file(_lines(file), public_key=public_key, head=_head(head))
            sentence = found.finding.sentence if found.finding else None
            told = {"intact": found.is_intact, "entries": found.entries, "finding": sentence}
        listing(told, {"Intact": "intact", "Entries": "entries", "Finding": "finding"}, json=json)
        return 0 if told["intact"] else 1

    @app.command(name="head")
    def head_() -> None:
        """The signed head as it is now: keep it elsewhere, and a tail that is cut later shows."""
        told = connect().get("/api/v1/audit/verify")
        emit({"head": told["head"], "public_key": told["public_key"]})

    @app.command
    def export(file: Path) -> None:
        """Write the log as JSON lines, with the signed head at its end.

        Parameters
        ----------
        file
            The file to write; it appears when it is whole.
        """
        api = connect()
        draft = file.with_name(file.name + ".draft")
        with draft.open("wb") as output:
            for line in api.lines("/api/v1/audit/export"):
                output.write(line)
        draft.replace(file)
        done(f"Exported to {file}.", url=f"{api.base_url}/audit", then=f"rondel audit verify {file}")

    return app


def _lines(file: Path) -> list[bytes]:
    if not file.is_file():
        raise NotFound(f"There is no file {str(file)!r}.")
    return file.read_bytes().splitlines()


def _head(file: Path | None) -> Head | None:
    if file is None:
        return None
    try:
        return msgspec.json.decode(file.read_bytes(), type=_Kept).head
    except (OSError, msgspec.DecodeError) as error:
        raise Invalid(f"{str(file)!r} holds no signed head: write one with 'rondel audit head > FILE'.") from error


class _Kept(msgspec.Struct):
    head: Head
