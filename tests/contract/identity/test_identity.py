"""Who may, and who may not."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from rondel.audit.service import Audit
from rondel.clock import FixedClock
from rondel.errors import Conflict, Forbidden, Invalid, NotFound, Unauthorized
from rondel.identity.models import Actor, Role
from rondel.identity.rules import INCLUDES, may
from rondel.identity.service import Identity
from rondel.identity.store import KEYS, SESSIONS, IdentityStore
from rondel.ids import Ids
from rondel.storage.models import Scope
from rondel.storage.rows.database import Database


@pytest.fixture
def identity(audit: Audit, ids: Ids, clock: FixedClock) -> Identity:
    """The service over a standing clock."""
    return Identity(store=IdentityStore(), audit=audit, ids=ids, clock=clock, secret=b"s" * 32)


def test_the_first_start_shows_the_admin_key_once(rows: Database, identity: Identity) -> None:
    with rows.transaction() as tx:
        first = identity.first_start(tx, "shop", "production")
        again = identity.first_start(tx, "other", "production")
    assert first.secret is not None
    assert again == (first.project, None)
    with rows.reading() as tx:
        caller = identity.caller(tx, first.secret, Role.ADMIN)
        assert caller.actor.name == "admin"
        assert caller.scope == Scope(first.project.id, "production")


def test_no_secret_is_stored(rows: Database, identity: Identity, scope: Scope, actor: Actor) -> None:
    with rows.transaction() as tx:
        issued = identity.issue_key(tx, scope, actor, name="k", role=Role.VIEWER)
        token = identity.sign_in(tx, issued.secret)
    with rows.reading() as tx:
        stored = repr(tx.execute(select(KEYS)).all()) + repr(tx.execute(select(SESSIONS)).all())
    assert issued.secret not in stored
    assert token not in stored


@pytest.mark.parametrize("held", Role)
@pytest.mark.parametrize("needed", Role)
def test_a_key_opens_what_its_role_includes_and_nothing_else(
    rows: Database, identity: Identity, scope: Scope, actor: Actor, held: Role, needed: Role
) -> None:
    with rows.transaction() as tx:
        issued = identity.issue_key(tx, scope, actor, name="k", role=held)
        if needed in INCLUDES[held]:
            assert identity.caller(tx, issued.secret, needed).actor.role is held
        else:
            with pytest.raises(Forbidden):
                identity.caller(tx, issued.secret, needed)


def test_nobody_gives_more_rights_than_they_have(
    rows: Database, identity: Identity, scope: Scope, actor: Actor
) -> None:
    with rows.transaction() as tx:
        developer = identity.caller(
            tx, identity.issue_key(tx, scope, actor, name="d", role=Role.DEVELOPER).secret, Role.DEVELOPER
        )
        for role in Role:
            if may(Role.DEVELOPER, role):
                identity.issue_key(tx, scope, developer.actor, name=role.value, role=role)
            else:
                with pytest.raises(Forbidden):
                    identity.issue_key(tx, scope, developer.actor, name=role.value, role=role)


@pytest.mark.parametrize("text", ["", "sk-rondel-", "' or 1=1 --", "\x00", "sk-rondel-" + "0" * 48, "ä" * 1000])
def test_an_unknown_key_is_refused_whatever_it_holds(rows: Database, identity: Identity, text: str) -> None:
    with rows.reading() as tx, pytest.raises(Unauthorized):
        identity.caller(tx, text, Role.CALLER)


def test_a_revoked_and_an_expired_key_open_nothing(
    rows: Database, identity: Identity, scope: Scope, actor: Actor, clock: FixedClock
) -> None:
    with rows.transaction() as tx:
        revoked = identity.issue_key(tx, scope, actor, name="a", role=Role.CALLER)
        until = clock.now() + timedelta(hours=1)
        expiring = identity.issue_key(tx, scope, actor, name="b", role=Role.CALLER, expires_at=until)
        identity.revoke_key(tx, scope, actor, "a")
        with pytest.raises(Unauthorized):
            identity.caller(tx, revoked.secret, Role.CALLER)
        identity.caller(tx, expiring.secret, Role.CALLER)
        clock.advance(3600)
        with pytest.raises(Unauthorized):
            identity.caller(tx, expiring.secret, Role.CALLER)
        with pytest.raises(NotFound, match="Did you mean 'a'"):
            identity.revoke_key(tx, scope, actor, "aa")


def test_a_link_signs_in_once_and_a_session_runs_out(
    rows: Database, identity: Identity, scope: Scope, actor: Actor, clock: FixedClock
) -> None:
    with rows.transaction() as tx:
        key = identity.issue_key(tx, scope, actor, name="a", role=Role.ADMIN).key
        link = identity.open_link(tx, key.id)
        session = identity.sign_in(tx, link)
        assert identity.session(tx, session).actor.name == "a"
        with pytest.raises(Unauthorized):
            identity.sign_in(tx, link)
        with pytest.raises(Unauthorized):
            identity.session(tx, link)
        clock.advance(12 * 3600)
        with pytest.raises(Unauthorized):
            identity.session(tx, session)


def test_a_caller_key_does_not_open_the_console(rows: Database, identity: Identity, scope: Scope, actor: Actor) -> None:
    with rows.transaction() as tx:
        issued = identity.issue_key(tx, scope, actor, name="app", role=Role.CALLER)
        with pytest.raises(Unauthorized):
            identity.sign_in(tx, issued.secret)


def test_names_are_taken_once(rows: Database, identity: Identity, scope: Scope, actor: Actor) -> None:
    with rows.transaction() as tx:
        identity.add_person(tx, scope, actor, "Ada", Role.DEVELOPER)
        with pytest.raises(Conflict):
            identity.add_person(tx, scope, actor, "Ada", Role.DEVELOPER)
        with pytest.raises(NotFound, match="Did you mean 'Ada'"):
            identity.issue_key(tx, scope, actor, name="k", role=Role.VIEWER, person="Adda")


def test_both_secrets_open_while_they_overlap_and_then_the_new_one_alone(
    rows: Database, identity: Identity, clock: FixedClock, scope: Scope, actor: Actor
) -> None:
    with rows.transaction() as tx:
        first = identity.issue_key(tx, scope, actor, name="app", role=Role.CALLER)
        second = identity.rotate_key(tx, scope, actor, "app", timedelta(hours=1))
        assert second.key.id == first.key.id
        for secret in (first.secret, second.secret):
            assert identity.caller(tx, secret, Role.CALLER).key.id == first.key.id
        clock.advance(3600)
        with pytest.raises(Unauthorized):
            identity.caller(tx, first.secret, Role.CALLER)
        identity.caller(tx, second.secret, Role.CALLER)
        third = identity.rotate_key(tx, scope, actor, "app", timedelta(hours=1))
        fourth = identity.rotate_key(tx, scope, actor, "app", timedelta(hours=1))
        with pytest.raises(Unauthorized):
            identity.caller(tx, second.secret, Role.CALLER)
        identity.caller(tx, third.secret, Role.CALLER)
        last = identity.rotate_key(tx, scope, actor, "app", timedelta(0))
        with pytest.raises(Unauthorized):
            identity.caller(tx, fourth.secret, Role.CALLER)
        identity.revoke_key(tx, scope, actor, "app")
        for secret in (fourth.secret, last.secret):
            with pytest.raises(Unauthorized):
                identity.caller(tx, secret, Role.CALLER)
        with pytest.raises(Conflict, match="opens nothing any more"):
            identity.rotate_key(tx, scope, actor, "app", timedelta(0))


def test_nobody_renews_a_key_with_more_rights_than_their_own(
    rows: Database, identity: Identity, scope: Scope, actor: Actor
) -> None:
    with rows.transaction() as tx:
        issued = identity.issue_key(tx, scope, actor, name="dev", role=Role.DEVELOPER)
        identity.issue_key(tx, scope, actor, name="root", role=Role.ADMIN)
        developer = identity.caller(tx, issued.secret, Role.DEVELOPER).actor
        with pytest.raises(Forbidden):
            identity.rotate_key(tx, scope, developer, "root", timedelta(0))
        with pytest.raises(Invalid, match="0 to 90 days"):
            identity.rotate_key(tx, scope, actor, "dev", timedelta(days=91))


def test_a_key_belongs_to_one_team_and_owners_are_written_as_they_are_read(
    rows: Database, identity: Identity, scope: Scope, actor: Actor
) -> None:
    with rows.transaction() as tx:
        shop = identity.add_team(tx, scope, actor, "shop")
        key = identity.issue_key(tx, scope, actor, name="app", role=Role.CALLER, team="shop").key
        with pytest.raises(Conflict):
            identity.add_team(tx, scope, actor, "shop")
        with pytest.raises(NotFound, match="Did you mean 'shop'"):
            identity.change_key(tx, scope, actor, "app", team="shp")
        assert identity.teams_of(tx, [key.id, "key_none"]) == {key.id: shop.id}
        name = identity.owner_names(tx, scope)
        for text in ("key:app", "team:shop", "user:ada", "user:*", "user:a:b", "project"):
            assert name(identity.owner(tx, scope, text)) == text
        assert identity.owner(tx, scope, "app") == identity.owner(tx, scope, "key:app")
        with pytest.raises(NotFound, match="environment 'production'"):
            identity.owner(tx, Scope(scope.project_id, "staging"), "app")
        with pytest.raises(NotFound):
            identity.owner(tx, Scope("prj_other", "production"), "team:shop")
        assert identity.change_key(tx, scope, actor, "app", team="").team_id is None
        identity.change_key(tx, scope, actor, "app", team="shop")
        identity.remove_team(tx, scope, actor, "shop")
        assert identity.key(tx, scope, "app").team_id is None


def test_a_key_is_given_another_end(
    rows: Database, identity: Identity, clock: FixedClock, scope: Scope, actor: Actor
) -> None:
    with rows.transaction() as tx:
        issued = identity.issue_key(tx, scope, actor, name="app", role=Role.CALLER)
        identity.change_key(tx, scope, actor, "app", expires_at=clock.now() + timedelta(days=1))
        clock.advance(86_400)
        with pytest.raises(Unauthorized):
            identity.caller(tx, issued.secret, Role.CALLER)
