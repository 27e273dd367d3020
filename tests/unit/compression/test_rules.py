"""What may be compressed, and what the figures say."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from rondel.compression import rules
from rondel.compression.models import Interval, Recipe, Shrunk
from rondel.errors import Invalid
from rondel.registry.models import Contents, ModelFormat, ModelKind, ModelVersion, TensorShare

TYPES = ("Q8_0", "Q4_0")
CONTENTS = Contents(ModelFormat.GGUF, "llama", 100, {"F32": TensorShare(5, 10, 40), "F16": TensorShare(2, 90, 180)})
SOURCE = ModelVersion(
    "mv_1", "base", 3, ModelKind.BASE, "0" * 64, 2_000_000, CONTENTS, datetime(2026, 1, 1, tzinfo=UTC), "ada"
)


def test_only_whole_gguf_models_of_another_type_are_compressed() -> None:
    rules.check(Recipe("base"), SOURCE, TYPES)
    with pytest.raises(Invalid, match="Did you mean 'Q4_0'"):
        rules.check(Recipe("base", to="Q4_O"), SOURCE, TYPES)
    with pytest.raises(Invalid, match="is an adapter"):
        rules.check(Recipe("base"), replace(SOURCE, kind=ModelKind.ADAPTER), TYPES)
    with pytest.raises(Invalid, match="safetensors"):
        rules.check(Recipe("base"), replace(SOURCE, contents=replace(CONTENTS, format=ModelFormat.SAFETENSORS)), TYPES)
    quantised = replace(CONTENTS, tensor_types={"Q8_0": TensorShare(2, 90, 96), "F32": TensorShare(5, 10, 40)})
    with pytest.raises(Invalid, match="is Q8_0 already"):
        rules.check(Recipe("base"), replace(SOURCE, contents=quantised), TYPES)


def test_the_name_is_made_of_the_source_unless_given() -> None:
    assert rules.name_of(Recipe("base"), SOURCE) == "base-q8_0"
    assert rules.name_of(Recipe("base", name="small"), SOURCE) == "small"


@pytest.mark.parametrize(("n", "low", "high"), [(5, 0, 4), (6, 0, 5), (9, 1, 7), (16, 3, 12), (20, 5, 14)])
def test_the_interval_of_a_median_is_that_of_the_tables(n: int, low: int, high: int) -> None:
    assert rules.median_interval([float(i) for i in reversed(range(n))]) == Interval((n - 1) / 2, low, high)


def test_the_interval_of_a_median_covers_it_95_times_in_100() -> None:
    chance = np.random.default_rng(1)
    draws = np.exp(chance.standard_normal((4000, 16)))
    found = [rules.median_interval(row.tolist()) for row in draws]
    covered = sum(one.low <= 1.0 <= one.high for one in found) / len(found)
    assert 0.95 <= covered <= 0.99


def test_latencies_are_compared_request_by_request() -> None:
    before = [0.1 * (i + 1) for i in range(16)]
    measured = rules.speeds(before, [value * 0.5 for value in before], [True] * 12 + [False] * 4)
    assert measured.ratio == pytest.approx(Interval(0.5, 0.5, 0.5))
    assert (measured.n, measured.same_answers) == (16, 0.75)
    assert "faster" in rules.speed_sentence(measured)
    assert "no difference seen" in rules.speed_sentence(replace(measured, ratio=Interval(0.98, 0.9, 1.1)))


def test_a_file_that_grew_is_not_called_smaller() -> None:
    assert "2.00 times smaller" in rules.size_sentence(SOURCE, "x", "Q8_0", Shrunk(1_000_000, 0.004))
    assert "larger than its parent" in rules.size_sentence(SOURCE, "x", "Q8_0", Shrunk(3_000_000, 0.004))
