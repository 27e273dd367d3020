"""Our own sources keep the contract; those of others do so in the integration tests, with their real libraries."""

from pathlib import Path

import pytest

from rondel.gateway.secrets.models import Sealed, Secret
from rondel.gateway.secrets.ports import KeptSecrets, Means, SecretSource
from rondel.gateway.secrets.rules import bound_to
from rondel.gateway.secrets.sealing import seal
from rondel.gateway.secrets.sources.env import Environment
from rondel.gateway.secrets.sources.file import File
from rondel.gateway.secrets.sources.store import Store
from rondel.testing.secrets import SecretSourceContract

KEY, ORIGIN = bytes(32), "https://up.example:443"


class Contract(SecretSourceContract):
    """With something at each place."""

    @pytest.fixture
    def means(self, tmp_path: Path) -> Means:
        (tmp_path / "here").write_text("sk-file\n")
        text = seal("sk-store", KEY, bound=bound_to("prj", "test", "here", ORIGIN), nonce=bytes(12))
        sealed = Sealed(project_id="prj", environment="test", name="here", origin=ORIGIN, text=text)
        return Means(
            environ={"HERE_KEY": "sk-env"},
            folder=tmp_path,
            keys=lambda: (KEY,),
            sealed={("prj", "test", "here"): sealed},
            now_ns=lambda: 0,
            read=lambda _: Secret(""),
        )


class TestEnvironment(Contract):
    kind, there, missing, wrong = "env", "HERE_KEY", "OTHER_KEY", "LD_LIBRARY_PATH"

    @pytest.fixture
    def source(self) -> SecretSource:
        return Environment()


class TestFile(Contract):
    kind, there, missing, wrong = "file", "here", "there", "../here"

    @pytest.fixture
    def source(self) -> SecretSource:
        return File()


class TestStore(Contract):
    kind, there, missing, wrong = "store", "here", "there", "a/b"

    @pytest.fixture
    def source(self) -> SecretSource:
        return Store()


class TestKept(Contract):
    kind, there, missing, wrong = "kept", "here", "gone", "never"

    @pytest.fixture
    def source(self) -> SecretSource:
        return KeptSecrets({"here": Secret("sk-kept"), "gone": Secret("")}, lost={"gone"})
