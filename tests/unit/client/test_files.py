"""Files are written whole or not at all."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from rondel.client.files import save
from rondel.client.http import ApiError


def broken() -> Iterator[bytes]:
    yield b"half"
    raise ApiError("The server broke off.")


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    save(file, [b"a", b"b"])
    assert file.read_bytes() == b"ab"
    with pytest.raises(ApiError, match="broke off"):
        save(file, broken())
    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [("out.jsonl", b"ab")]


def test_a_folder_that_is_not_there_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(ApiError, match="cannot be written: No such file or directory") as caught:
        save(tmp_path / "nowhere" / "out.jsonl", [b"a"])
    assert caught.value.code == "invalid_request"
