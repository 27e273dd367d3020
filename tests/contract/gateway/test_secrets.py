"""The encrypted store on both databases: written once, never shown, bound to a host, sealed by a key elsewhere."""

import base64
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from rondel.audit.service import Audit
from rondel.errors import Conflict, Invalid, NotFound, RondelError, Unavailable
from rondel.gateway.models import SavedConnection
from rondel.gateway.secrets.keys import Keys, key_file
from rondel.gateway.secrets.models import Asked
from rondel.gateway.secrets.reading import Reading
from rondel.gateway.secrets.rules import parse_reference
from rondel.gateway.secrets.sealing import key_id
from rondel.gateway.secrets.service import Secrets
from rondel.gateway.secrets.store import SECRETS, SecretStore
from rondel.gateway.store import GatewayStore
from rondel.identity.models import Actor
from rondel.ids import Ids
from rondel.storage.models import Scope
from rondel.storage.rows.database import Database

TEXT = "sk-proj-this-is-the-secret-itself"
ORIGIN = "https://api.openai.com:443"


class House:
    """A store over one database, whose keys a test may change."""

    def __init__(self, rows: Database, audit: Audit, ids: Ids, scope: Scope, actor: Actor, folder: Path) -> None:
        self.rows, self.audit, self.ids, self.scope, self.actor = rows, audit, ids, scope, actor
        self.keys = Keys("", folder / "config" / "secrets.key", folder / "data")

    @property
    def secrets(self) -> Secrets:
        """The service."""
        return Secrets(store=SecretStore(), connections=GatewayStore(), audit=self.audit, ids=self.ids, keys=self.keys)

    def set(self, name: str, text: str = TEXT, origin: str = ORIGIN, scope: Scope | None = None) -> None:
        """Keep one."""
        with self.rows.transaction() as tx:
            self.secrets.set(tx, scope or self.scope, self.actor, name, text, origin)

    def connect(self, name: str, secret: str) -> None:
        """A connection that goes by a secret."""
        with self.rows.transaction() as tx:
            made = SavedConnection(self.ids.new("con"), name, "openai", "", secret, {}, {}, tx.now())
            GatewayStore().save_connection(tx, self.scope, made)

    def read(self, name: str, origin: str = ORIGIN) -> str:
        """As a worker reads it: from what the snapshot holds."""
        with self.rows.reading() as tx:
            sealed = {(one.project_id, one.environment, one.name): one for one in self.secrets.sealed(tx, self.scope)}
        reading = Reading(environ={}, folder=Path("nowhere"), keys=self.keys.read, now_ns=lambda: 0)
        reference = parse_reference(f"store:{name}", ["store"])
        return reading.read(Asked(reference, self.scope.project_id, self.scope.environment, origin), sealed).text

    def rotate(self) -> tuple[str, int, tuple[str, ...]]:
        """Seal everything anew."""
        with self.rows.transaction() as tx:
            return self.secrets.rotate_key(tx, self.scope, self.actor)


@pytest.fixture
def house(rows: Database, audit: Audit, ids: Ids, scope: Scope, actor: Actor, tmp_path: Path) -> House:
    made = House(rows, audit, ids, scope, actor, tmp_path)
    made.set("openai", f" {TEXT}\n")
    made.connect("main", "store:openai")
    return made


def test_a_secret_is_read_by_workers_and_shown_to_nobody(house: House) -> None:
    assert house.read("openai") == TEXT
    with house.rows.reading() as tx:
        [view] = house.secrets.list(tx, house.scope)
        assert (view.name, view.origin, view.used_by) == ("openai", ORIGIN, ("main",))
        entries = house.audit.page(tx, house.scope)
        shown = repr([view, entries, list(tx.execute(select(SECRETS)))])
    assert TEXT not in shown
    assert base64.b64encode(TEXT.encode()).decode() not in shown
    assert [entry.action for entry in entries] == ["secret.save"]


def test_only_what_connections_go_by_is_in_the_snapshot(house: House) -> None:
    house.set("spare")
    house.set("vertex", "{}", "https://aiplatform.googleapis.com:443")
    house.connect("google", "gcp-token:store:vertex")
    with house.rows.reading() as tx:
        assert [one.name for one in house.secrets.sealed(tx, house.scope)] == ["openai", "vertex"]


def test_the_same_text_is_sealed_differently_each_time(house: House) -> None:
    texts: set[str] = set()
    for _ in range(3):
        house.set("openai")
        with house.rows.reading() as tx:
            texts |= {secret.text for secret in SecretStore().list(tx, house.scope)}
    assert len(texts) == 3


def test_a_secret_in_use_keeps_its_host_and_stays(house: House) -> None:
    with pytest.raises(Conflict, match=r"is for https://api\.openai\.com:443 and in use by connection 'main'"):
        house.set("openai", origin="https://other.example:443")
    with pytest.raises(Conflict, match="in use by connection 'main'"), house.rows.transaction() as tx:
        house.secrets.remove(tx, house.scope, house.actor, "openai")
    assert house.read("openai") == TEXT


def test_what_nobody_uses_can_be_removed_or_bound_anew(house: House) -> None:
    house.set("spare")
    house.set("spare", origin="http://127.0.0.1:8000")
    with house.rows.transaction() as tx:
        assert house.secrets.remove(tx, house.scope, house.actor, "spare").origin == "http://127.0.0.1:8000"
        with pytest.raises(NotFound, match="Did you mean 'openai'"):
            house.secrets.remove(tx, house.scope, house.actor, "openia")


@pytest.mark.parametrize(
    ("name", "text"), [("a b", TEXT), ("../x", TEXT), ("", TEXT), ("x", " \n"), ("x", "a" * 70_000)]
)
def test_what_cannot_be_a_secret_is_refused_without_repeating_it(house: House, name: str, text: str) -> None:
    with pytest.raises(Invalid) as refused:
        house.set(name, text)
    assert TEXT not in refused.value.message
    assert "aaaa" not in refused.value.message


def test_the_key_file_is_made_outside_the_data_folder_for_its_owner_alone(house: House, tmp_path: Path) -> None:
    path = tmp_path / "config" / "secrets.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert len(base64.b64decode(path.read_text())) == 32
    inside = tmp_path / "data" / "secrets.key"
    house.keys = replace(house.keys, path=inside)
    with pytest.raises(Invalid, match="RONDEL_SECRETS_KEY_FILE"):
        house.set("other")
    assert not inside.exists()


def test_the_key_file_stands_with_the_users_configuration_unless_a_setting_says_another() -> None:
    assert key_file("", {"XDG_CONFIG_HOME": "/etc/x"}) == Path("/etc/x/rondel/secrets.key")
    assert key_file("", {}) == Path.home() / ".config" / "rondel" / "secrets.key"
    assert key_file("/run/keys/rondel", {"XDG_CONFIG_HOME": "/etc/x"}) == Path("/run/keys/rondel")


def test_another_key_loses_nothing_and_says_which_one_is_missing(house: House) -> None:
    right = house.keys
    before = key_id(right.read()[0])
    house.keys = replace(right, configured=base64.b64encode(b"w" * 32).decode())
    with pytest.raises(Unavailable, match=f"the key {before} that sealed its secret is not here: put it back"):
        house.read("openai")
    assert house.rotate() == (key_id(b"w" * 32), 0, ("openai",))
    house.keys = right
    assert house.read("openai") == TEXT


def test_no_key_at_all_is_one_sentence(house: House, tmp_path: Path) -> None:
    house.keys = replace(house.keys, path=tmp_path / "gone")
    with pytest.raises(Unavailable, match=r"RONDEL_SECRETS_KEY is not set, and '.*gone' is no file"):
        house.read("openai")


@pytest.mark.parametrize("configured", ["short", "AAAA", "not base64!", ",", base64.b64encode(bytes(31)).decode()])
def test_what_is_no_key_is_told_so_and_not_repeated(house: House, configured: str) -> None:
    house.keys = replace(house.keys, configured=configured)
    with pytest.raises(Unavailable, match="32 bytes in base64") as refused:
        house.read("openai")
    assert len(configured) < 3 or configured not in refused.value.message


def test_rotation_seals_every_projects_secrets_under_a_new_key(house: House) -> None:
    elsewhere = Scope("prj_other", "production")
    house.set("theirs", scope=elsewhere)
    old = house.keys.read()
    new_id, sealed, unreadable = house.rotate()
    assert (sealed, unreadable) == (2, ())
    assert house.keys.read()[1:] == old
    assert key_id(house.keys.read()[0]) == new_id != key_id(old[0])
    assert house.read("openai") == TEXT
    with house.rows.reading() as tx:
        assert {secret.key_id for _, secret in SecretStore().everywhere(tx)} == {new_id}
        assert "secret.rotate_key" in [entry.action for entry in house.audit.page(tx, house.scope)]
    house.keys.path.write_text(house.keys.path.read_text().splitlines()[0])  # the earlier key is not needed any more
    assert house.read("openai") == TEXT


def test_configured_keys_are_rotated_by_putting_a_new_one_first(house: House) -> None:
    first, second = (base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2))
    house.keys = replace(house.keys, configured=first)
    house.set("openai")
    house.keys = replace(house.keys, configured=f"{second},{first}")
    assert house.read("openai") == TEXT
    assert house.rotate()[:2] == (key_id(b"\2" * 32), 1)
    house.keys = replace(house.keys, configured=second)
    assert house.read("openai") == TEXT


def test_a_rotation_that_is_not_committed_leaves_what_was_there(house: House) -> None:
    with pytest.raises(RondelError, match="stop"), house.rows.transaction() as tx:
        house.secrets.rotate_key(tx, house.scope, house.actor)
        raise RondelError("stop")
    assert house.read("openai") == TEXT
