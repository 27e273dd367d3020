"""`rondel key` over the API of an application in this process."""

import json
from datetime import timedelta
from typing import Any

import cyclopts
import pytest
from fastapi.testclient import TestClient

from rondel.audit.service import Audit
from rondel.client.http import ApiError
from rondel.clock import FixedClock
from rondel.errors import Invalid
from rondel.identity.api import Access, routes
from rondel.identity.commands import group
from rondel.identity.models import Role
from rondel.identity.service import Identity
from rondel.identity.store import IdentityStore
from rondel.ids import Ids
from rondel.server.app import build
from rondel.storage.rows.database import Database
from tests.contract.registry.over import Over

Capture = pytest.CaptureFixture[str]


class House:
    """The API with its first admin key, and the commands over it."""

    def __init__(self, rows: Database, audit: Audit, ids: Ids, clock: FixedClock) -> None:
        self._rows = rows
        self._clock = clock
        self._identity = Identity(store=IdentityStore(), audit=audit, ids=ids, clock=clock, secret=b"s" * 32)
        with rows.transaction() as tx:
            self.admin = str(self._identity.first_start(tx, "shop", "production").secret)
        access = Access(self._identity, rows)
        self._client = TestClient(build([routes(self._identity, rows, access)], version="0"))

    def commands(self, key: str | None = None) -> cyclopts.App:
        """The group in the name of whoever holds `key`."""
        return group(lambda: Over(self._client, key or self.admin), self._clock)

    def role_of(self, secret: str) -> tuple[str, Role]:
        """The name behind a secret and what it may do; raises when it opens nothing."""
        with self._rows.reading() as tx:
            actor = self._identity.caller(tx, secret, Role.CALLER).actor
        return actor.name, actor.role


@pytest.fixture
def house(memory: Database, audit: Audit, ids: Ids, clock: FixedClock) -> House:
    """A project with its admin."""
    return House(memory, audit, ids, clock)


def _told(app: cyclopts.App, capsys: Capture, *arguments: str) -> Any:
    app([*arguments, "--json"], result_action="return_value")
    return json.loads(capsys.readouterr().out)


def test_the_secret_is_shown_once_and_opens_what_its_role_includes(house: House, capsys: Capture) -> None:
    app = house.commands()
    app(["create", "checkout service"], result_action="return_value")
    shown = capsys.readouterr().out
    secret = next(word for word in shown.split() if word.startswith("sk-rondel-"))
    assert house.role_of(secret) == ("checkout service", Role.CALLER)
    assert "rondel gateway limit 'checkout service'" in shown
    app(["list"], result_action="return_value")
    assert secret not in capsys.readouterr().out
    assert secret not in json.dumps(_told(app, capsys, "list"))


def test_a_key_of_a_person_acts_in_that_name(house: House, capsys: Capture) -> None:
    app = house.commands()
    assert _told(app, capsys, "add-person", "Bob", "--role", "approver")["role"] == "approver"
    assert [person["name"] for person in _told(app, capsys, "people")] == ["admin", "Bob"]
    made = _told(app, capsys, "create", "bobs-laptop", "--person", "Bob", "--role", "approver")
    assert house.role_of(made["secret"]) == ("Bob", Role.APPROVER)
    app(["list"], result_action="return_value")
    assert "Bob" in capsys.readouterr().out


def test_a_key_ends_after_its_days(house: House, capsys: Capture, clock: FixedClock) -> None:
    made = _told(house.commands(), capsys, "create", "trial", "--expires-in-days", "2")
    clock.advance(timedelta(days=2).total_seconds() - 1)
    house.role_of(made["secret"])
    clock.advance(1)
    with pytest.raises(Exception, match="known and valid"):
        house.role_of(made["secret"])


@pytest.mark.parametrize("days", ["0", "-1", "36501", "nan"])
def test_an_end_that_is_none_is_refused_before_anything_is_issued(house: House, capsys: Capture, days: str) -> None:
    with pytest.raises(Invalid, match="--expires-in-days"):
        house.commands()(["create", "trial", f"--expires-in-days={days}"], result_action="return_value")
    assert len(_told(house.commands(), capsys, "list", "--everything")) == 1


def test_a_revoked_key_opens_nothing_and_leaves_the_list(house: House, capsys: Capture) -> None:
    app = house.commands()
    made = _told(app, capsys, "create", "old one?")
    assert _told(app, capsys, "revoke", "old one?")["revoked_at"]
    with pytest.raises(Exception, match="known and valid"):
        house.role_of(made["secret"])
    assert "old one?" not in [key["name"] for key in _told(app, capsys, "list")]
    assert "old one?" in [key["name"] for key in _told(app, capsys, "list", "--everything")]
    with pytest.raises(ApiError, match="Did you mean 'admin'"):
        app(["revoke", "admmin"], result_action="return_value")


def test_of_keys_with_one_name_the_newest_that_still_opens_something_is_revoked(house: House, capsys: Capture) -> None:
    app = house.commands()
    first, second = (_told(app, capsys, "create", "twin")["id"] for _ in range(2))
    ended = [_told(app, capsys, "revoke", "twin") for _ in range(3)]
    assert [key["id"] for key in ended] == [second, first, second]
    assert ended[2] == ended[0]


def test_only_an_admin_issues_and_revokes(house: House, capsys: Capture) -> None:
    developer = house.commands(_told(house.commands(), capsys, "create", "dev", "--role", "developer")["secret"])
    assert [key["name"] for key in _told(developer, capsys, "list")] == ["admin", "dev"]
    for refused in (["create", "x"], ["revoke", "admin"], ["add-person", "Eve"]):
        with pytest.raises(ApiError, match="needs the role 'admin'"):
            developer(refused, result_action="return_value")


def test_whoever_is_missing_is_named_with_the_nearest_name(house: House) -> None:
    with pytest.raises(ApiError, match="Did you mean 'admin'"):
        house.commands()(["create", "k", "--person", "Admin"], result_action="return_value")
