"""Plugins: found without being imported, and every failure says what to do."""

import sys
from pathlib import Path

import pytest

from rondel.errors import Conflict, NotFound, Unavailable
from rondel.plugins import Plugins


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plugins[object]:
    """A stranger's distribution with four plugins, one of them claimed by a second one too."""
    for name, points in {
        "stranger": "good = stranger_plugins:Good\nlacking = stranger_lacking:Lacking\n"
        "broken = stranger_plugins:Absent\ntwice = stranger_plugins:Good",
        "other": "twice = other_plugins:Other",
    }.items():
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        requires = "Requires-Dist: vllm>=1; extra == 'gpu'\nProvides-Extra: gpu\n" if name == "stranger" else ""
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{requires}")
        (info / "entry_points.txt").write_text(f"[rondel.tests]\n{points}\n")
    (tmp_path / "stranger_plugins.py").write_text("class Good:\n    word = 'good'\n")
    (tmp_path / "stranger_lacking.py").write_text("import vllm\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return Plugins[object]("rondel.tests")


def test_a_strangers_plugin_is_found_by_name(installed: Plugins[object]) -> None:
    assert installed.get("good").__name__ == "Good"


def test_listing_imports_nothing(installed: Plugins[object]) -> None:
    assert [(info.name, info.package) for info in installed.list()] == [
        ("broken", "stranger"),
        ("good", "stranger"),
        ("lacking", "stranger"),
        ("twice", "other"),
        ("twice", "stranger"),
    ]


def test_an_unknown_name_gets_the_nearest_one(installed: Plugins[object]) -> None:
    with pytest.raises(NotFound, match="Did you mean 'good'"):
        installed.get("goood")


def test_a_missing_library_is_named_with_the_extra_that_brings_it(installed: Plugins[object]) -> None:
    with pytest.raises(Unavailable, match=r"needs 'vllm', which is not installed: pip install 'stranger\[gpu\]'"):
        installed.get("lacking")


def test_two_packages_with_one_name_are_a_conflict(installed: Plugins[object]) -> None:
    with pytest.raises(Conflict, match="other and stranger"):
        installed.get("twice")
