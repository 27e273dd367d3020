"""The use cases of kept answers: forget them."""

import builtins
from collections.abc import Callable, Collection

from rondel.audit.service import Audit
from rondel.errors import Invalid, NotFound, did_you_mean
from rondel.events import announce
from rondel.gateway.models import GatewayChanged
from rondel.gateway.purges.models import Forgotten, Purge
from rondel.gateway.purges.store import PurgeStore
from rondel.governance.models import ErasureOrdered
from rondel.identity.models import Actor, system
from rondel.identity.service import Identity
from rondel.ids import Ids
from rondel.storage.models import Scope
from rondel.storage.ports import Tx

ERASED = "cache.erase"
"""The receipt of an order to erase."""

RouteNames = Callable[[Tx, Scope], Collection[str]]


class Purges:
    """Orders to forget, of every project's environment. Workers carry them out within a second of the commit, and give
    nothing again that was kept before; a receipt says what is forgotten.
    """

    def __init__(
        self, *, store: PurgeStore, identity: Identity, audit: Audit, ids: Ids, route_names: RouteNames
    ) -> None:
        self._store, self._identity, self._audit, self._ids = store, identity, audit, ids
        self._route_names = route_names

    def forget_route(self, tx: Tx, scope: Scope, actor: Actor, route: str) -> Forgotten:
        """Forget all answers of a route.

        Raises:
            NotFound: there is no such route; what one that was removed has left goes with its project.
        """
        known = self._route_names(tx, scope)
        if route not in known:
            raise NotFound(f"There is no route {route!r}. {did_you_mean(route, known)}")
        return self._order(tx, scope, actor, "route", route, route=route)

    def forget_key(self, tx: Tx, scope: Scope, actor: Actor, key: str) -> Forgotten:
        """Forget all answers that a key (its name or id) alone was given, and all that keys of its project share: those
        do not know who asked for them.

        Raises:
            NotFound: the project has no such key, or it is one of another environment.
        """
        found = self._identity.key(tx, scope, key)
        if found.environment != scope.environment:
            where = f"of environment {found.environment!r}, not of {scope.environment!r}"
            raise NotFound(f"Key {found.name!r} is one {where}.")
        return self._order(tx, scope, actor, "key", found.name, key_id=found.id)

    def forget_project(self, tx: Tx, scope: Scope, actor: Actor, project: str) -> Forgotten:
        """Forget all answers of the project in this environment; `project` is its name or id, so that nobody forgets
        those of another by mistake.

        Raises:
            Invalid: the caller's key is one of another project.
        """
        own = self._identity.project(tx, scope.project_id)
        if project not in {own.id, own.name}:
            raise Invalid(f"Your key is one of project {own.name!r}, and forgets nothing of {project!r}.")
        return self._order(tx, scope, actor, "project", own.name)

    def forget_all(self, tx: Tx, scope: Scope, actor: Actor) -> Forgotten:
        """Forget all answers of the project in each of its environments."""
        keys = self._identity.all_keys(tx)
        environments = {key.environment for key in keys if key.project_id == scope.project_id} | {scope.environment}
        token = self._ids.new("pur")
        for environment in sorted(environments):
            purge = Purge(project_id=scope.project_id, environment=environment, token=token)
            self._save(tx, Scope(scope.project_id, environment), purge)
        name = self._identity.project(tx, scope.project_id).name
        forgotten = Forgotten(token=token, what="project", name=name, environments=tuple(sorted(environments)))
        self._record(tx, scope, actor, "cache.purge", forgotten)
        return forgotten

    def erase(self, tx: Tx, order: ErasureOrdered) -> Forgotten:
        """What an order to erase asks of kept answers: all of the project's environment go, since an answer may be
        given to more people than the one whose request it was kept for, and does not know them.

        The receipt stands in the audit log under the order's id. Told twice, nothing happens twice.
        """
        scope = Scope(order.project_id, order.environment)
        name = self._identity.project(tx, scope.project_id).name
        forgotten = Forgotten(token=order.order_id, what="project", name=name, environments=(scope.environment,))
        if self._audit.page(tx, scope, subject=order.order_id, action=ERASED, limit=1):
            return forgotten  # the row of the order may be a later one's by now
        purge = Purge(project_id=scope.project_id, environment=scope.environment, token=order.order_id)
        self._save(tx, scope, purge)
        self._record(tx, scope, system(scope.project_id), ERASED, forgotten)
        return forgotten

    def list(self, tx: Tx, scope: Scope) -> builtins.list[Purge]:
        """The newest order of each thing."""
        return self._store.list(tx, scope)

    def everywhere(self, tx: Tx) -> builtins.list[Purge]:
        """The same of every project's environment, whether or not anybody can call there now: what was kept while
        somebody could has to go.
        """
        return self._store.everywhere(tx)

    def _order(
        self, tx: Tx, scope: Scope, actor: Actor, what: str, name: str, *, route: str = "", key_id: str = ""
    ) -> Forgotten:
        token = self._ids.new("pur")
        purge = Purge(
            project_id=scope.project_id, environment=scope.environment, token=token, route=route, key_id=key_id
        )
        self._save(tx, scope, purge)
        forgotten = Forgotten(token=token, what=what, name=name, environments=(scope.environment,))
        self._record(tx, scope, actor, "cache.purge", forgotten)
        return forgotten

    def _save(self, tx: Tx, scope: Scope, purge: Purge) -> None:
        self._store.save(tx, scope, purge)
        place = {"project_id": scope.project_id, "environment": scope.environment}
        announce(tx, GatewayChanged(**place, subject="cache", name=purge.route))

    def _record(self, tx: Tx, scope: Scope, actor: Actor, action: str, receipt: Forgotten) -> None:
        told = {"what": receipt.what, "name": receipt.name, "environments": list(receipt.environments)}
        self._audit.record(tx, scope, actor, action, receipt.token, **told)
