"""The contract of dataset sources: subclass `SourceContract` and say how your format is written."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from rondel.datasets.ports import Source
from rondel.errors import Invalid

ROWS: tuple[Mapping[str, object], ...] = (
    {"input": "wo ist mein Zelt? 🏕", "expected": "delivery", "split": "train", "channel": "mail"},
    {"input": 'a "quoted", two\nline text', "expected": None, "split": "", "channel": "web"},
)


class SourceContract(ABC):
    """What every source promises, whatever its format."""

    @abstractmethod
    def source(self) -> Source:
        """A source with its default options."""

    @abstractmethod
    def write(self, path: Path, rows: Sequence[Mapping[str, object]]) -> None:
        """Write the rows in the format."""

    def test_rows_come_back_with_their_lines_and_metadata(self, tmp_path: Path) -> None:
        """Input, expected and split are found by name; what is left is metadata."""
        self.write(tmp_path / "rows", ROWS)
        found = list(self.source().rows(tmp_path / "rows", "rows"))
        assert [(row.input, row.expected, row.split) for row in found] == [
            (row["input"], row["expected"], row["split"]) for row in ROWS
        ]
        assert [row.metadata for row in found] == [{"channel": row["channel"]} for row in ROWS]
        assert all(row.line >= 1 for row in found)

    def test_a_file_without_the_input_is_refused_with_its_name_and_line(self, tmp_path: Path) -> None:
        """One sentence: file, line, what was found."""
        self.write(tmp_path / "rows", [{"question": "x"}])
        with pytest.raises(Invalid) as caught:
            list(self.source().rows(tmp_path / "rows", "faq.x"))
        assert "faq.x line " in caught.value.message
        assert "'input'" in caught.value.message
        assert "'question'" in caught.value.message

    def test_garbage_is_refused_in_one_sentence(self, tmp_path: Path) -> None:
        """Bytes of another kind are no crash."""
        (tmp_path / "rows").write_bytes(b'\x80\x81"\x00garbage\nmore\xff')
        with pytest.raises(Invalid) as caught:
            list(self.source().rows(tmp_path / "rows", "faq.x"))
        assert "faq.x" in caught.value.message
        assert "\n" not in caught.value.message
