"""`rondel secret`: the encrypted store. A value comes from standard input or a prompt, never from the command line."""

import getpass
import sys
from collections.abc import Callable

import cyclopts

from rondel.client.http import Api
from rondel.errors import Invalid
from rondel.terminal import done, emit, listing


def group(connect: Callable[[], Api]) -> cyclopts.App:
    """The commands of the encrypted store."""
    app = cyclopts.App(name="secret", help="Secrets of connections, kept encrypted.")
    _writing(app, connect)

    @app.command(name="list")
    def list_(*, json: bool = False) -> None:
        """The secrets by name; never their values.

        Parameters
        ----------
        json
            For machines.
        """
        found = connect().get("/api/v1/secrets")
        shown = found if json else [{**secret, "used_by": ", ".join(secret["used_by"])} for secret in found]
        columns = {"Name": "name", "For": "origin", "Used by": "used_by", "Key": "key_id", "Saved": "saved_at"}
        listing(
            shown, columns, json=json, empty="There is no secret: keep one with 'rondel secret set NAME --url URL'."
        )

    return app


def _writing(app: cyclopts.App, connect: Callable[[], Api]) -> None:
    @app.command(name="set")
    def set_(name: str, *, url: str, json: bool = False) -> None:
        """Keep a secret; its value is asked for, or read from standard input.

        Parameters
        ----------
        name
            How connections name it: `store:NAME`.
        url
            Where it may be sent, and nowhere else, such as https://api.openai.com.
        json
            For machines.
        """
        api = connect()
        made = api.put(f"/api/v1/secrets/{name}", {"value": value_asked_for(f"Value of {name}"), "url": url})
        if json:
            emit(made)
            return
        sentence = f"Secret {name} is kept for {made['origin']}, sealed by key {made['key_id']}."
        then = f"rondel gateway connect NAME PROVIDER --secret store:{name}"
        done(sentence, url=f"{api.base_url}/gateway", then=then)

    @app.command
    def remove(name: str, *, json: bool = False) -> None:
        """Forget a secret that no connection goes by.

        Parameters
        ----------
        name
            The secret's name.
        json
            For machines.
        """
        api = connect()
        gone = api.delete(f"/api/v1/secrets/{name}")
        if json:
            emit(gone)
            return
        done(f"Secret {name} is forgotten.", url=f"{api.base_url}/gateway", then="rondel secret list")

    @app.command
    def rotate_key(*, json: bool = False) -> None:
        """Seal every secret anew: under a fresh key, or under the first one of RONDEL_SECRETS_KEY.

        Parameters
        ----------
        json
            For machines.
        """
        api = connect()
        told = api.post("/api/v1/secrets/rotate-key")
        if json:
            emit(told)
            return
        left = f" No key opens {', '.join(told['unreadable'])}: set them again." if told["unreadable"] else ""
        sentence = f"{told['sealed']} secrets are sealed by key {told['key_id']} now.{left}"
        done(sentence, url=f"{api.base_url}/gateway", then="rondel secret list")


def value_asked_for(prompt: str) -> str:
    """A value from the person at the terminal, not shown, or all of standard input.

    Raises:
        Invalid: there is none.
    """
    value = (getpass.getpass(f"{prompt}: ") if sys.stdin.isatty() else sys.stdin.read()).strip()
    if not value:
        raise Invalid("No value was given: type it at the prompt, or send it on standard input.")
    return value
