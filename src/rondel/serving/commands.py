"""`rondel engine`: deployments and their health."""

import time
from collections.abc import Callable
from typing import Any

import cyclopts

from rondel.client.http import Api
from rondel.errors import TimedOut
from rondel.terminal import done, emit, listing, table

POLL_S = 0.25


def group(connect: Callable[[], Api]) -> cyclopts.App:
    """The commands of serving."""
    app = cyclopts.App(name="engine", help="Local engines: deployments and their health.")
    _reading(app, connect)
    _deploying(app, connect)
    _adapters(app, connect)
    _running(app, connect)
    return app


def _reading(app: cyclopts.App, connect: Callable[[], Api]) -> None:
    @app.command(name="list")
    def list_(*, json: bool = False) -> None:
        """The deployments, and how they are.

        Parameters
        ----------
        json
            For machines.
        """
        found = connect().get("/api/v1/deployments")
        columns = {"Name": "name", "Model": "model", "Engine": "engine", "State": "state", "Detail": "detail"}
        listing(found, columns, json=json, empty="Nothing is deployed: try 'rondel engine deploy smollm2'.")

    @app.command
    def show(name: str, *, json: bool = False) -> None:
        """One deployment.

        Parameters
        ----------
        name
            Its name.
        json
            For machines.
        """
        found = connect().get(f"/api/v1/deployments/{name}")
        if json:
            emit(found)
            return
        shown: dict[str, Any] = {
            **found,
            "served": ", ".join(found["served"]),
            "adapters": ", ".join(one["name"] for one in found["adapters"]),
            "settings": ", ".join(f"{key} {value}" for key, value in found["settings"].items() if value != ""),
        }
        lines = [{"field": key.replace("_", " "), "value": value} for key, value in shown.items()]
        table(lines, {"Field": "field", "Value": "value"}, empty="")

    @app.command
    def kinds(*, json: bool = False) -> None:
        """The engines that are installed, and what they can do.

        Parameters
        ----------
        json
            For machines.
        """
        found = connect().get("/api/v1/engines")
        if json:
            emit(found)
            return
        shown = [{**one, "can": _can(one)} for one in found]
        table(shown, {"Engine": "name", "From": "package", "Can": "can"}, empty="No engine is installed.")


def _deploying(app: cyclopts.App, connect: Callable[[], Api]) -> None:
    @app.command
    def deploy(
        model: str = "",
        *,
        name: str = "",
        engine: str = "llamacpp",
        slots: int = 4,
        context: int = 2048,
        threads: int = 0,
        embeddings: bool = False,
        dedicated: bool = False,
        url: str = "",
        adapter: list[str] | None = None,
        wait: float = 120.0,
        json: bool = False,
    ) -> None:
        """Serve a model; a deployment of the same name is changed without a gap.

        Parameters
        ----------
        model
            A model of the registry, such as smollm2 or smollm2@2.
        name
            The deployment's name; the model's name when left out.
        engine
            An engine of 'rondel engine kinds'.
        slots
            How many requests are answered at once.
        context
            Tokens of prompt and answer together, a slot.
        threads
            0 takes the cores there are.
        embeddings
            Answer /v1/embeddings too.
        dedicated
            Nothing else runs on this machine: waiting threads may spin.
        url
            For engine openai-compatible: the server's address.
        adapter
            An adapter of the registry; may be given several times.
        wait
            Seconds to wait until it answers; 0 does not wait.
        json
            For machines.
        """
        api, called = connect(), name or model.partition("@")[0]
        body = {
            "model": model,
            "engine": engine,
            "adapters": [{"adapter": one} for one in adapter or []],
            "settings": {
                "slots": slots,
                "context_tokens": context,
                "threads": threads,
                "embeddings": embeddings,
                "dedicated_cpu": dedicated,
                "base_url": url,
            },
        }
        made = api.put(f"/api/v1/deployments/{called}", body)
        _tell(api, until_ready(api, made, wait), json=json)


def _adapters(app: cyclopts.App, connect: Callable[[], Api]) -> None:
    @app.command
    def add_adapter(name: str, adapter: str, *, called: str = "", wait: float = 120.0, json: bool = False) -> None:
        """Serve an adapter on a deployment, as `name:called`.

        Parameters
        ----------
        name
            The deployment.
        adapter
            An adapter of the registry, such as support-lora@1.
        called
            The name that requests use; the adapter's own when left out.
        wait
            Seconds to wait until it answers; 0 does not wait.
        json
            For machines.
        """
        api = connect()
        made = api.post(f"/api/v1/deployments/{name}/adapters", {"adapter": adapter, "called": called})
        _tell(api, until_ready(api, made, wait), json=json)

    @app.command
    def remove_adapter(name: str, called: str, *, wait: float = 120.0, json: bool = False) -> None:
        """Serve an adapter no longer.

        Parameters
        ----------
        name
            The deployment.
        called
            The adapter's name there.
        wait
            Seconds to wait until the deployment answers without it; 0 does not wait.
        json
            For machines.
        """
        api = connect()
        made = api.delete(f"/api/v1/deployments/{name}/adapters/{called}")
        _tell(api, until_ready(api, made, wait), json=json)


def _running(app: cyclopts.App, connect: Callable[[], Api]) -> None:
    @app.command
    def stop(name: str, *, json: bool = False) -> None:
        """End a deployment's process; the deployment stays.

        Parameters
        ----------
        name
            The deployment.
        json
            For machines.
        """
        api = connect()
        _tell(api, api.post(f"/api/v1/deployments/{name}/stop"), json=json, then=f"rondel engine start {name}")

    @app.command
    def start(name: str, *, wait: float = 120.0, json: bool = False) -> None:
        """Let a stopped deployment run again.

        Parameters
        ----------
        name
            The deployment.
        wait
            Seconds to wait until it answers; 0 does not wait.
        json
            For machines.
        """
        api = connect()
        _tell(api, until_ready(api, api.post(f"/api/v1/deployments/{name}/start"), wait), json=json)

    @app.command
    def delete(name: str, *, json: bool = False) -> None:
        """Forget a stopped deployment.

        Parameters
        ----------
        name
            The deployment.
        json
            For machines.
        """
        api = connect()
        gone = api.delete(f"/api/v1/deployments/{name}")
        if json:
            emit(gone)
            return
        done(f"Deployment {name} ({gone['id']}) is forgotten.", url=f"{api.base_url}/models", then="rondel engine list")


def until_ready(api: Api, made: dict[str, Any], wait_s: float) -> dict[str, Any]:
    """Look until the deployment answers as it is wanted now.

    Raises:
        TimedOut: it does not within `wait_s` seconds, or its starts keep failing; the sentence says why.
    """
    until = time.monotonic() + wait_s
    while wait_s > 0 and not made["is_up_to_date"]:
        if time.monotonic() > until or made["failures"] >= 3:
            raise TimedOut(
                f"Deployment {made['name']!r} does not answer yet: {made['detail'] or 'nothing has started it'}",
                hint=f"rondel engine show {made['name']}",
            )
        time.sleep(POLL_S)
        made = api.get(f"/api/v1/deployments/{made['name']}")
    return made


def _tell(api: Api, made: dict[str, Any], *, json: bool, then: str = "") -> None:
    if json:
        emit(made)
        return
    names = ", ".join(f"local/{name}" for name in made["served"])
    doing = f"serves {names}" if made["is_up_to_date"] else f"is {made['state']}"
    done(
        f"Deployment {made['name']} ({made['id']}) {doing}.",
        url=f"{api.base_url}/models",
        then=then or f"rondel gateway route {made['name']} --target local/{made['name']}",
    )


def _can(engine: dict[str, Any]) -> str:
    if engine["capabilities"] is None:
        return str(engine["problem"])
    return ", ".join(name.replace("_", " ") for name, holds in engine["capabilities"].items() if holds)
