"""`rondel model`: pull, import, lineage, compress."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cyclopts

from rondel.client.http import Api
from rondel.clock import SystemClock
from rondel.errors import Conflict, Invalid, TimedOut
from rondel.terminal import done, emit, listing, table

POLL_S = 0.5


def group(connect: Callable[[], Api]) -> cyclopts.App:
    """The commands of the registry."""
    app = cyclopts.App(name="model", help="Models: pull, import, lineage, compress.")
    _reading(app, connect)
    _lineage(app, connect)
    _bringing(app, connect)
    _compressing(app, connect)
    return app


def _reading(app: cyclopts.App, connect: Callable[[], Api]) -> None:
    @app.command(name="list")
    def list_(*, name: str | None = None, kind: str | None = None, json: bool = False) -> None:
        """The model versions, newest first.

        Parameters
        ----------
        name
            Only versions of this model.
        kind
            Only base, adapter, merged or quantised ones.
        json
            For machines.
        """
        found = connect().get("/api/v1/models", name=name, kind=kind)
        if json:
            emit(found)
            return
        shown = [{**one, "megabytes": f"{one['size'] / 1e6:.1f}", "types": _types(one)} for one in found]
        columns = {"Model": "ref", "Kind": "kind", "MB": "megabytes", "Tensors": "types", "Id": "id"}
        table(shown, columns, empty="There is no model: try 'rondel model pull smollm2'.")

    @app.command
    def catalogue(*, json: bool = False) -> None:
        """The models that can be pulled by name.

        Parameters
        ----------
        json
            For machines.
        """
        found = connect().get("/api/v1/catalogue")
        columns = {"Name": "name", "Licence": "licence", "Description": "description"}
        listing(found, columns, json=json, empty="The catalogue is empty.")

    @app.command
    def show(ref: str, *, json: bool = False) -> None:
        """One model version: its card, what is in its file, and what was measured.

        Parameters
        ----------
        ref
            Such as smollm2 (the newest) or smollm2@1.
        json
            For machines.
        """
        found = connect().get(f"/api/v1/models/{ref}")
        if json:
            emit(found)
            return
        table(_described(found), {"Field": "field", "Value": "value"}, empty="")


def _lineage(app: cyclopts.App, connect: Callable[[], Api]) -> None:
    @app.command
    def lineage(ref: str, *, json: bool = False) -> None:
        """Where a version comes from, and what was made of it.

        Parameters
        ----------
        ref
            Such as support-lora@2.
        json
            For machines.
        """
        found = connect().get(f"/api/v1/models/{ref}/lineage")
        if json:
            emit(found)
            return
        family = [
            *({**one, "place": "from"} for one in reversed(found["ancestors"])),
            {**found["version"], "place": "this"},
            *({**one, "place": "made of it"} for one in found["children"]),
        ]
        table(family, {"": "place", "Model": "ref", "Kind": "kind", "Run": "run_id", "Id": "id"}, empty="")

    @app.command
    def delete(ref: str, *, json: bool = False) -> None:
        """Take a version out of the registry; refused while anything stands on it.

        Parameters
        ----------
        ref
            Such as smollm2-q4@1.
        json
            For machines.
        """
        api = connect()
        gone = api.delete(f"/api/v1/models/{ref}")
        if json:
            emit(gone)
            return
        done(f"Model {gone['ref']} ({gone['id']}) is deleted.", url=f"{api.base_url}/models", then="rondel model list")


def _bringing(app: cyclopts.App, connect: Callable[[], Api]) -> None:
    @app.command
    def pull(name: str, *, json: bool = False) -> None:
        """Bring a model of the catalogue here, checked by its hash.

        Parameters
        ----------
        name
            A name of 'rondel model catalogue', such as smollm2.
        json
            For machines.
        """
        api = connect()
        made = api.post("/api/v1/models/pull", {"name": name})
        _tell(api, made, json=json, then=f"rondel engine deploy {made['name']}")

    @app.command(name="import")
    def import_(
        path: Path,
        *,
        name: str = "",
        parent: str | None = None,
        licence: str = "",
        description: str = "",
        json: bool = False,
    ) -> None:
        """Register a GGUF file or a folder of safetensors that lies on the server's machine.

        Parameters
        ----------
        path
            The file or folder.
        name
            The model's name; made from the file's when left out.
        parent
            For an adapter: the model it was trained on.
        licence
            The licence's short name, such as Apache-2.0.
        description
            A sentence for the card.
        json
            For machines.
        """
        if not path.exists():
            raise Invalid(f"{str(path)!r} is neither a file nor a folder.")
        api = connect()
        body = {
            "path": str(path.absolute()),
            "name": name or path.stem.lower(),
            "parent": parent,
            "card": {"licence": licence, "description": description, "source": path.name},
        }
        made = api.post("/api/v1/models/import", body)
        is_adapter = made["kind"] == "adapter"
        then = (
            f"rondel engine add-adapter DEPLOYMENT {made['ref']}"
            if is_adapter
            else f"rondel engine deploy {made['ref']}"
        )
        _tell(api, made, json=json, then=then)


def _compressing(app: cyclopts.App, connect: Callable[[], Api]) -> None:
    @app.command
    def compress(
        ref: str,
        *,
        to: str = "Q8_0",
        name: str = "",
        data: str | None = None,
        prompt: str | None = None,
        evaluator: list[str] | None = None,
        limit: int | None = None,
        wait: float = 600.0,
        json: bool = False,
    ) -> None:
        """Make a smaller version of a model: a new version, with sizes and speed before and after.

        Parameters
        ----------
        ref
            The model, such as smollm2-support@1.
        to
            Q8_0, Q5_1, Q5_0, Q4_1 or Q4_0.
        name
            The new model's name; made from the old one's when left out.
        data
            A dataset version on whose test split both are evaluated, such as support@2.
        prompt
            A prompt that goes before each input, such as extract@3.
        evaluator
            An evaluator, such as exact_match (the default); may be given several times.
        limit
            So many examples at most.
        wait
            Seconds to wait for the job; 0 does not wait.
        json
            For machines.
        """
        api = connect()
        body: dict[str, Any] = {"to": to, "name": name, "data": data, "prompt": prompt, "limit": limit}
        job = api.post(f"/api/v1/models/{ref}/compress", body | ({"evaluators": evaluator} if evaluator else {}))
        clock = SystemClock()
        until = clock.monotonic() + wait
        while wait > 0 and job["state"] in {"queued", "running"}:
            if clock.monotonic() > until:
                raise TimedOut(f"Job {job['id']!r} still runs.", hint=f"rondel job show {job['id']}")
            clock.sleep(POLL_S)
            job = api.get(f"/api/v1/jobs/{job['id']}")
        if job["state"] in {"failed", "cancelled"}:
            raise Conflict(f"Job {job['id']!r} {job['state']}: {job['error']}")
        if json:
            emit(job)
            return
        result: dict[str, Any] = job.get("result") or {}
        sentence = str(result.get("sentence") or f"Job {job['id']} compresses {ref} to {to}.")
        then = f"rondel engine deploy {result['ref']}" if "ref" in result else f"rondel job show {job['id']}"
        done(sentence, url=f"{api.base_url}/models", then=then)


def _tell(api: Api, made: dict[str, Any], *, json: bool, then: str) -> None:
    if json:
        emit(made)
        return
    sentence = f"Model {made['ref']} ({made['id']}) is registered: {made['size'] / 1e6:.1f} MB, {_types(made)}."
    done(sentence, url=f"{api.base_url}/models/{made['id']}", then=then)


def _types(model: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {share['bytes'] / 1e6:.1f} MB" for name, share in model["contents"]["tensor_types"].items()
    )


def _described(model: dict[str, Any]) -> list[dict[str, Any]]:
    fields = {
        "model": model["ref"],
        "id": model["id"],
        "kind": model["kind"],
        **{name: value for name, value in model["card"].items() if value},
        "format": model["format"],
        "size": f"{model['size'] / 1e6:.1f} MB",
        "sha256": model["sha256"],
        "architecture": model["architecture"],
        "parameters": f"{model['parameters'] / 1e6:.1f} million",
        "tensors": _types(model),
        "context": model["context_tokens"],
        "parent": model["parent_id"],
        "run": model["run_id"],
        **model["settings"],
        **model["metrics"],
    }
    return [{"field": name, "value": value} for name, value in fields.items() if value is not None]
