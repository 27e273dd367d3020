"""Where a path leads, and how records tell it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rondel.errors import Forbidden, Invalid
from rondel.gateway.dataplane.passing.naming import Named, is_passed, name, template


@pytest.mark.parametrize(
    ("path", "is_one"),
    [
        (b"/pass/openai/x", True),
        (b"/mcp/search", True),
        (b"/v1/files", True),
        (b"/v1/files/file-1/content", True),
        (b"/v1/filesystem", False),
        (b"/v1/traces", False),
        (b"/v1/chat/completions", False),
        (b"/passwords", False),
        (b"/api/v1/mcp-servers", False),
    ],
)
def test_what_is_passed_goes_by_its_path(path: bytes, is_one: bool) -> None:
    assert is_passed(path) is is_one


def test_a_path_goes_behind_the_base_url_and_keys_in_the_query_stay() -> None:
    named = name("GET", "/v1/files/file-abc123/content?after=x&key=sk-1&API_KEY=sk-2&a%63cess_token=3&limit=")
    assert named == Named("/files/file-abc123/content", "after=x&limit=", "/v1/files/{id}/content", family="files")
    named = name("POST", "/pass/google/models/imagen-4:predict?alt=sse")
    assert (named.connection, named.rest, named.query) == ("google", "/models/imagen-4:predict", "alt=sse")
    assert named.template == "/pass/google/models/{id}"


@given(st.text("abc0123-_:.%", min_size=1, max_size=60))
def test_no_part_with_a_digit_or_a_sign_is_in_a_template(part: str) -> None:
    told = template(f"/v1/files/{part}")
    assert told == "/v1/files/{id}" or part.replace("-", "").replace("_", "").isalpha() or not part.strip("-_")


@pytest.mark.parametrize(
    "rest", ["../x", "a/../b", "a/%2e%2E/b", "a/%252e%252e/b", "a//b", "a\\b", "a/%5c..%5cb", "./a"]
)
def test_a_path_that_climbs_is_refused(rest: str) -> None:
    with pytest.raises(Invalid):
        name("GET", f"/pass/up/{rest}")


@pytest.mark.parametrize(
    "rest",
    [
        "chat/completions",
        "v1/chat/completions/",
        "v2/chat",
        "v1/embed",
        "v1/messages/count_tokens",
        "model/anthropic.claude/invoke",
        "model/anthropic.claude/invoke-with-response-stream",
        "v1beta/models/x:batchEmbedContents",
        "publishers/google/models/x:streamRawPredict",
        "openai/v1/responses",
        "Chat/Completions",
        "openai/deployments/gpt/embeddings",
        "v1beta/models/gemini:streamGenerateContent",
        "model/anthropic.claude/converse",
    ],
)
def test_what_is_read_in_depth_is_not_passed(rest: str) -> None:
    with pytest.raises(Forbidden):
        name("POST", f"/pass/up/{rest}")
    assert name("GET", f"/pass/up/{rest}")


@pytest.mark.parametrize("rest", ["threads/t1/messages", "responses/r1/cancel", "models/imagen:predict"])
def test_what_is_no_model_s_answer_is_passed(rest: str) -> None:
    assert name("POST", f"/pass/up/{rest}").rest == f"/{rest}"
