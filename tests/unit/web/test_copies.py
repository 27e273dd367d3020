"""What "Copy as" gives can be run as it is."""

import ast
import inspect
import json
import shlex

from openai.resources.chat.completions import Completions

from rondel.web.copies import chat_as_curl, chat_as_python

BODY: dict[str, object] = {
    "model": "support",
    "messages": [{"role": "user", "content": "It's \"mine\",\nisn't it? {x} $HOME `id`"}],
    "temperature": 0.2,
    "response_format": {"type": "json_object"},
    "max_tokens": 20,
    "lora": [{"id": 0, "scale": 1.0}],
    "top_k": None,
}


def keywords(program: str) -> dict[str, object]:
    """What the last call of `create` is given."""
    calls = [node for node in ast.walk(ast.parse(program)) if isinstance(node, ast.Call)]
    create = next(call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "create")
    return {str(one.arg): ast.literal_eval(one.value) for one in create.keywords}


def test_python_asks_the_same_in_words_that_the_openai_client_knows() -> None:
    given = keywords(chat_as_python(BODY))
    known = inspect.signature(Completions.create).parameters
    assert set(given) <= set(known), "the client refuses a name that it does not know"
    extra = given.pop("extra_body")
    assert extra == {"lora": [{"id": 0, "scale": 1.0}], "top_k": None}
    assert given | {"lora": BODY["lora"], "top_k": None} == BODY


def test_curl_sends_the_same_whatever_people_wrote() -> None:
    words = shlex.split(chat_as_curl(BODY))
    assert json.loads(words[words.index("-d") + 1]) == BODY
    assert words[1] == "$RONDEL_URL/v1/chat/completions"
