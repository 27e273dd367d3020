"""From a release file to components and calls: reading, digesting, resolving, comparing. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import NamedTuple, cast

import msgspec

from rondel.errors import Invalid, did_you_mean
from rondel.releases.models import Component, ComponentKind, JsonObject, Limits, ModelCall, Plan, Release, ResolvedCall
from rondel.releases.ports import Part

RELEASE_KEYS = ("name", "route", "note", "policy", "extends", "calls", "components", "code", "rollout", "run")
CALL_KEYS = ("model", "adapter", "prompt", "parameters", "guardrails", "tools", "response_schema")
SINGLE_CALL = "answer"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class DraftCall:
    """A call as written: each part a reference (`str`) or its content in place."""

    name: str
    parts: Mapping[str, object] = field(default_factory=dict[str, object])


@dataclass(frozen=True)
class Draft:
    """A release file, read and checked for shape; nothing is looked up yet.

    `extends` names a release (or `live`, the one that is live on the route) whose parts stand where the file says
    nothing.
    """

    name: str
    route: str
    calls: tuple[DraftCall, ...]
    components: tuple[tuple[str, str, object], ...] = ()
    """(name, kind, reference or content) of parts that no call names: a retriever, an index, the code."""
    note: str = ""
    policy: str = "default"
    extends: str | None = None
    plan: Plan = field(default_factory=Plan)
    run_id: str | None = None
    """The run that made this candidate, for the lineage; not part of the content."""


def read_plan(value: object, *, where: str = "'rollout'") -> Plan:
    """A rollout plan from a mapping; fields that it leaves out have their defaults.

    Raises:
        Invalid: a field is unknown or makes no sense.
    """
    given = _mapping(where, value)
    limits = _mapping(f"'limits' of {where}", given.get("limits", {}))
    for found, known in ((given, Plan), (limits, Limits)):
        names = [one.name for one in fields(known)]
        if unknown := next((key for key in found if key not in names), None):
            raise Invalid(f"{where} has no field {unknown!r}. {did_you_mean(str(unknown), names)}")
    try:
        plan = msgspec.convert(given, Plan)
    except msgspec.ValidationError as error:
        raise Invalid(f"{where} is wrong: {error}") from error
    rising = list(plan.ladder) == sorted(set(plan.ladder))
    if not plan.ladder or not rising or not all(0 < weight < 1 for weight in plan.ladder):
        raise Invalid(f"'ladder' of {where} must be rising shares between 0 and 1, such as [0.25, 0.5].")
    if not 0 < plan.limits.alpha < 1 or plan.limits.min_n < 1 or not 0 < plan.shadow_share <= 1:
        raise Invalid(f"{where}: alpha and shadow_share lie between 0 and 1, and min_n is at least 1.")
    return plan


def read_release(document: object, *, route: str | None = None) -> Draft:
    """Read a release file's content (YAML or JSON, already parsed).

    Raises:
        Invalid: one sentence that names the field and what was expected.
    """
    if not isinstance(document, Mapping):
        raise Invalid("A release is a mapping with 'name', 'route' and 'model'; this is not a mapping.")
    found = cast("Mapping[object, object]", document)
    for key in found:
        if key not in RELEASE_KEYS + CALL_KEYS:
            raise Invalid(f"A release has no field {key!r}. {did_you_mean(str(key), RELEASE_KEYS + CALL_KEYS)}")
    name, on = _text(found, "name"), _text(found, "route", default=route)
    for what, one in (("name", name), ("route", on)):
        if not NAME.fullmatch(one):
            raise Invalid(f"{what!r} {one!r} of the release must be letters, digits and . _ - (at most 100).")
    own = {key: found[key] for key in CALL_KEYS if key in found}
    if "calls" in found and own:
        raise Invalid(f"Release {name!r} has both 'calls' and {min(own)!r}: put the latter into its call.")
    calls = _calls(name, found["calls"]) if "calls" in found else (DraftCall(SINGLE_CALL, _parts(name, own)),)
    code = [("code", "code", found["code"])] if "code" in found else []
    return Draft(
        name=name,
        route=on,
        calls=calls,
        components=(*_components(name, found.get("components", [])), *code),
        note=_text(found, "note", default=""),
        policy=_text(found, "policy", default="default"),
        extends=_text(found, "extends", default="") or None,
        plan=read_plan(found.get("rollout", {})),
        run_id=_text(found, "run", default="") or None,
    )


def _text(found: Mapping[object, object], key: str, *, default: str | None = None) -> str:
    value = found.get(key, default)
    if value is None:
        raise Invalid(f"The release lacks {key!r}.")
    if not isinstance(value, str) or (default is None and not value.strip()):
        raise Invalid(f"{key!r} of the release must be a text, not {type(value).__name__}.")
    return value


def _list(name: str, what: str, value: object) -> Sequence[object]:
    if not isinstance(value, list):
        raise Invalid(f"{what!r} of release {name!r} must be a list, not {type(value).__name__}.")
    return cast("list[object]", value)


def _mapping(where: str, value: object) -> Mapping[object, object]:
    if not isinstance(value, Mapping):
        raise Invalid(f"{where} must be a mapping, not {type(value).__name__}.")
    return cast("Mapping[object, object]", value)


def _calls(name: str, value: object) -> tuple[DraftCall, ...]:
    calls: list[DraftCall] = []
    for number, item in enumerate(_list(name, "calls", value), start=1):
        call = _mapping(f"Call {number} of release {name!r}", item)
        for key in call:
            if key not in ("name", *CALL_KEYS):
                raise Invalid(f"A call has no field {key!r}. {did_you_mean(str(key), ('name', *CALL_KEYS))}")
        called = call.get("name", SINGLE_CALL if number == 1 else None)
        if not isinstance(called, str) or called in {other.name for other in calls}:
            raise Invalid(f"Call {number} of release {name!r} needs a 'name' of its own.")
        calls.append(DraftCall(called, _parts(name, {key: call[key] for key in CALL_KEYS if key in call})))
    if not calls:
        raise Invalid(f"Release {name!r} has no call to a model.")
    return tuple(calls)


def _parts(name: str, found: Mapping[str, object]) -> Mapping[str, object]:
    """The parts of a call with their types checked."""
    for key, value in found.items():
        where = f"{key!r} of release {name!r}"
        if key in {"model", "adapter"} and not (isinstance(value, str) and value.strip()):
            raise Invalid(f"{where} must be a reference such as 'local/smollm2', not {type(value).__name__}.")
        if key in {"parameters", "response_schema"}:
            _mapping(where, value)
        if key in {"guardrails", "tools"}:
            _list(name, key, value)
        if key == "prompt" and not isinstance(value, str):
            _messages(where, value)
    return found


def _messages(where: str, value: object) -> None:
    messages = _mapping(where, value).get("messages")
    if not isinstance(messages, list) or not messages:
        raise Invalid(f"{where} must be a reference such as 'extract@2' or have 'messages', a list.")
    for number, item in enumerate(cast("list[object]", messages), start=1):
        message = _mapping(f"Message {number} of {where}", item)
        for key in ("role", "content"):
            if not isinstance(message.get(key), str):
                raise Invalid(f"Message {number} of {where} needs {key!r}, a text.")


def _components(name: str, value: object) -> tuple[tuple[str, str, object], ...]:
    kinds = [kind.value for kind in ComponentKind]
    found: list[tuple[str, str, object]] = []
    for number, item in enumerate(_list(name, "components", value), start=1):
        part = _mapping(f"Component {number} of release {name!r}", item)
        kind, called = part.get("kind"), part.get("name", part.get("kind"))
        if not isinstance(kind, str) or kind not in kinds:
            raise Invalid(
                f"Component {number} of release {name!r} is of no known kind. {did_you_mean(str(kind), kinds)}"
            )
        if not isinstance(called, str) or ("ref" not in part and "value" not in part):
            raise Invalid(f"Component {number} of release {name!r} needs 'ref', or 'value' in place of it.")
        found.append((called, kind, part.get("ref", part.get("value"))))
    return tuple(found)


def content_digest(kind: ComponentKind, value: object) -> str:
    """sha256 over a part's content; the order of keys does not count."""
    return hashlib.sha256(msgspec.json.encode([kind, value], order="sorted")).hexdigest()


def release_digest(components: Sequence[Component], calls: Sequence[ModelCall]) -> str:
    """sha256 over what the release is made of: same content, same digest, whatever people call it."""
    told = {
        "components": sorted([part.name, part.kind, part.digest] for part in components),
        "calls": sorted(calls, key=lambda call: call.name),
    }
    return hashlib.sha256(msgspec.json.encode(told, order="sorted")).hexdigest()


def resolve(release: Release) -> tuple[ResolvedCall, ...]:
    """The calls with their components in place.

    Parameters and the response schema that a prompt version brings along stand where the release says nothing.
    """
    parts = {part.name: part for part in release.components}

    def part(name: str | None) -> Component | None:
        return parts[name] if name else None

    resolved: list[ResolvedCall] = []
    for call in release.calls:
        prompt, schema = part(call.prompt), part(call.response_schema)
        own: JsonObject = parts[call.parameters].value if call.parameters else {}
        brought = prompt.value.get("parameters") if prompt else None
        parameters = {**cast("JsonObject", brought or {}), **own}
        if schema is None and prompt and (value := prompt.value.get("response_schema")):
            schema = Component(
                "response_schema", ComponentKind.RESPONSE_SCHEMA, prompt.ref, prompt.digest, cast("JsonObject", value)
            )
        guardrails = tuple(parts[name] for name in call.guardrails)
        resolved.append(
            ResolvedCall(
                name=call.name,
                model=parts[call.model],
                adapter=part(call.adapter),
                prompt=prompt,
                parameters=parameters,
                guardrails=guardrails,
                tools=part(call.tools),
                response_schema=schema,
            )
        )
    return tuple(resolved)


class Change(NamedTuple):
    """One component that differs between two releases; None where it is not there."""

    name: str
    kind: ComponentKind
    before: Component | None
    after: Component | None

    @property
    def is_same(self) -> bool:
        """The same content on both sides."""
        return self.before is not None and self.after is not None and self.before.digest == self.after.digest

    @property
    def sentence(self) -> str:
        """`extract@1 → extract@2`, `smollm2, unchanged`, `none → lora-3`."""
        before, after = self.before.ref if self.before else "none", self.after.ref if self.after else "none"
        if self.is_same:
            return f"{after}, unchanged"
        return f"{before} → {after}" if before != after else f"{after}, other content"


def what_changed(before: Release | None, after: Release) -> tuple[Change, ...]:
    """Every component of either release, changed ones first."""
    old = {part.name: part for part in before.components} if before else {}
    new = {part.name: part for part in after.components}
    changes = [
        Change(name, (new.get(name) or old[name]).kind, old.get(name), new.get(name))
        for name in dict.fromkeys([*new, *old])
    ]
    return tuple(sorted(changes, key=lambda change: change.is_same))


Find = Callable[[ComponentKind, str], Part]


class Assembled(NamedTuple):
    """What a draft became."""

    components: tuple[Component, ...]
    calls: tuple[ModelCall, ...]


def assemble(draft: Draft, base: Release | None, find: Find) -> Assembled:
    """Look up the references of a draft with `find`, and fill what it leaves out from `base`.

    Raises:
        Invalid: a call has no model, and there is none to take over.
        Whatever `find` raises.
    """
    parts: dict[str, Component] = {}
    calls: list[ModelCall] = []
    base_calls = {call.name: call for call in base.calls} if base else {}
    base_parts = {part.name: part for part in base.components} if base else {}
    is_single = len(draft.calls) == 1

    def keep(component: Component) -> str:
        parts[component.name] = component
        return component.name

    def one(call: DraftCall, key: str) -> str | None:
        """The component of one part of a call: written, taken over from the base, or None."""
        if key in call.parts:
            kind = ComponentKind(key)
            return keep(_component(key if is_single else f"{call.name}.{key}", kind, call.parts[key], find))
        before = base_calls.get(call.name)
        taken = base_parts.get(getattr(before, key) or "") if before else None
        return keep(taken) if taken else None

    for call in draft.calls:
        model = one(call, "model")
        if model is None:
            raise Invalid(
                f"Release {draft.name!r} names no 'model', and nothing is live on {draft.route!r} to take it from."
            )
        if "guardrails" in call.parts:
            guardrails = tuple(
                keep(_guardrail(call.name, item, find, is_single=is_single))
                for item in cast("list[object]", call.parts["guardrails"])
            )
        else:
            before = base_calls.get(call.name)
            names = before.guardrails if before else ()
            guardrails = tuple(keep(base_parts[name]) for name in names if name in base_parts)
        calls.append(
            ModelCall(
                name=call.name,
                model=model,
                adapter=one(call, "adapter"),
                prompt=one(call, "prompt"),
                parameters=one(call, "parameters"),
                guardrails=guardrails,
                tools=one(call, "tools"),
                response_schema=one(call, "response_schema"),
            )
        )
    for name, kind, content in draft.components:
        keep(_component(name, ComponentKind(kind), content, find))
    return Assembled(tuple(parts.values()), tuple(calls))


def _component(name: str, kind: ComponentKind, content: object, find: Find) -> Component:
    if isinstance(content, str):
        part = find(kind, content)
        return Component(name, kind, part.ref, part.digest, part.value)
    value = {"tools": content} if kind is ComponentKind.TOOLS else cast("JsonObject", content)
    digest = content_digest(kind, value)
    return Component(name, kind, f"own {kind.value.replace('_', ' ')} {digest[:8]}", digest, value)


def _guardrail(call: str, item: object, find: Find, *, is_single: bool) -> Component:
    """A guardrail is written as its name, or as a mapping with `check` and what else it needs."""
    kind = ComponentKind.GUARDRAIL
    if isinstance(item, str):
        check, value = item, dict[str, object](check=item)
    else:
        given = _mapping("A guardrail", item)
        check, value = str(given.get("check", "")), {str(key): one for key, one in given.items()}
    if not check:
        raise Invalid("A guardrail needs 'check', the name of a plugin such as 'pii'.")
    part = find(kind, check)
    name = f"guardrail:{check}" if is_single else f"{call}.guardrail:{check}"
    return Component(name, kind, part.ref, content_digest(kind, value), value)
