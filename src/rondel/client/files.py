"""Files that commands write: whole, or not at all."""

from collections.abc import Iterable
from pathlib import Path

from rondel.client.http import ApiError


def save(file: Path, pieces: Iterable[bytes]) -> None:
    """Write `pieces` to `file`, which appears when the last of them has come.

    Raises:
        ApiError: it cannot be written; nothing is left behind.
    """
    draft = file.with_name(file.name + ".draft")
    try:
        with draft.open("wb") as output:
            output.writelines(pieces)
        draft.replace(file)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise ApiError(f"{str(file)!r} cannot be written: {error.strerror}.", code="invalid_request") from error
    except ApiError:
        draft.unlink(missing_ok=True)
        raise
