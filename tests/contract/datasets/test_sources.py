"""Every bundled source passes the contract; the formats' own faults are told in words."""

import csv
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from rondel.datasets.ports import SOURCES, Source
from rondel.datasets.sources.csv import Csv
from rondel.datasets.sources.jsonl import Jsonl
from rondel.datasets.sources.parquet import Parquet
from rondel.errors import Invalid
from rondel.testing.sources import SourceContract


class TestJsonl(SourceContract):
    """JSON lines."""

    def source(self) -> Source:
        return Jsonl()

    def write(self, path: Path, rows: Sequence[Mapping[str, object]]) -> None:
        path.write_text("\n".join(json.dumps(row) for row in rows) + "\n", encoding="utf-8")


class TestCsv(SourceContract):
    """CSV, as Python's own writer makes it."""

    def source(self) -> Source:
        return Csv()

    def write(self, path: Path, rows: Sequence[Mapping[str, object]]) -> None:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


class TestParquet(SourceContract):
    """Parquet, as pyarrow writes it."""

    def source(self) -> Source:
        return Parquet()

    def write(self, path: Path, rows: Sequence[Mapping[str, object]]) -> None:
        parquet.write_table(pa.Table.from_pylist([dict(row) for row in rows]), path)


def refused(source: Source, path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(Invalid) as caught:
        list(source.rows(path, path.name))
    return caught.value.message


def test_jsonl_faults_name_file_line_and_what_instead(tmp_path: Path) -> None:
    path = tmp_path / "faq.jsonl"
    assert refused(Jsonl(), path, b'{"input": "a"}\n\n{"input": \n').startswith("faq.jsonl line 3 is not JSON (")
    assert "is not an object" in refused(Jsonl(), path, b"[1]\n")
    assert "is not JSON" in refused(Jsonl(), path, b"[" * 200_000)
    assert "did you mean 'expected'?" in refused(Jsonl(), path, b'{"input": "a", "expcted": 1}\n')


def test_csv_faults_name_file_line_and_what_instead(tmp_path: Path) -> None:
    path = tmp_path / "faq.csv"
    assert "line 3 has 3 cells, the header has 2" in refused(Csv(), path, b"input,expected\na,b\nc,d,e\n")
    assert "two columns called 'input'" in refused(Csv(), path, b"input,input\na,b\n")
    assert "is empty" in refused(Csv(), path, b"")
    assert "is not CSV" in refused(Csv(), path, b'input\n"open\n')
    assert "is not UTF-8" in refused(Csv(), path, "input\nümläut\n".encode("latin-1"))
    assert "begins like JSON and is not" in refused(Csv(), path, b'input,expected\na,"{""b"": "\n')


def test_csv_cells_that_hold_json_become_values(tmp_path: Path) -> None:
    path = tmp_path / "faq.csv"
    path.write_bytes('\ufeffq,a\nhi,"{""x"": [1, null]}"\nho,\n'.encode())
    rows = list(Csv(input="q", expected="a").rows(path, path.name))
    assert [row.expected for row in rows] == [{"x": [1, None]}, None]


def test_a_damaged_parquet_file_is_no_crash(tmp_path: Path) -> None:
    path = tmp_path / "faq.parquet"
    parquet.write_table(pa.Table.from_pylist([{"input": f"m{i}"} for i in range(5000)]), path)
    whole = path.read_bytes()
    for content in (b"", b"PAR1", whole[: len(whole) // 2], whole[:100] + b"\x00" * 200 + whole[300:]):
        path.write_bytes(content)
        with suppress(Invalid):
            list(Parquet().rows(path, path.name))


def test_parquet_bytes_are_refused_by_column(tmp_path: Path) -> None:
    path = tmp_path / "faq.parquet"
    parquet.write_table(pa.Table.from_pylist([{"input": "a", "image": b"\x89PNG"}]), path)
    with pytest.raises(Invalid, match="column 'image' holds bytes"):
        list(Parquet().rows(path, path.name))


def test_the_bundled_sources_are_found_by_name() -> None:
    assert {"csv", "jsonl", "parquet"} <= {info.name for info in SOURCES.list()}
    assert SOURCES.get("csv") is Csv
