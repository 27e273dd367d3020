"""Projects, people and keys: who is asking, and may they?"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from rondel.audit.service import Audit
from rondel.clock import Clock
from rondel.errors import Conflict, Forbidden, Invalid, NotFound, Unauthorized, did_you_mean
from rondel.events import Event, announce
from rondel.identity.models import (
    Actor,
    ActorKind,
    Caller,
    FirstStart,
    Issued,
    Key,
    Owner,
    OwnerKind,
    Person,
    Project,
    Role,
    Team,
    system,
)
from rondel.identity.rules import PREFIX, console_key, console_secret, key_hash, may, pepper, shown
from rondel.identity.store import IdentityStore
from rondel.ids import Ids
from rondel.storage.models import Scope
from rondel.storage.ports import Tx


class KeysChanged(Event, frozen=True, kw_only=True):
    """A key was made, changed or ended, or a team was: gateways need a new snapshot. `key_id` is empty for a team."""

    key_id: str


LONGEST_OVERLAP = timedelta(days=90)
"""A secret that was replaced opens nothing after this, whatever was asked."""


class Identity:
    """Makes and checks identities."""

    def __init__(self, *, store: IdentityStore, audit: Audit, ids: Ids, clock: Clock, secret: bytes) -> None:
        self._store = store
        self._audit = audit
        self._ids = ids
        self._clock = clock
        self.pepper = pepper(secret)
        self._console_key = console_key(secret)

    def first_start(self, tx: Tx, project_name: str, environment: str) -> FirstStart:
        """Create the first project and its admin key; at later starts just find the project."""
        tx.lock("rondel-first-start")
        if self._store.count_projects(tx):
            return FirstStart(self._store.projects(tx)[0], None)
        project = self.create_project(tx, project_name)
        scope = Scope(project.id, environment)
        admin = self.add_person(tx, scope, system(project.id), "admin", Role.ADMIN)
        issued = self.issue_key(tx, scope, system(project.id), name="admin", role=Role.ADMIN, person=admin.name)
        return FirstStart(project, issued.secret)

    def create_project(self, tx: Tx, name: str) -> Project:
        """A new project.

        Raises:
            Conflict: the name is taken.
        """
        if self._store.project(tx, name):
            raise Conflict(f"A project called {name!r} exists already.")
        project = Project(self._ids.new("prj"), name, self._clock.now())
        self._store.add_project(tx, project)
        self._audit.record(tx, Scope(project.id, ""), system(project.id), "project.create", project.id, name=name)
        return project

    def project(self, tx: Tx, name_or_id: str) -> Project:
        """By name or id.

        Raises:
            NotFound: there is none; the message says which there are.
        """
        if project := self._store.project(tx, name_or_id):
            return project
        known = [project.name for project in self._store.projects(tx)]
        raise NotFound(f"No project is called {name_or_id!r}. {did_you_mean(name_or_id, known)}")

    def projects(self, tx: Tx) -> list[Project]:
        """All, oldest first."""
        return self._store.projects(tx)

    def add_person(self, tx: Tx, scope: Scope, actor: Actor, name: str, role: Role) -> Person:
        """Somebody new in a project.

        Raises:
            Conflict: the name is taken.
        """
        if self._store.person(tx, scope.project_id, name):
            raise Conflict(f"A person called {name!r} is in the project already.")
        person = Person(self._ids.new("per"), scope.project_id, name, role, self._clock.now())
        self._store.add_person(tx, person)
        self._audit.record(tx, scope, actor, "person.add", person.id, name=name, role=role.value)
        return person

    def people(self, tx: Tx, scope: Scope) -> list[Person]:
        """Everybody of a project."""
        return self._store.people(tx, scope.project_id)

    def issue_key(
        self,
        tx: Tx,
        scope: Scope,
        actor: Actor,
        *,
        name: str,
        role: Role,
        person: str | None = None,
        expires_at: datetime | None = None,
        team: str | None = None,
    ) -> Issued:
        """A new key; its secret text is in the answer and nowhere else.

        Raises:
            NotFound: nobody has the name given as `person`, or no team that given as `team`.
            Forbidden: a key cannot give more rights than its maker has.
        """
        if not may(actor.role, role):
            raise Forbidden(f"{actor.name!r} is {actor.role.value} and cannot make a key with the role {role.value!r}.")
        owner = self._store.person(tx, scope.project_id, person) if person else None
        if person and owner is None:
            known = [somebody.name for somebody in self._store.people(tx, scope.project_id)]
            raise NotFound(f"Nobody in the project is called {person!r}. {did_you_mean(person, known)}")
        if not name or len(name) > 200:
            raise Invalid("A key needs a name of at most 200 characters, such as 'checkout-service'.")
        secret = PREFIX + self._ids.secret()
        key = Key(
            id=self._ids.new("key"),
            project_id=scope.project_id,
            environment=scope.environment,
            name=name,
            role=role,
            person_id=owner.id if owner else None,
            hash=key_hash(secret, self.pepper),
            shown=shown(secret),
            created_at=self._clock.now(),
            expires_at=expires_at,
            team_id=self.team(tx, scope, team).id if team else None,
        )
        self._store.add_key(tx, key)
        self._audit.record(tx, scope, actor, "key.issue", key.id, name=name, role=role.value)
        announce(tx, KeysChanged(project_id=scope.project_id, environment=scope.environment, key_id=key.id))
        return Issued(key, secret)

    def revoke_key(self, tx: Tx, scope: Scope, actor: Actor, name_or_id: str) -> Key:
        """End a key for good; gateways refuse it within a second. One that was ended before stays as it is.

        Raises:
            NotFound: the project has no such key.
        """
        key = self.key(tx, scope, name_or_id)
        if key.revoked_at is not None:
            return key
        now = self._clock.now()
        self._store.revoke(tx, key.id, now)
        self._audit.record(tx, scope, actor, "key.revoke", key.id, name=key.name)
        announce(tx, KeysChanged(project_id=scope.project_id, environment=scope.environment, key_id=key.id))
        return replace(key, revoked_at=now)

    def key(self, tx: Tx, scope: Scope, name_or_id: str) -> Key:
        """By id, or of that name: one that is not revoked before one that is, then the newest.

        Raises:
            NotFound: the project has no such key.
        """
        if found := self._store.key(tx, scope.project_id, name_or_id):
            return found
        known = [other.name for other in self._store.keys(tx, scope.project_id)]
        raise NotFound(f"No key is called {name_or_id!r}. {did_you_mean(name_or_id, known)}")

    def rotate_key(self, tx: Tx, scope: Scope, actor: Actor, name_or_id: str, overlap: timedelta) -> Issued:
        """A new secret for a key; the one before it opens the same for `overlap`, one before that nothing any more.

        Raises:
            NotFound: the project has no such key.
            Forbidden: the key has rights that the actor does not have.
            Invalid: the overlap is less than nothing, or longer than 90 days.
            Conflict: the key is revoked or has expired.
        """
        key, now = self.key(tx, scope, name_or_id), self._clock.now()
        if not may(actor.role, key.role):
            raise Forbidden(
                f"{actor.name!r} is {actor.role.value} and cannot renew a key with role {key.role.value!r}."
            )
        if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
            raise Invalid(f"The old secret may go on for 0 to {LONGEST_OVERLAP.days} days, not {overlap.days}.")
        if not key.is_valid(now):
            raise Conflict(f"Key {key.name!r} opens nothing any more: issue another.")
        secret = PREFIX + self._ids.secret()
        renewed = replace(
            key,
            hash=key_hash(secret, self.pepper),
            shown=shown(secret),
            old_hash=key.hash if overlap else None,
            old_until=now + overlap if overlap else None,
        )
        self._store.save_key(tx, renewed)
        self._audit.record(tx, scope, actor, "key.rotate", key.id, name=key.name, old_until=renewed.old_until)
        announce(tx, KeysChanged(project_id=scope.project_id, environment=scope.environment, key_id=key.id))
        return Issued(renewed, secret)

    def change_key(
        self,
        tx: Tx,
        scope: Scope,
        actor: Actor,
        name_or_id: str,
        *,
        team: str | None = None,
        expires_at: datetime | None = None,
    ) -> Key:
        """Move a key to a team ("" for none), or let it end at another time; None leaves it as it is.

        Raises:
            NotFound: the project has no such key, or no such team.
        """
        key = self.key(tx, scope, name_or_id)
        if team is not None:
            key = replace(key, team_id=self.team(tx, scope, team).id if team else None)
        if expires_at is not None:
            key = replace(key, expires_at=expires_at)
        self._store.save_key(tx, key)
        self._audit.record(tx, scope, actor, "key.change", key.id, team_id=key.team_id, expires_at=key.expires_at)
        announce(tx, KeysChanged(project_id=scope.project_id, environment=scope.environment, key_id=key.id))
        return key

    # Teams, and who else can have limits

    def add_team(self, tx: Tx, scope: Scope, actor: Actor, name: str) -> Team:
        """A new team, without keys.

        Raises:
            Conflict: the name is taken.
            Invalid: it is no name.
        """
        if not name or len(name) > 200:
            raise Invalid("A team needs a name of at most 200 characters, such as 'checkout'.")
        if any(team.name == name for team in self._store.teams(tx, scope.project_id)):
            raise Conflict(f"A team called {name!r} exists already.")
        team = Team(self._ids.new("tea"), scope.project_id, name, self._clock.now())
        self._store.add_team(tx, team)
        self._audit.record(tx, scope, actor, "team.add", team.id, name=name)
        return team

    def teams(self, tx: Tx, scope: Scope) -> list[Team]:
        """Of a project, by name."""
        return self._store.teams(tx, scope.project_id)

    def team(self, tx: Tx, scope: Scope, name_or_id: str) -> Team:
        """By name or id.

        Raises:
            NotFound: there is none.
        """
        teams = self._store.teams(tx, scope.project_id)
        found = next((team for team in teams if name_or_id in {team.id, team.name}), None)
        if found is None:
            raise NotFound(f"No team is called {name_or_id!r}. {did_you_mean(name_or_id, [t.name for t in teams])}")
        return found

    def remove_team(self, tx: Tx, scope: Scope, actor: Actor, name_or_id: str) -> Team:
        """Forget a team; its keys stay and belong to none.

        Raises:
            NotFound: there is none.
        """
        team = self.team(tx, scope, name_or_id)
        self._store.remove_team(tx, team)
        self._audit.record(tx, scope, actor, "team.remove", team.id, name=team.name)
        announce(tx, KeysChanged(project_id=scope.project_id, environment=scope.environment, key_id=""))
        return team

    def teams_of(self, tx: Tx, key_ids: Sequence[str]) -> dict[str, str]:
        """The team's id of each of these keys that has one."""
        return self._store.teams_of(tx, key_ids)

    def owner(self, tx: Tx, scope: Scope, text: str) -> Owner:
        """Whom `key:NAME`, `team:NAME`, `user:NAME`, `user:*` or `project` means; a name alone is a key's.

        Raises:
            NotFound: there is no such key in this environment, or no such team.
            Invalid: it is empty.
        """
        kind, colon, name = text.partition(":")
        match kind, bool(colon and name):
            case "project", False if not colon:
                return Owner(OwnerKind.PROJECT, "")
            case "team", True:
                return Owner(OwnerKind.TEAM, self.team(tx, scope, name).id)
            case "user", True:
                return Owner(OwnerKind.USER, name)
            case "key", True:
                return Owner(OwnerKind.KEY, self._key_here(tx, scope, name))
            case _ if text:
                return Owner(OwnerKind.KEY, self._key_here(tx, scope, text))
            case _:
                raise Invalid("Say whose: key:NAME, team:NAME, user:NAME, user:* (each end user) or project.")

    def _key_here(self, tx: Tx, scope: Scope, name_or_id: str) -> str:
        key = self.key(tx, scope, name_or_id)
        if key.environment != scope.environment:
            raise NotFound(f"Key {key.name!r} is one of environment {key.environment!r}, not of {scope.environment!r}.")
        return key.id

    def owner_names(self, tx: Tx, scope: Scope) -> Callable[[Owner], str]:
        """Writes owners as `owner` reads them; one that is gone by its id."""
        names = {key.id: key.name for key in self._store.keys(tx, scope.project_id)}
        names |= {team.id: team.name for team in self._store.teams(tx, scope.project_id)}

        def name(owner: Owner) -> str:
            if owner.kind is OwnerKind.PROJECT:
                return "project"
            known = owner.id if owner.kind is OwnerKind.USER else names.get(owner.id, owner.id)
            return f"{owner.kind.value}:{known}"

        return name

    def keys(self, tx: Tx, scope: Scope) -> list[Key]:
        """The keys of a project."""
        return self._store.keys(tx, scope.project_id)

    def all_keys(self, tx: Tx) -> list[Key]:
        """The keys of every project, for the gateway's snapshot."""
        return self._store.keys(tx)

    def console_secret(self, key_id: str) -> str:
        """By which the console asks the gateway for who is signed in with this key: what the key may call, its limits
        and its budgets hold, and it ends with the key."""
        return console_secret(key_id, self._console_key)

    def console_hash(self, key_id: str) -> str:
        """The keyed hash of `console_secret`, for the gateway's snapshot."""
        return key_hash(self.console_secret(key_id), self.pepper)

    def caller(self, tx: Tx, text: str, needed: Role, *, environment: str | None = None) -> Caller:
        """Who holds the key `text`.

        Raises:
            Unauthorized: nobody does, or no longer.
            Forbidden: the holder may not do what asks for `needed`.
        """
        return self._allowed(tx, self._known(tx, text), needed, environment)

    def _known(self, tx: Tx, text: str) -> Key | None:
        return self._store.key_by_hash(tx, key_hash(text, self.pepper), self._clock.now())

    def open_link(self, tx: Tx, key_id: str, *, minutes: int = 10) -> str:
        """A token for a sign-in link that works once."""
        token = self._ids.secret()
        until = self._clock.now() + timedelta(minutes=minutes)
        self._store.add_session(tx, key_hash(token, self.pepper), key_id, until, single_use=True)
        return token

    def sign_in(self, tx: Tx, text: str, *, hours: int = 12) -> str:
        """A console session for the holder of a key, or of the token of a one-time link; returns the cookie's value.

        Raises:
            Unauthorized: it is neither.
        """
        hash_, now = key_hash(text, self.pepper), self._clock.now()
        key = self._store.key_by_hash(tx, hash_, now)
        if key is None:
            key = self._store.session_key(tx, hash_, now, single_use=True)
            self._store.end_session(tx, hash_)
        if key is None or not key.is_valid(now) or not may(key.role, Role.VIEWER):
            raise Unauthorized("This key or link does not open the console: make a new link with 'rondel open'.")
        token = self._ids.secret()
        self._store.add_session(
            tx, key_hash(token, self.pepper), key.id, now + timedelta(hours=hours), single_use=False
        )
        self._audit.record(tx, Scope(key.project_id, key.environment), self._actor(tx, key), "session.start", key.id)
        return token

    def session(self, tx: Tx, token: str, needed: Role = Role.VIEWER) -> Caller:
        """Who is signed in with this cookie; errors as in `caller`."""
        key = self._store.session_key(tx, key_hash(token, self.pepper), self._clock.now(), single_use=False)
        return self._allowed(tx, key, needed, None)

    def sign_out(self, tx: Tx, token: str) -> None:
        """End a console session."""
        self._store.end_session(tx, key_hash(token, self.pepper))

    def _allowed(self, tx: Tx, key: Key | None, needed: Role, environment: str | None) -> Caller:
        if key is None or not key.is_valid(self._clock.now()):
            raise Unauthorized("This needs a key that is known and valid: send 'Authorization: Bearer sk-rondel-…'.")
        actor = self._actor(tx, key)
        if not may(actor.role, needed):
            raise Forbidden(f"This needs the role {needed.value!r}; {actor.name!r} is {actor.role.value!r}.")
        return Caller(actor, Scope(key.project_id, environment or key.environment), key)

    def _actor(self, tx: Tx, key: Key) -> Actor:
        person = self._store.person(tx, key.project_id, key.person_id) if key.person_id else None
        if person:
            return Actor(person.id, person.name, ActorKind.PERSON, key.role, key.project_id)
        return Actor(key.id, key.name, ActorKind.KEY, key.role, key.project_id)
