"""A flag wins over the environment, that over the file, that over the default."""

import re
from pathlib import Path

import pytest

from rondel.errors import Invalid
from rondel.settings import Settings, described, load


def test_the_order_of_precedence(tmp_path: Path) -> None:
    (tmp_path / "rondel.yaml").write_text("port: 1\nworkers: 2\nproject: file\n")
    settings = load({"port": 3, "host": None}, environ={"RONDEL_PORT": "4", "RONDEL_WORKERS": "5"}, folder=tmp_path)
    assert (settings.port, settings.workers, settings.project, settings.host) == (3, 5, "file", "127.0.0.1")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("prot: 1\n", "rondel.yaml sets 'prot', which is no setting. Did you mean 'port'?"),
        ("port: many\n", "setting 'port' takes a whole number, not 'many'"),
        ("engine_dedicated: maybe\n", "takes true or false, not 'maybe'"),
        ("- a list\n", "must hold names and values"),
        ("port: [1\n", "is not valid YAML"),
    ],
)
def test_a_wrong_file_is_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "rondel.yaml").write_text(text)
    with pytest.raises(Invalid, match=sentence.replace("?", r"\?")):
        load(environ={}, folder=tmp_path)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::"])
def test_an_address_that_others_reach_needs_a_secret(tmp_path: Path, host: str) -> None:
    with pytest.raises(Invalid, match="RONDEL_SECRET"):
        load({"host": host}, environ={}, folder=tmp_path)
    with pytest.raises(Invalid):
        load({"host": host}, environ={"RONDEL_SECRET": "short"}, folder=tmp_path)
    assert load({"host": host}, environ={"RONDEL_SECRET": "x" * 32}, folder=tmp_path).host == host


def test_the_gateways_part_of_the_file_is_no_setting(tmp_path: Path) -> None:
    (tmp_path / "rondel.yaml").write_text("port: 9\ngateway:\n  routes: {}\n")
    assert load(environ={}, folder=tmp_path).port == 9


def test_every_setting_says_what_it_means() -> None:
    assert {name for name, _default, _meaning in described()} == set(Settings.__dataclass_fields__)
    assert all(len(meaning) > 10 for _name, _default, meaning in described())


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"limits_down": "lokal"}, "Did you mean 'local'?"),
        ({"limits_dsn": "http://redis:6379"}, "'limits_dsn' takes the DSN of a Redis or Valkey"),
        ({"cache_dsn": "memcached://host"}, "'cache_dsn' takes the DSN of a Redis or Valkey"),
    ],
)
def test_what_machines_share_limits_by_is_checked_at_the_start(values: dict[str, str], says: str) -> None:
    with pytest.raises(Invalid, match=re.escape(says)):
        load(values, environ={})
    Settings(limits_dsn="valkey://host:6379/0", limits_down="closed", cache_dsn="rediss://host:6379/1").check()
