"""What commands print, and the files that they are given."""

import json
from pathlib import Path

import pytest

from rondel.errors import Invalid, NotFound
from rondel.terminal import listing, read_document, table

ID = "run_01M847K2KC52SMGCEQGN1RJ9MJ"


def test_what_people_wrote_is_no_markup_and_values_are_json(capsys: pytest.CaptureFixture[str]) -> None:
    table([{"text": "[system] hi", "value": {"a": None}}], {"Text": "text", "Value": "value"}, empty="")
    told = capsys.readouterr().out
    assert "[system] hi" in told
    assert '{"a": null}' in told


def test_ids_are_not_broken(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"id": ID, "subject": ID, "note": "word " * 60}
    table([row], {"Job": "id", "For": "subject", "Note": "note"}, empty="")
    assert capsys.readouterr().out.count(ID) == 2


@pytest.mark.parametrize("found", [{"name": "faq"}, [{"name": "faq"}]])
def test_a_listing_for_machines_is_what_the_api_gave(found: object, capsys: pytest.CaptureFixture[str]) -> None:
    listing(found, {"Name": "name"}, json=True)
    assert json.loads(capsys.readouterr().out) == found
    listing(found, {"Name": "name"}, json=False)
    assert [line.strip() for line in capsys.readouterr().out.splitlines()] == ["Name", "faq"]


def test_a_file_that_is_no_mapping_is_refused_with_what_it_should_hold(tmp_path: Path) -> None:
    file = tmp_path / "prompt.yaml"
    with pytest.raises(NotFound, match=r"no file .*prompt\.yaml"):
        read_document(file)
    for content, said in (("- a list", "must hold names"), ("a: [", "is not YAML")):
        file.write_text(content)
        with pytest.raises(Invalid, match=said):
            read_document(file, holds="names")
    file.write_text("name: é")
    assert read_document(file) == {"name": "é"}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("2026-11-23T15:57:03.123456Z", "2026-11-23 15:57:03Z"),
        ("2026-11-23T15:57:03+00:00", "2026-11-23 15:57:03Z"),
        ("2026-11-23T15:57:03+02:00", "2026-11-23T15:57:03+02:00"),
        ("on 2026-11-23T15:57:03Z", "on 2026-11-23T15:57:03Z"),
    ],
)
def test_times_are_shown_to_the_second(value: str, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    table([{"at": value}], {"When": "at"}, empty="")
    assert capsys.readouterr().out.splitlines()[1].strip() == shown
