"""The circle with the real model: what the demo tells, computed again from what the stack stored."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Generator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from rondel.client.http import HttpApi
from rondel.server.first import local_key
from rondel.storage.folder import Folder
from tests.requirements import missing

LONGEST_S = 2400
RONDEL = (sys.executable, "-m", "rondel.cli.main")


class Turned(NamedTuple):
    """A demo that ran, its figures, and the stack it left running."""

    code: int
    output: str
    figures: dict[str, Any]
    api: HttpApi


@pytest.fixture(scope="module")
def turned(tmp_path_factory: pytest.TempPathFactory) -> Generator[Turned]:
    if find_spec("xllamacpp") is None:
        missing("model", "xllamacpp is not installed: pip install 'rondel[local]'")
    folder = tmp_path_factory.mktemp("demo")
    told = folder / "demo.json"
    command = [*RONDEL, "demo", "--json", str(told)]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=LONGEST_S, cwd=folder)
    output = ended.stdout + ended.stderr
    data = re.search(r"RONDEL_DATA=(\S+) rondel down", output)
    url = re.search(r"left running at (http://\S+);", output)
    assert data is not None, output
    assert url is not None, output
    try:
        api = HttpApi(url[1], local_key(Folder(Path(data[1]))))
        yield Turned(ended.returncode, output, json.loads(told.read_text()), api)
    finally:
        subprocess.run([*RONDEL, "down"], check=True, timeout=120, env={**os.environ, "RONDEL_DATA": data[1]})


@pytest.mark.timeout(LONGEST_S + 120)
def test_the_circle_closes_and_the_bad_release_is_rolled_back(turned: Turned) -> None:
    figures = turned.figures
    assert turned.code == 0, turned.output
    assert set(figures) == {
        "closed",
        "rolled_back",
        "requests",
        "accuracy",
        "difference",
        "trained",
        "audit_verified",
        "seconds",
        "stages",
    }
    assert (figures["closed"], figures["rolled_back"], figures["audit_verified"]) == (True, True, True)
    assert figures["requests"] >= 200
    assert figures["accuracy"]["candidate"] > figures["accuracy"]["base"]
    assert figures["difference"]["low"] > 0
    assert [one["name"] for one in figures["stages"]][-4:] == ["bad release", "roll-back", "monitors", "audit"]


def test_every_request_of_the_application_is_one_trace(turned: Turned) -> None:
    told = turned.api.get("/api/v1/traces/summary", route="demo")
    assert told["count"] == turned.figures["requests"]


def test_the_accuracies_and_their_difference_are_those_of_the_stored_answers(turned: Turned) -> None:
    evaluations = {one["name"]: one for one in turned.api.get("/api/v1/evaluations")}
    best = next(one["name"] for one in turned.api.get("/api/v1/releases", stage="live"))
    base, candidate = (_scores(turned.api, evaluations[name]["id"]) for name in ("base", best))
    assert base.keys() == candidate.keys()
    accuracy = turned.figures["accuracy"]
    assert _mean(base.values()) == pytest.approx(accuracy["base"])
    assert _mean(candidate.values()) == pytest.approx(accuracy["candidate"])
    difference = _mean(candidate[one] - base[one] for one in base)
    assert difference == pytest.approx(turned.figures["difference"]["value"])


def test_the_releases_stand_where_the_circle_left_them(turned: Turned) -> None:
    stages = {one["name"]: one["stage"] for one in turned.api.get("/api/v1/releases")}
    assert stages["base"] == "retired"
    assert stages["simplified"] == "rolled back"
    for name in stages:
        if name != "base":
            assert all(look["same"] for look in turned.api.get(f"/api/v1/releases/{name}/replay"))
    approvals = turned.api.get("/api/v1/releases/examples")["approvals"]
    assert {one["approver_name"] for one in approvals} == {"admin", "reviewer"}
    assert turned.api.get("/api/v1/audit/verify")["intact"]


def _scores(api: HttpApi, evaluation: str) -> dict[str, float]:
    """The share of right fields of each stored answer, worked out here."""
    dataset = api.get(f"/api/v1/evaluations/{evaluation}")["dataset"]
    rows = [json.loads(line) for line in api.lines(f"/api/v1/dataset-export/{dataset}")]
    expected = {row["id"]: row["expected"] for row in rows if row["split"] == "test"}
    found: dict[str, float] = {}
    for result in api.get(f"/api/v1/evaluations/{evaluation}/results", limit=1000):
        right = expected[result["example_id"]]
        try:
            answer: dict[str, Any] = json.loads(result["output"])
        except ValueError:
            answer = {}
        found[result["example_id"]] = _mean(float(answer.get(name, ...) == value) for name, value in right.items())
    assert found.keys() == expected.keys()
    return found


def _mean(values: Any) -> float:
    listed = [float(value) for value in values]
    return sum(listed) / len(listed)
