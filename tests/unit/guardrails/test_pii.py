"""What counts as personal data, and what does not."""

import pytest

from rondel.errors import Invalid
from rondel.guardrails.checks.pii import PersonalData
from rondel.guardrails.rules import check_text


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("jane.o'neil@example.com", "jane.o'<EMAIL>"),
        ("<jane@example.com>", "<<EMAIL>>"),
        ("4111111111111111", "<CARD>"),
        ("4111-1111-1111-1111!", "<CARD>!"),
        ("order 2024 4111 1111 1111 1111 paid", "order 2024 <CARD> paid"),
        ("GB82WEST12345698765432", "<IBAN>"),
        ("DE89 3704 0044 0532 0130 00 is mine", "<IBAN> is mine"),
        ("078-05-1120", "<SSN>"),
        ("10.0.0.1:80", "<IP>:80"),
        ("sk-proj-abcdefghijklmnop", "<KEY>"),
        ("+44 20 7946 0958", "<PHONE>"),
        ("(555) 123-4567", "<PHONE>"),
        ("555-123-4567", "<PHONE>"),
    ],
)
def test_personal_data_is_taken_out(text: str, clean: str) -> None:
    checked = check_text(PersonalData(), text)
    assert checked.text == clean
    assert not checked.verdict.is_ok


@pytest.mark.parametrize(
    "text",
    [
        "4111 1111 1111 1112",
        "GB82 WEST 1234 5698 7654 33",
        "000-12-3456",
        "1.2.3.4.5",
        "300.1.1.1",
        "2024-01-15 12:30",
        "31.12.2024",
        "sk-short",
        "a@b",
        "12 345 items",
        "version 3.11.7",
    ],
)
def test_what_only_looks_like_it_stays(text: str) -> None:
    checked = check_text(PersonalData(kinds=("CARD", "IBAN", "SSN", "IP", "KEY", "EMAIL")), text)
    assert checked.text == text
    assert checked.verdict.is_ok


def test_dates_are_no_telephone_numbers() -> None:
    assert check_text(PersonalData(), "on 2024-01-15 12:30 and 31.12.2024").verdict.is_ok


def test_only_the_chosen_kinds_are_looked_for() -> None:
    assert check_text(PersonalData(kinds=("EMAIL",)), "a@b.io 078-05-1120").text == "<EMAIL> 078-05-1120"


def test_an_unknown_kind_is_refused_with_the_nearest() -> None:
    with pytest.raises(Invalid, match="Did you mean 'EMAIL'"):
        PersonalData(kinds=("EMIAL",))


def test_the_verdict_counts_by_kind() -> None:
    verdict = check_text(PersonalData(), "a@b.io, c@d.io, 078-05-1120").verdict
    assert dict(verdict.found) == {"EMAIL": 2, "SSN": 1}
    assert verdict.reason == "Took out 3 of personal data: EMAIL, SSN."


def test_ordinary_text_is_hardly_held_back() -> None:
    check = PersonalData().begin()
    held = longest = 0
    words = "The quick brown fox jumps over the lazy dog and runs away from it."
    for word in words.split() * 5:
        held += len(word) + 1 - len(check.feed(word + " ").text)
        longest = max(longest, held)
    assert longest == 0
