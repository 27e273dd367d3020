"""The contract of guardrail plugins. Subclass it, and give `guardrail` and some `texts`."""

from collections.abc import Sequence
from dataclasses import fields, is_dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rondel.guardrails.models import Capability, Verdict
from rondel.guardrails.ports import Guardrail
from rondel.guardrails.rules import check_text


def in_pieces(guardrail: Guardrail, pieces: Sequence[str]) -> tuple[str, Verdict | None]:
    """The text that a stream of `pieces` becomes, and its verdict."""
    check = guardrail.begin()
    text = "".join(check.feed(piece).text for piece in pieces)
    ended = check.end()
    return text + ended.text, ended.verdict


class GuardrailContract:
    """What every guardrail holds to, whatever it looks for."""

    @pytest.fixture
    def guardrail(self) -> Guardrail:
        """The guardrail under test."""
        raise NotImplementedError

    @pytest.fixture
    def texts(self) -> Sequence[str]:
        """Texts in which it finds something, and some in which it does not."""
        raise NotImplementedError

    def test_any_cut_gives_the_text_and_the_verdict_of_the_whole(
        self, guardrail: Guardrail, texts: Sequence[str]
    ) -> None:
        for text in texts:
            whole = check_text(guardrail, text)
            for at in range(len(text) + 1):
                assert in_pieces(guardrail, [text[:at], text[at:]]) == (whole.text, whole.verdict)
            assert in_pieces(guardrail, list(text)) == (whole.text, whole.verdict)

    def test_random_cuts_of_random_texts(self, guardrail: Guardrail, texts: Sequence[str]) -> None:
        piece = st.one_of(
            st.text(max_size=20), st.sampled_from([*texts, " ", "1", "@", "."]), st.text("A1 -@.", max_size=9)
        )

        @settings(max_examples=150, deadline=None)
        @given(st.lists(piece, max_size=8))
        def holds(pieces: list[str]) -> None:
            whole = check_text(guardrail, "".join(pieces))
            assert in_pieces(guardrail, pieces) == (whole.text, whole.verdict)

        holds()

    def test_what_does_not_edit_releases_every_piece_at_once(self, guardrail: Guardrail, texts: Sequence[str]) -> None:
        if Capability.EDITS in guardrail.capabilities:
            return
        check = guardrail.begin()
        for text in texts:
            assert check.feed(text).text == text
        assert not check.end().text

    def test_what_is_held_back_is_bounded(self, guardrail: Guardrail, texts: Sequence[str]) -> None:
        check = guardrail.begin()
        held = 0
        for text in [*texts, "x" * 10_000, *("1" for _ in range(5_000))]:
            held += len(text) - len(check.feed(text).text)
        assert held < 5_000 + sum(map(len, texts))

    def test_the_reason_never_quotes_the_text(self, guardrail: Guardrail, texts: Sequence[str]) -> None:
        for text in texts:
            verdict = check_text(guardrail, text).verdict
            words = {word for word in text.split() if len(word) > 8}
            assert not any(word in verdict.reason for word in words)

    def test_its_options_are_the_fields_of_a_frozen_dataclass(self, guardrail: Guardrail) -> None:
        assert is_dataclass(guardrail)
        assert all(field.init for field in fields(guardrail))
        assert hash(type(guardrail)) is not None
