"""Projects, people and keys: who is asking, and may they?"""

from dataclasses import replace
from datetime import datetime, timedelta

from rondel.audit.service import Audit
from rondel.clock import Clock
from rondel.errors import Conflict, Forbidden, Invalid, NotFound, Unauthorized, did_you_mean
from rondel.events import Event, announce
from rondel.identity.models import Actor, ActorKind, Caller, FirstStart, Issued, Key, Person, Project, Role, system
from rondel.identity.rules import PREFIX, key_hash, may, pepper, shown
from rondel.identity.store import IdentityStore
from rondel.ids import Ids
from rondel.storage.models import Scope
from rondel.storage.ports import Tx


class KeysChanged(Event, frozen=True, kw_only=True):
    """A key was made or ended: gateways need a new snapshot."""

    key_id: str


class Identity:
    """Makes and checks identities."""

    def __init__(self, *, store: IdentityStore, audit: Audit, ids: Ids, clock: Clock, secret: bytes) -> None:
        self._store = store
        self._audit = audit
        self._ids = ids
        self._clock = clock
        self.pepper = pepper(secret)

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
    ) -> Issued:
        """A new key; its secret text is in the answer and nowhere else.

        Raises:
            NotFound: nobody has the name given as `person`.
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
        key = self._store.key(tx, scope.project_id, name_or_id)
        if key is None:
            known = [other.name for other in self._store.keys(tx, scope.project_id)]
            raise NotFound(f"No key is called {name_or_id!r}. {did_you_mean(name_or_id, known)}")
        if key.revoked_at is not None:
            return key
        now = self._clock.now()
        self._store.revoke(tx, key.id, now)
        self._audit.record(tx, scope, actor, "key.revoke", key.id, name=key.name)
        announce(tx, KeysChanged(project_id=scope.project_id, environment=scope.environment, key_id=key.id))
        return replace(key, revoked_at=now)

    def keys(self, tx: Tx, scope: Scope) -> list[Key]:
        """The keys of a project."""
        return self._store.keys(tx, scope.project_id)

    def all_keys(self, tx: Tx) -> list[Key]:
        """The keys of every project, for the gateway's snapshot."""
        return self._store.keys(tx)

    def caller(self, tx: Tx, text: str, needed: Role, *, environment: str | None = None) -> Caller:
        """Who holds the key `text`.

        Raises:
            Unauthorized: nobody does, or no longer.
            Forbidden: the holder may not do what asks for `needed`.
        """
        return self._allowed(tx, self._store.key_by_hash(tx, key_hash(text, self.pepper)), needed, environment)

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
        key = self._store.key_by_hash(tx, hash_)
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
