"""Checking whole texts with the checks that streams use."""

from typing import NamedTuple

from rondel.guardrails.models import Verdict
from rondel.guardrails.ports import Guardrail


class Checked(NamedTuple):
    """The text that may go on, and the verdict."""

    text: str
    verdict: Verdict


def check_text(guardrail: Guardrail, text: str) -> Checked:
    """The whole of `text` at once."""
    check = guardrail.begin()
    released = check.feed(text)
    rest = check.end()
    return Checked(released.text + rest.text, rest.verdict or Verdict(is_ok=True))
