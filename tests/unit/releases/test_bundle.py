"""Release files, digests, and what changed."""

from datetime import UTC, datetime

import pytest
import yaml

from rondel.errors import Invalid, NotFound
from rondel.releases.bundle import assemble, content_digest, read_release, release_digest, resolve, what_changed
from rondel.releases.models import ComponentKind, Release, Stage
from rondel.releases.parts import hosted_model
from rondel.releases.ports import Part

NOW = datetime(2026, 11, 23, tzinfo=UTC)
FILE = """
name: extract-v2
route: extract
model: local/smollm2
prompt:
  messages:
    - {role: system, content: "Give JSON."}
    - {role: user, content: "{{ input }}"}
parameters: {temperature: 0, max_tokens: 80}
guardrails: [pii]
response_schema: {type: object}
code: 1a2b3c
"""


def find(kind: ComponentKind, ref: str) -> Part:
    if kind is ComponentKind.MODEL:
        return hosted_model(ref)
    if ref == "nope":
        raise NotFound("There is no prompt 'nope'.")
    return Part(ref, content_digest(kind, ref), {"ref": ref})


def release(text: str, base: Release | None = None) -> Release:
    draft = read_release(yaml.safe_load(text))
    components, calls = assemble(draft, base, find)
    digest = release_digest(components, calls)
    return Release("rel_1", draft.name, draft.route, digest, components, calls, Stage.LIVE, "a", "A", NOW, NOW)


def test_a_file_becomes_components_and_one_call() -> None:
    made = release(FILE)
    kinds = {part.name: part.kind.value for part in made.components}
    assert kinds == {
        "model": "model",
        "prompt": "prompt",
        "parameters": "parameters",
        "response_schema": "response_schema",
        "guardrail:pii": "guardrail",
        "code": "code",
    }
    [call] = resolve(made)
    assert call.name == "answer"
    assert call.model.value == {"connection": "local", "model": "smollm2"}
    assert call.parameters == {"temperature": 0, "max_tokens": 80}
    assert [guardrail.value for guardrail in call.guardrails] == [{"check": "pii"}]


def test_the_digest_is_of_the_content_not_of_names_and_order() -> None:
    other = FILE.replace("extract-v2", "other-name").replace(
        "{temperature: 0, max_tokens: 80}", "{max_tokens: 80, temperature: 0}"
    )
    assert release(FILE).digest == release(other).digest
    assert release(FILE).digest != release(FILE.replace("max_tokens: 80", "max_tokens: 81")).digest
    assert release(FILE).digest != release(FILE.replace("Give JSON.", "Give XML.")).digest


def test_an_application_of_several_calls_keeps_them_apart() -> None:
    made = release(
        "{name: app, route: r, calls: [{name: plan, model: a/b}, {name: write, model: a/c, parameters: {top_p: 1}}]}"
    )
    assert [part.name for part in made.components] == ["plan.model", "write.model", "write.parameters"]
    assert [call.model.ref for call in resolve(made)] == ["a/b", "a/c"]


def test_a_release_takes_over_what_it_does_not_say() -> None:
    base = release(FILE)
    bad = release("{name: bad, route: extract, extends: extract-v2, parameters: {temperature: 2}}", base)
    changed = [change for change in what_changed(base, bad) if not change.is_same]
    assert [change.name for change in changed] == ["code", "parameters"] or {c.name for c in changed} == {
        "parameters",
        "code",
    }
    assert resolve(bad)[0].prompt == resolve(base)[0].prompt
    assert what_changed(base, base)[0].sentence.endswith("unchanged")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[1]", "is not a mapping"),
        ("{name: a/b, route: r, model: a/b}", "letters, digits"),
        ("{route: r, model: a/b}", "lacks 'name'"),
        ("{name: x, route: r, modle: a/b}", "Did you mean 'model'?"),
        ("{name: x, route: r, model: 3}", "must be a reference such as 'local/smollm2', not int"),
        ("{name: x, route: r}", "names no 'model'"),
        ("{name: x, route: r, model: justone}", "'connection/model'"),
        ("{name: x, route: r, model: a/b, prompt: {messages: []}}", "have 'messages'"),
        ("{name: x, route: r, model: a/b, prompt: {messages: [{role: user}]}}", "needs 'content'"),
        ("{name: x, route: r, model: a/b, parameters: [1]}", "must be a mapping, not list"),
        ("{name: x, route: r, model: a/b, guardrails: pii}", "must be a list, not str"),
        ("{name: x, route: r, model: a/b, calls: [{model: a/b}]}", "both 'calls' and 'model'"),
        ("{name: x, route: r, calls: []}", "no call to a model"),
        ("{name: x, route: r, calls: [{model: a/b, promt: c}]}", "Did you mean 'prompt'?"),
        ("{name: x, route: r, model: a/b, components: [{kind: retreiver, ref: x}]}", "Did you mean 'retriever'?"),
        ("{name: x, route: r, model: a/b, rollout: {ladder: [0.5, 0.25]}}", "rising shares"),
        ("{name: x, route: r, model: a/b, rollout: {lader: [0.5]}}", "Did you mean 'ladder'?"),
        ("{name: x, route: r, model: a/b, rollout: {limits: {alpha: high}}}", "'rollout' is wrong"),
    ],
)
def test_a_wrong_file_gives_one_clear_sentence(text: str, sentence: str) -> None:
    with pytest.raises(Invalid) as caught:
        release(text)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
