"""Personal data by its form: found in a stream exactly as in the whole text, whichever way it is cut.

A match consists of characters that personal data is made of, and has at most `_LONGEST` of them; `_LAST_BREAK` ends
with the last that is none of them. So text before that is decided, and in a longer run everything that no match can
reach from the unknown rest. Only what is undecided is held back. Numbers with a check digit (cards, IBANs) must pass
it.
"""

import re
from collections import Counter
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from rondel.errors import Invalid, did_you_mean
from rondel.guardrails.models import Capability, Released, Verdict

_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_FORMS = {
    "EMAIL": r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,4}",
    "KEY": r"(?<![A-Za-z0-9_-])(?:(?:sk|pk|rk|ghp|gho|glpat|xox[abprs])[-_][A-Za-z0-9_-]{16,160}|AKIA[A-Z0-9]{16})"
    r"(?![A-Za-z0-9])",
    "IBAN": r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}(?![A-Za-z0-9])",
    "CARD": r"(?<![\d.])\d(?:[ -]?\d){11,34}(?!\d)",
    "IP": rf"(?<![\w.])(?:{_OCTET}\.){{3}}{_OCTET}(?!\w|\.\d)",
    "SSN": r"(?<![\d-])(?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\d-])",
    "PHONE": r"(?<![\w.+-])(?:\+?\d{1,3}[ .-]?)?(?:\(\d{1,5}\)[ .-]?)?\d{2,6}(?:[ .-]\d{2,6}){0,4}(?:x\d{1,6})?"
    r"(?!\w|-\d)",
}
KINDS = tuple(_FORMS)
_LONGEST = 400  # no form matches more characters, its look-ahead included
_LAST_BREAK = re.compile(r"(?s:.*)(?:[^A-Za-z0-9._%+@() -]|(?<![A-Z0-9)]) | (?![A-Z0-9(+]|\Z))")
_SIGN = re.compile(r"[\d@_-]|AKIA")
"""Text without one of these holds no match, which is found out sooner than by looking for each form."""
_IBANS = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DK18 DO28 EE20 EG29 ES24 FI18 "
    "FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 "
    "LU20 LV21 LY25 MC27 MD24 ME22 MK19 MR27 MT31 MU30 NL18 NO15 PK24 PL28 PS29 PT25 QA29 RO24 RS22 SA24 SC31 SE24 "
    "SI19 SK24 SM27 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20"
)
_IBAN_LENGTHS = {entry[:2]: int(entry[2:]) for entry in _IBANS.split()}
_DATE = re.compile(r"(?:19|20)\d\d[-. ]\d\d[-. ]\d\d(?!\d)|\d\d?[-. ]\d\d?[-. ](?:19|20)\d\d(?!\d)")
_MARKED_DIGITS = 7  # of a telephone number that shows a + or parentheses
_FEWEST_DIGITS = 8  # of another one; one more when it has only two groups
_MOST_DIGITS = 15  # ITU-T E.164


class _Found(NamedTuple):
    kind: str
    start: int
    end: int


@dataclass(frozen=True)
class PersonalData:
    """Puts `<EMAIL>`, `<CARD>`, ... in the place of personal data; never refuses a text."""

    kinds: tuple[str, ...] = KINDS

    capabilities: ClassVar[frozenset[Capability]] = frozenset({Capability.EDITS})

    def __post_init__(self) -> None:
        for kind in self.kinds:
            if kind not in _FORMS:
                raise Invalid(f"The guardrail 'pii' knows no kind {kind!r}. {did_you_mean(kind, KINDS)}")
        if not self.kinds:
            raise Invalid(f"The guardrail 'pii' needs at least one kind of {', '.join(KINDS)}.")

    def begin(self) -> "Redaction":
        """Redact one text."""
        return Redaction(re.compile("|".join(f"(?P<{kind}>{_FORMS[kind]})" for kind in KINDS if kind in self.kinds)))


class Redaction:
    """One text on its way through."""

    def __init__(self, forms: re.Pattern[str]) -> None:
        self._forms = forms
        self._text = ""
        self._at = 0  # text before this is released; one character of it is kept for look-behinds
        self._found = Counter[str]()

    def feed(self, text: str) -> Released:
        """Release all that is decided."""
        begin = max(self._at, len(self._text) - 1)
        self._text += text
        found = _LAST_BREAK.match(self._text, begin)
        cut = self._at if found is None else found.end()
        return Released(self._release(max(cut, len(self._text) - _LONGEST)))

    def end(self) -> Released:
        """Release the rest; the verdict counts what was taken out."""
        text = self._release(len(self._text), is_whole=True)
        count = self._found.total()
        reason = f"Took out {count} of personal data: {', '.join(sorted(self._found))}." if count else ""
        return Released(text, Verdict(is_ok=count == 0, found=dict(self._found), reason=reason))

    def _release(self, decided: int, *, is_whole: bool = False) -> str:
        """The text up to `decided`, or up to the end of a match that begins before it."""
        parts: list[str] = []
        search, copied = self._at, self._at
        if _SIGN.search(self._text, search) is None:
            search = len(self._text)
        while match := self._forms.search(self._text, search):
            if match.start() >= decided and not is_whole:
                break
            found = _judge(match)
            if found is None:
                search = match.start() + 1
                continue
            parts += (self._text[copied : found.start], f"<{found.kind}>")
            self._found[found.kind] += 1
            search = copied = found.end
        if copied < decided:
            parts.append(self._text[copied:decided])
            copied = decided
        kept = max(copied - 1, 0)
        self._text, self._at = self._text[kept:], copied - kept
        return "".join(parts)


def _judge(match: re.Match[str]) -> _Found | None:
    """What of a match is personal data: numbers that have a check digit must pass it."""
    kind, start, end = match.lastgroup or "", match.start(), match.end()
    if kind == "CARD":
        return _card(match[0], start)
    if kind == "IBAN":
        length = _iban_length(match[0])
        return _Found(kind, start, start + length) if length else None
    if kind == "PHONE" and not _is_phone(match[0]):
        return None
    return _Found(kind, start, end)


def _is_phone(text: str) -> bool:
    """Enough digits for its form (a bare group of digits is none), and no date."""
    if _DATE.match(text):
        return False
    digits = sum(sign.isdigit() for sign in text.partition("x")[0])
    separators = sum(sign in " .-" for sign in text)
    if text[0] == "+" or "(" in text:
        return _MARKED_DIGITS <= digits <= _MOST_DIGITS
    return separators > 0 and (_FEWEST_DIGITS if separators > 1 else _FEWEST_DIGITS + 1) <= digits <= _MOST_DIGITS


def _card(text: str, offset: int) -> _Found | None:
    """The longest run of whole groups with 12 to 19 digits that passes the Luhn check; the first of equal ones."""
    groups = [(group.start(), group.end()) for group in re.finditer(r"\d+", text)]
    best: tuple[int, int] | None = None
    longest = 0
    for first, (start, _) in enumerate(groups):
        for _, end in groups[first:]:
            digits = re.sub(r"\D", "", text[start:end])
            if 12 <= len(digits) <= 19 and len(digits) > longest and _passes_luhn(digits):
                best, longest = (start, end), len(digits)
    return _Found("CARD", offset + best[0], offset + best[1]) if best else None


def _passes_luhn(digits: str) -> bool:
    """ISO/IEC 7812-1, annex B."""
    total = 0
    for position, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + position % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0 and set(digits) != {"0"}


def _iban_length(text: str) -> int:
    """How many characters of `text` are an IBAN of its country's length that passes mod 97 (ISO 13616-1); else 0."""
    wanted = _IBAN_LENGTHS.get(text[:2], 0)
    plain, end = "", 0
    while end < len(text) and len(plain) < wanted:
        plain += text[end].strip()
        end += 1
    if not wanted or len(plain) != wanted or text[end : end + 1].isalnum():
        return 0
    number = "".join(str(int(sign, 36)) for sign in plain[4:] + plain[:4])
    return end if int(number) % 97 == 1 else 0
