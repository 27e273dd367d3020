"""The contract of secret sources. Subclass it, and give `source`, `kind`, `there`, `wrong` and `means`."""

import pytest

from rondel.errors import Invalid, RondelError
from rondel.gateway.secrets.models import Asked, Reference
from rondel.gateway.secrets.ports import Means, SecretSource
from rondel.gateway.secrets.rules import parse_reference, written


class SecretSourceContract:
    """What every source of secrets holds to."""

    kind: str
    there: str
    """A name at which `means` has a secret."""
    missing: str
    """A name of the right form at which it has none."""
    wrong: str
    """What no name of this kind looks like."""

    @pytest.fixture
    def source(self) -> SecretSource:
        """The source under test."""
        raise NotImplementedError

    @pytest.fixture
    def means(self) -> Means:
        """What it reads with."""
        raise NotImplementedError

    def _asked(self, name: str) -> Asked:
        return Asked(Reference(self.kind, name), "prj", "test", "https://up.example:443")

    def test_its_names_can_be_written_in_a_reference(self) -> None:
        for name in (self.there, self.missing):
            reference = Reference(self.kind, name)
            assert parse_reference(written(reference), [self.kind]) == reference

    def test_it_reads_what_is_there(self, source: SecretSource, means: Means) -> None:
        source.check(self.there, "")
        assert source.read(self._asked(self.there), means).text

    def test_what_is_not_there_is_one_sentence(self, source: SecretSource, means: Means) -> None:
        source.check(self.missing, "")
        with pytest.raises(RondelError) as refused:
            source.read(self._asked(self.missing), means)
        assert "\n" not in refused.value.message
        assert refused.value.message.endswith(".")

    def test_a_name_that_cannot_be_one_is_refused_and_not_repeated(self, source: SecretSource) -> None:
        with pytest.raises(Invalid) as refused:
            source.check(self.wrong, "")
        assert self.wrong not in refused.value.message

    def test_it_is_read_again_after_seconds_or_never(self, source: SecretSource) -> None:
        assert source.renewed_every_s is None or source.renewed_every_s > 0
