"""The template language: what it renders, what it refuses, and that it always ends."""

import sys
from contextlib import suppress
from subprocess import run

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rondel.chat import Message, ToolCall
from rondel.errors import Invalid, RondelError, TooLarge
from rondel.prompts import rules
from rondel.prompts.models import PromptDraft
from rondel.prompts.rules import compile_template, digest, escape, render, variables_of


def rendered(source: str, **variables: object) -> str:
    return render((Message("user", source),), variables)[0].content


@pytest.mark.parametrize(
    ("source", "variables", "text"),
    [
        ("plain", {}, "plain"),
        ("{{ a }}", {"a": "x"}, "x"),
        ("{{a}}{{ b }}", {"a": 1, "b": None}, "1null"),
        ("{{ a.b.1 }}", {"a": {"b": [1, "z"]}}, "z"),
        ("{{ a }}", {"a": {"k": [True, 1.5]}}, '{"k":[true,1.5]}'),
        ("{% if a %}yes{% else %}no{% endif %}", {"a": []}, "no"),
        ("{% if a %}yes{% endif %}", {}, ""),
        ("{% if not a.b %}none{% endif %}", {"a": {}}, "none"),
        ("{% for x in xs %}{{ x.n }},{% endfor %}", {"xs": [{"n": 1}, {"n": 2}]}, "1,2,"),
        ("{% for x in xs %}{% for y in x %}{{ y }}{% endfor %};{% endfor %}", {"xs": [[1, 2], [3]]}, "12;3;"),
        ("a\n{% if t %}\nb\n{% endif %}\nc", {"t": True}, "a\nb\nc"),
        ("a\n  {% if t %}  \nb{% endif %}c", {"t": True}, "a\nbc"),
        ('{"a": {"b": 1}}', {}, '{"a": {"b": 1}}'),
        ("{{ \"{{\" }} {{ '}}' }}", {}, "{{ }}"),
        ("{{ a }}", {"a": "{{ b }} {% if %}"}, "{{ b }} {% if %}"),
    ],
)
def test_templates_render(source: str, variables: dict[str, object], text: str) -> None:
    assert rendered(source, **variables) == text


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("a\n{{ b", "Line 2: '{{' is not closed by '}}'"),
        ("{% if a %}", "{% if a %} has no {% endif %}"),
        ("{% for a in b %}", "has no {% endfor %}"),
        ("{% endif %}", "closes nothing"),
        ("{% for a in b %}{% endif %}", "expected {% endfor %}, found {% endif %}"),
        ("\n\n{{ a() }}", "Line 3: 'a()' is not a name"),
        ("{{ a | upper }}", "is not a name"),
        ("{{ }}", "is not a name"),
        ("{% include 'x' %}", "is not in the template language"),
        ("{% for if in x %}{% endfor %}", "is not in the template language"),
        ("{{ nmae }}", "Line 1: the prompt needs 'nmae', which is not given. Given: name. Did you mean 'name'?"),
        ("{{ zzz }}", "Line 1: the prompt needs 'zzz', which is not given. Given: name."),
        ("{{ name.frist }}", "'name' has no part 'frist'. Did you mean 'first'?"),
        ("{{ name.first.x }}", "'name.first' has no part 'x'. It is not an object."),
        ("{% for x in name %}{% endfor %}", "'name' is not a list"),
        ("{{ name.__class__ }}", "'name' has no part '__class__'"),
    ],
)
def test_what_cannot_be_rendered_is_told_in_one_sentence(source: str, says: str) -> None:
    with pytest.raises(Invalid) as caught:
        rendered(source, name={"first": "Ada"})
    assert says in caught.value.message
    assert "\n" not in caught.value.message


def test_attributes_of_python_objects_are_out_of_reach() -> None:
    with pytest.raises(Invalid):
        rendered("{{ a.__class__ }}", a=object())
    with pytest.raises(Invalid):
        rendered("{{ a }}", a=object())


def test_every_bound_is_kept() -> None:
    deep = "{% if a %}" * (rules.MAX_DEPTH + 1) + "{% endif %}" * (rules.MAX_DEPTH + 1)
    with pytest.raises(TooLarge, match="deep"):
        compile_template(deep)
    with pytest.raises(TooLarge, match="tags"):
        compile_template("{{a}}x" * (rules.MAX_TAGS + 1))
    with pytest.raises(TooLarge, match="characters"):
        compile_template("x" * (rules.MAX_SOURCE + 1))
    many = list(range(300))
    with pytest.raises(TooLarge, match="turns"):
        rendered("{% for a in m %}{% for b in m %}{% endfor %}{% endfor %}", m=many)
    with pytest.raises(TooLarge, match="over"):
        rendered("{% for a in m %}{{ big }}{% endfor %}", m=many, big="x" * 10_000)


def test_a_template_full_of_openings_is_read_in_no_time() -> None:
    for source in ("{{" * 200_000, "{%" * 200_000, '{{ "' * 100_000, "{" * 400_000):
        with pytest.raises((Invalid, TooLarge)):
            compile_template(source)


@given(st.text(alphabet='{}%" \nabi', max_size=200))
def test_escaped_text_renders_to_itself(text: str) -> None:
    assert compile_template(escape(text)).render({}) == text


@given(st.text(alphabet="{}%. \nifor xen\"'", max_size=120))
def test_any_text_compiles_or_is_refused_in_words(source: str) -> None:
    with suppress(RondelError):
        compile_template(source).render({})


@given(st.text(max_size=200))
def test_values_are_inserted_as_they_are(value: str) -> None:
    assert rendered("<{{ v }}>", v=value) == f"<{value}>"


def test_variables_are_discovered_and_loop_names_are_not_among_them() -> None:
    source = "{{ a }}{% for x in items %}{{ x }}{{ y.z }}{% endfor %}{% if flag %}{{ a }}{% endif %}{{ x }}"
    assert variables_of([Message("user", source)]) == ("a", "items", "y", "flag", "x")


def test_roles_names_and_tool_calls_stay() -> None:
    call = ToolCall("1", "look", "{{ not_read }}")
    before = Message("assistant", "{{ a }}", name="n", tool_calls=(call,))
    assert render((before,), {"a": "b"})[0] == Message("assistant", "b", name="n", tool_calls=(call,))


def test_equal_content_has_one_digest_whatever_the_order_of_keys() -> None:
    one = PromptDraft((Message("user", "x"),), {"a": 1, "b": {"c": 2, "d": 3}})
    other = PromptDraft((Message("user", "x"),), {"b": {"d": 3, "c": 2}, "a": 1})
    assert digest(one) == digest(other)
    assert digest(one) != digest(PromptDraft((Message("system", "x"),), one.parameters))


def test_a_role_that_is_none_is_named_with_its_message() -> None:
    with pytest.raises(Invalid, match=r"Message 2 of prompt 'p' has the role 'usr'. Did you mean 'user'?"):
        rules.check("p", PromptDraft((Message("system", ""), Message("usr", ""))))


def test_rendering_needs_neither_numpy_nor_sqlalchemy() -> None:
    code = "import rondel.prompts.rules, sys; assert not {'numpy', 'sqlalchemy', 'pydantic'} & set(sys.modules)"
    assert run([sys.executable, "-c", code], check=False).returncode == 0
