"""A form is read the same however it is cut, and never in two ways."""

from itertools import pairwise

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rondel.errors import Invalid
from rondel.gateway.dataplane.passing.forms import Form, boundary_of


def _by_client(**fields: str) -> tuple[bytes, bytes]:
    """A form as the official client's HTTP library writes it: its body, and its boundary."""
    file = ("a\r\n--b.wav", b"--RIFF\r\n--\r\nmodel", "audio/wav")
    request = httpx.Request("POST", "http://x", data=fields, files={"file": file})
    return request.read(), boundary_of(request.headers["content-type"])


def _read(body: bytes, boundary: bytes, cuts: list[int]) -> Form:
    form = Form(boundary)
    places = sorted({0, len(body), *(cut % len(body) for cut in cuts)})
    for begin, end in pairwise(places):
        form.feed(body[begin:end])
    return form


@given(model=st.text(st.characters(codec="utf-8", categories=("L", "N")), max_size=40), cuts=st.lists(st.integers(0)))
def test_the_model_is_found_wherever_the_form_is_cut(model: str, cuts: list[int]) -> None:
    body, boundary = _by_client(language="en", model=model)
    found = _read(body, boundary, cuts).model
    assert found is not None
    assert found.value == model
    assert body[found.begin : found.end] == model.encode()


@given(cuts=st.lists(st.integers(0)))
def test_a_form_without_a_model_has_none(cuts: list[int]) -> None:
    body, boundary = _by_client(purpose="batch")
    assert _read(body, boundary, cuts).model is None


_PART = b'content-disposition: form-data; name="model"\r\n\r\n'


@pytest.mark.parametrize(
    "body",
    [
        b"--B\r\n" + _PART + b"a\r\n--B\r\n" + _PART + b"b\r\n--B--\r\n",
        b"--B\r\n" + _PART.replace(b'"model"', b'"Model "') + b"a\r\n--B\r\n" + _PART + b"b\r\n--B--\r\n",
        b"--B\r\n" + _PART + b"a\n--B\r\n" + _PART + b"b\r\n--B--\r\n",
        b"--B\r\n" + _PART + b"a\r\n--B \r\n" + _PART + b"b\r\n--B--\r\n",
        b"--B\r\n" + b"content-disposition: form-data; name*=utf-8''model\r\n\r\na\r\n--B--\r\n",
        b"--B\r\n" + b"content-disposition: form-data; name=\"x\"; name*=utf-8''model\r\n\r\na\r\n--B--\r\n",
        b"--B\r\n" + b"content-disposition: form-data; name=model\r\n\r\na\r\n--B--\r\n",
        b"--B\r\n" + b'content-disposition: form-data;\r\n name="model"\r\n\r\na\r\n--B--\r\n',
        b"--B\r\n" + b'content-disposition: form-data; name="x"\r\n' + _PART + b"a\r\n--B--\r\n",
        b"--B\r\n" + _PART + b"m" * 2000,
        b"--B\r\n" + b"x: y" * 4000,
    ],
)
def test_what_two_readers_could_read_differently_is_refused(body: bytes) -> None:
    for cuts in ([], list(range(len(body)))[:200]):
        with pytest.raises(Invalid):
            _read(body, b"B", cuts)
