"""`rondel price`: what models cost."""

from collections.abc import Callable, Mapping
from typing import Any

import cyclopts

from rondel.client.http import Api
from rondel.money import exact, nano_of
from rondel.terminal import done, emit, listing, say, table

_KINDS = {
    "input": "input_nano",
    "output": "output_nano",
    "cache read": "cache_read_nano",
    "cache write": "cache_write_nano",
    "cache write, 1 h": "cache_write_1h_nano",
    "audio in": "audio_in_nano",
    "audio out": "audio_out_nano",
    "audio cached": "audio_cached_nano",
    "image in": "image_in_nano",
    "image out": "image_out_nano",
    "image cached": "image_cached_nano",
    "reasoning": "reasoning_nano",
    "a request": "request_nano",
    "a web search": "search_nano",
}


def group(connect: Callable[[], Api]) -> cyclopts.App:
    """The commands of prices."""
    app = cyclopts.App(name="price", help="What models cost, in dollars for a million tokens.")
    _reading(app, connect)
    _setting(app, connect)
    _changing(app, connect)
    return app


def _reading(app: cyclopts.App, connect: Callable[[], Api]) -> None:
    @app.command(name="list")
    def list_(*, json: bool = False) -> None:
        """The prices that people of the project have set; every other model has the public list's.

        Parameters
        ----------
        json
            For machines.
        """
        found = connect().get("/api/v1/prices")
        rows = found if json else [_shown(one) for one in found]
        columns = {"Id": "id", "Provider": "provider", "Model": "model", "From": "from", "In": "in", "Out": "out"}
        listing(rows, columns, json=json, empty="Nobody has set a price: every model has the public list's.")

    @app.command
    def show(provider: str, model: str, *, at: str | None = None, json: bool = False) -> None:
        """The price that holds for a model.

        Parameters
        ----------
        provider
            The provider's name, as connections have it.
        model
            The model's name at the provider.
        at
            A day, such as 2026-11-01. Left out: now.
        json
            For machines.
        """
        found = connect().get("/api/v1/prices/found", provider=provider, model=model, at=_moment(at))
        if json:
            emit(found)
            return
        rows = [{"kind": kind, "usd": exact(value)} for kind, value in _rates(found["price"])]
        for tier in found["price"]["tiers"]:
            rows += [
                {"kind": f"{kind}, above {tier['above']} input tokens", "usd": exact(value)}
                for kind, value in _rates(tier)
            ]
        for name, service in found["price"]["services"].items():
            rows += [{"kind": f"{kind}, {name}", "usd": exact(value)} for kind, value in _rates(service)]
        table(rows, {"Kind": "kind", "USD": "usd"}, empty="")
        say(f"For a million tokens; a search and a request for one. Source: {found['version']}.")


def _setting(app: cyclopts.App, connect: Callable[[], Api]) -> None:
    @app.command(name="set")
    def set_(
        provider: str,
        model: str,
        *,
        input: str,  # noqa: A002  the word that people use
        output: str,
        cache_read: str | None = None,
        cache_write: str | None = None,
        cache_write_1h: str | None = None,
        reasoning: str | None = None,
        request: str | None = None,
        search: str | None = None,
        audio_in: str | None = None,
        audio_out: str | None = None,
        image_in: str | None = None,
        image_out: str | None = None,
        starts: str | None = None,
        json: bool = False,
    ) -> None:
        """Say what a model costs. Tiers and services (batch, flex, priority) are set through the API.

        Parameters
        ----------
        provider
            The provider's name, as connections have it; `local` for models served here.
        model
            The model's name at the provider; `*` is any that has no price of its own.
        input
            Dollars for a million input tokens, such as 2.50; 0 is free.
        output
            Dollars for a million output tokens.
        cache_read
            For a million tokens read from the prompt cache. Left out: what input costs; so below.
        cache_write
            For a million tokens written to it.
        cache_write_1h
            For a million tokens written to it for an hour or longer.
        reasoning
            For a million reasoning tokens. Left out: what output costs.
        request
            For one request, whatever its tokens.
        search
            For one search of the web.
        audio_in
            For a million tokens of sound in.
        audio_out
            For a million tokens of sound out.
        image_in
            For a million tokens of pictures in.
        image_out
            For a million tokens of pictures out.
        starts
            The day from which it holds, such as 2026-11-01 (UTC). Left out: from now on.
        json
            For machines.
        """
        given = {
            "input_nano": input,
            "output_nano": output,
            "cache_read_nano": cache_read,
            "cache_write_nano": cache_write,
            "cache_write_1h_nano": cache_write_1h,
            "reasoning_nano": reasoning,
            "request_nano": request,
            "search_nano": search,
            "audio_in_nano": audio_in,
            "audio_out_nano": audio_out,
            "image_in_nano": image_in,
            "image_out_nano": image_out,
        }
        price = {name: nano_of(amount) for name, amount in given.items() if amount is not None}
        api = connect()
        body = {"provider": provider, "model": model, "price": price, "starts_at": _moment(starts)}
        made = api.post("/api/v1/prices", body)
        if json:
            emit(made)
            return
        costs = f"{exact(price['input_nano'])} in and {exact(price['output_nano'])} out"
        sentence = f"{provider}/{model} costs {costs} for a million tokens ({made['id']})."
        then = f"rondel price reprice --since {made['starts_at'][:10]}" + (f" --model {model}" if model != "*" else "")
        done(sentence, url=f"{api.base_url}/gateway", then=then)


def _changing(app: cyclopts.App, connect: Callable[[], Api]) -> None:
    @app.command
    def remove(price: str, *, json: bool = False) -> None:
        """Forget a price that was set; what it priced keeps its cost.

        Parameters
        ----------
        price
            The price's id.
        json
            For machines.
        """
        api = connect()
        gone = api.delete(f"/api/v1/prices/{price}")
        if json:
            emit(gone)
            return
        sentence = f"The price of {gone['provider']}/{gone['model']} ({gone['id']}) is forgotten."
        done(sentence, url=f"{api.base_url}/gateway", then="rondel price list")

    @app.command
    def reprice(*, since: str, model: str = "", json: bool = False) -> None:
        """Compute past costs anew with the prices of their time as they are known now; the first cost stays visible.

        Parameters
        ----------
        since
            The first day, such as 2026-11-01 (UTC).
        model
            The model that answered. Left out: all.
        json
            For machines.
        """
        api = connect()
        told = api.post("/api/v1/traces/reprice", {"since": _moment(since), "model": model})
        if json:
            emit(told)
            return
        unknown = f" No price is known of {', '.join(told['unknown'])}." if told["unknown"] else ""
        spans = "1 span has" if told["spans"] == 1 else f"{told['spans']} spans have"
        done(f"{spans} another cost.{unknown}", url=f"{api.base_url}/traces", then="rondel trace list")


def _shown(own: Mapping[str, Any]) -> dict[str, Any]:
    price = own["price"]
    dollars = {"in": exact(price["input_nano"]), "out": exact(price["output_nano"])}
    return {**own, **dollars, "from": own["starts_at"][:16].replace("T", " ")}


def _rates(price: Mapping[str, Any]) -> list[tuple[str, int]]:
    return [(kind, price[name]) for kind, name in _KINDS.items() if price.get(name) is not None]


def _moment(day: str | None) -> str | None:
    """A day or a time as the API takes it; without a zone it is UTC."""
    if day is None:
        return None
    return f"{day}T00:00:00Z" if "T" not in day else day
