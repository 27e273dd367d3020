"""Deploying models: what people want, and what is seen."""

import builtins
from collections.abc import Sequence
from dataclasses import replace

from rondel.audit.models import Acting
from rondel.audit.service import Audit
from rondel.errors import Conflict, Invalid, NotFound, Unavailable, did_you_mean
from rondel.events import announce
from rondel.ids import Ids
from rondel.registry.models import ModelFormat, ModelKind, ModelVersion
from rondel.registry.service import Registry
from rondel.serving import rules
from rondel.serving.models import (
    AdapterRef,
    Capabilities,
    Deployment,
    DeploymentChanged,
    DeploymentState,
    EngineSettings,
    Observed,
    ServedName,
    Wanted,
)
from rondel.serving.ports import ENGINES, AdapterFile, EngineSpec
from rondel.serving.store import ServingStore
from rondel.storage.models import Scope
from rondel.storage.ports import Tx


class Deployments:
    """Wishes are rows; the reconciler makes them true."""

    def __init__(
        self,
        *,
        store: ServingStore,
        audit: Audit,
        ids: Ids,
        registry: Registry,
        threads: int = 0,
        dedicated_cpu: bool = False,
    ) -> None:
        """`threads` and `dedicated_cpu` are this machine's, for deployments that do not say their own."""
        self._threads = threads
        self._dedicated_cpu = dedicated_cpu
        self._store = store
        self._audit = audit
        self._ids = ids
        self._registry = registry

    def deploy(
        self,
        tx: Tx,
        scope: Scope,
        actor: Acting,
        name: str,
        *,
        model: str = "",
        engine: str = "llamacpp",
        adapters: Sequence[AdapterRef] = (),
        settings: EngineSettings | None = None,
    ) -> Deployment:
        """Want a model to be served under `name`. A deployment of that name is changed, by a rolling restart.

        `model` is a registry reference; adapters' `version_id` may be references too. Asking twice changes nothing.

        Raises:
            NotFound: the engine, the model or an adapter is not known.
            Invalid: they do not go together; the sentence says why.
        """
        rules.check_name(name)
        sizes = settings or EngineSettings()
        rules.check_settings(sizes)
        can = self.capabilities(engine)
        version = self._registry.get(tx, scope, model) if model else None
        if can.is_child_process and version is None:
            raise Invalid(f"Deployment {name!r} needs a model for engine {engine!r}, such as 'smollm2'.")
        resolved = tuple(self._adapter(tx, scope, version, adapter) for adapter in adapters)
        rules.check_adapters(resolved)
        tx.lock(f"deployment {scope.project_id} {name}")
        before = self._store.get(tx, scope, name)
        wish = Deployment(
            id=before.id if before else self._ids.new("dep"),
            name=name,
            engine=engine,
            model_id=version.id if version else "",
            model_ref=version.ref if version else "",
            adapters=resolved,
            settings=sizes,
            wanted=Wanted.RUNNING,
            generation=before.generation if before else 1,
            created_at=before.created_at if before else tx.now(),
        )
        if version is not None:
            _check_whole(version)
        return self._save(tx, scope, actor, before, wish, "deployment.deploy")

    def add_adapter(
        self, tx: Tx, scope: Scope, actor: Acting, name: str, adapter: str, *, called: str = ""
    ) -> Deployment:
        """Serve an adapter (a registry reference) on a deployment, as `name:called`; by default called as the model is.

        Engines that cannot load it while they run are restarted beside the running process.

        Raises:
            NotFound: there is no such deployment or adapter.
            Invalid: the adapter was not trained on the deployment's model.
        """
        before = self.get(tx, scope, name)
        version = self._registry.get(tx, scope, before.model_id) if before.model_id else None
        reference = AdapterRef(called or adapter.partition("@")[0], adapter)
        wanted = self._adapter(tx, scope, version, reference)
        others = tuple(other for other in before.adapters if other.name != wanted.name)
        rules.check_adapters((*others, wanted))
        wish = replace(before, adapters=(*others, wanted))
        return self._save(tx, scope, actor, before, wish, "deployment.add_adapter")

    def remove_adapter(self, tx: Tx, scope: Scope, actor: Acting, name: str, called: str) -> Deployment:
        """Serve an adapter no longer.

        Raises:
            NotFound: the deployment has none called so.
        """
        before = self.get(tx, scope, name)
        rest = tuple(adapter for adapter in before.adapters if adapter.name != called)
        if len(rest) == len(before.adapters):
            known = [adapter.name for adapter in before.adapters]
            raise NotFound(f"Deployment {name!r} has no adapter {called!r}. {did_you_mean(called, known)}")
        return self._save(tx, scope, actor, before, replace(before, adapters=rest), "deployment.remove_adapter")

    def stop(self, tx: Tx, scope: Scope, actor: Acting, name: str) -> Deployment:
        """Want it not to run."""
        before = self.get(tx, scope, name)
        return self._save(tx, scope, actor, before, replace(before, wanted=Wanted.STOPPED), "deployment.stop")

    def start(self, tx: Tx, scope: Scope, actor: Acting, name: str) -> Deployment:
        """Want it to run again."""
        before = self.get(tx, scope, name)
        return self._save(tx, scope, actor, before, replace(before, wanted=Wanted.RUNNING), "deployment.start")

    def delete(self, tx: Tx, scope: Scope, actor: Acting, name: str) -> Deployment:
        """Forget a deployment; its process ends.

        Raises:
            Conflict: it is wanted to run; stop it first.
        """
        before = self.get(tx, scope, name)
        if before.wanted is Wanted.RUNNING:
            raise Conflict(f"Deployment {name!r} is wanted to run: stop it first.")
        self._store.delete(tx, scope, before.id)
        self._audit.record(tx, scope, actor, "deployment.delete", before.id, name=before.name)
        self._announce(tx, scope, replace(before, state=DeploymentState.STOPPED, address=""))
        return before

    def get(self, tx: Tx, scope: Scope, name_or_id: str) -> Deployment:
        """One deployment.

        Raises:
            NotFound: there is none called so; the sentence names the nearest.
        """
        if found := self._store.get(tx, scope, name_or_id):
            return found
        known = [deployment.name for deployment in self._store.list(tx, scope)]
        raise NotFound(f"There is no deployment {name_or_id!r}. {did_you_mean(name_or_id, known)}")

    def list(self, tx: Tx, scope: Scope) -> builtins.list[Deployment]:
        """All deployments, by name."""
        return self._store.list(tx, scope)

    def everywhere(self, tx: Tx) -> builtins.list[tuple[Scope, Deployment]]:
        """All deployments of all projects, for the reconciler and the gateway's snapshot."""
        return self._store.everywhere(tx)

    def find(self, tx: Tx, scope: Scope, served: str) -> tuple[Deployment, ServedName]:
        """The deployment that answers to `served` (`smollm2` or `smollm2:adapter`).

        Raises:
            NotFound: none does.
            Unavailable: one would, but does not answer now; the sentence says why.
        """
        deployments = self._store.list(tx, scope)
        for deployment in deployments:
            for name in deployment.served:
                if name.name == served and deployment.address:
                    return deployment, name
            if deployment.name == served.partition(":")[0]:
                raise Unavailable(f"Deployment {deployment.name!r} does not answer to {served!r}: {deployment.detail}")
        known = [name.name for deployment in deployments for name in deployment.served]
        raise NotFound(f"Nothing is served as {served!r}. {did_you_mean(served, known)}")

    def capabilities(self, engine: str) -> Capabilities:
        """What an engine can do.

        Raises:
            NotFound: no engine plugin is called so.
        """
        return ENGINES.get(engine).capabilities

    def spec(self, tx: Tx, scope: Scope, deployment: Deployment, *, host: str, port: int) -> EngineSpec:
        """What an engine needs to start `deployment`: the files of its model and adapters on this machine.

        Raises:
            NotFound: a version or its bytes are gone.
        """
        model = self._registry.get(tx, scope, deployment.model_id) if deployment.model_id else None
        adapters = tuple(
            AdapterFile(adapter.name, self._registry.path(self._registry.get(tx, scope, adapter.version_id)))
            for adapter in deployment.adapters
        )
        path = self._registry.path(model) if model else None
        settings = replace(
            deployment.settings,
            threads=deployment.settings.threads or self._threads,
            dedicated_cpu=deployment.settings.dedicated_cpu or self._dedicated_cpu,
        )
        return EngineSpec(deployment.name, path, adapters, settings, host, port)

    def observe(self, tx: Tx, scope: Scope, deployment: Deployment, seen: Observed) -> None:
        """Write what the reconciler saw, and announce it when callers are touched.

        Raises:
            Conflict: the state cannot follow the one before.
        """
        rules.check_move(deployment.state, seen.state)
        if not self._store.observe(tx, scope, deployment.id, seen):
            return
        touched = (deployment.state, deployment.address, deployment.served) != (seen.state, seen.address, seen.served)
        if touched:
            self._announce(tx, scope, replace(deployment, state=seen.state, address=seen.address))

    def uses(self, tx: Tx, scope: Scope, version_id: str) -> builtins.list[str]:
        """Deployments that stand on a model version, for the registry's deletions."""
        return [
            f"deployment {deployment.name!r}"
            for deployment in self._store.list(tx, scope)
            if version_id in {deployment.model_id, *(adapter.version_id for adapter in deployment.adapters)}
        ]

    def _save(
        self, tx: Tx, scope: Scope, actor: Acting, before: Deployment | None, wish: Deployment, action: str
    ) -> Deployment:
        """Write a wish when it differs from the one before; the generation then grows."""
        if before is None:
            self._store.add(tx, scope, wish)
        elif _wishes(before) == _wishes(wish):
            return before
        else:
            wish = replace(wish, generation=before.generation + 1)
            self._store.wish(tx, scope, wish)
        self._audit.record(
            tx,
            scope,
            actor,
            action,
            wish.id,
            name=wish.name,
            engine=wish.engine,
            model=wish.model_ref,
            adapters=[adapter.name for adapter in wish.adapters],
            wanted=wish.wanted.value,
        )
        return self.get(tx, scope, wish.id)

    def _adapter(self, tx: Tx, scope: Scope, model: ModelVersion | None, adapter: AdapterRef) -> AdapterRef:
        """An adapter with its version's id, if it goes with the model."""
        if model is None:
            return adapter
        version = self._registry.get(tx, scope, adapter.version_id)
        if version.kind is not ModelKind.ADAPTER or version.format is not ModelFormat.GGUF:
            raise Invalid(
                f"{version.ref!r} is no adapter in GGUF: it is {version.kind.value} in {version.format.value}."
            )
        family = {model.id, *(ancestor.id for ancestor in self._registry.lineage(tx, scope, model.id).ancestors)}
        if version.parent_id not in family:
            raise Invalid(f"Adapter {version.ref!r} was not trained on {model.ref!r} or on what it was made from.")
        return AdapterRef(adapter.name, version.id)

    def _announce(self, tx: Tx, scope: Scope, deployment: Deployment) -> None:
        event = DeploymentChanged(
            project_id=scope.project_id,
            environment=scope.environment,
            deployment_id=deployment.id,
            name=deployment.name,
            state=deployment.state.value,
            address=deployment.address,
        )
        announce(tx, event)


def _wishes(deployment: Deployment) -> tuple[object, ...]:
    return (
        deployment.engine,
        deployment.model_id,
        deployment.adapters,
        deployment.settings,
        deployment.wanted,
    )


def _check_whole(version: ModelVersion) -> None:
    if version.kind is ModelKind.ADAPTER:
        raise Invalid(f"{version.ref!r} is an adapter: deploy its parent and add the adapter to it.")
    if version.format is not ModelFormat.GGUF:
        raise Invalid(f"{version.ref!r} is kept as {version.format.value}: local engines run GGUF files.")
