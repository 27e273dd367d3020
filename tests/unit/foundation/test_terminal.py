"""What commands print."""

import pytest

from rondel.terminal import table

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
