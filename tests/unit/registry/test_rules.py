"""Names, references, and what may follow what."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from rondel.errors import Conflict, Invalid
from rondel.registry import rules
from rondel.registry.models import Contents, ModelDraft, ModelFormat, ModelKind, ModelVersion, TensorShare

CONTENTS = Contents(ModelFormat.GGUF, "llama", 1, {"F32": TensorShare(1, 1, 4)})
LORA = replace(CONTENTS, is_adapter=True)
BASE = ModelVersion("mv_1", "base", 1, ModelKind.BASE, "0" * 64, 4, CONTENTS, datetime(2026, 1, 1, tzinfo=UTC), "ada")
DRAFT = ModelDraft("made", ModelKind.QUANTISED, "1" * 64, 4, CONTENTS, parent_id="mv_1")


@pytest.mark.parametrize("name", ["", "A", "a b", "a@1", "-a", "x" * 64, "../a", "ä"])
def test_bad_names_are_refused(name: str) -> None:
    with pytest.raises(Invalid, match="no model name"):
        rules.check_name(name)


def test_references() -> None:
    assert rules.parse_ref("smollm2") == ("smollm2", None)
    assert rules.parse_ref("smollm2@12") == ("smollm2", 12)
    for bad in ("smollm2@", "smollm2@x", "smollm2@1@2", "smollm2@" + "9" * 10):
        with pytest.raises(Invalid, match="no model reference"):
            rules.parse_ref(bad)


def test_what_needs_a_parent_gets_none_for_nothing() -> None:
    rules.check_draft(DRAFT, BASE)
    with pytest.raises(Invalid, match="needs a parent"):
        rules.check_draft(DRAFT, None)
    with pytest.raises(Invalid, match="needs a parent"):
        rules.check_draft(replace(DRAFT, kind=ModelKind.ADAPTER, contents=LORA), None)


def test_the_kind_must_be_what_the_file_is() -> None:
    with pytest.raises(Invalid, match="holds a whole model"):
        rules.check_draft(replace(DRAFT, kind=ModelKind.ADAPTER), BASE)
    with pytest.raises(Invalid, match="holds LoRA weights"):
        rules.check_draft(replace(DRAFT, kind=ModelKind.MERGED, contents=LORA), BASE)


def test_parents_are_whole_and_of_the_same_family() -> None:
    with pytest.raises(Invalid, match="'base@1' is an adapter itself"):
        rules.check_draft(replace(DRAFT, kind=ModelKind.ADAPTER, contents=LORA), replace(BASE, kind=ModelKind.ADAPTER))
    with pytest.raises(Invalid, match="'qwen2'"):
        rules.check_draft(replace(DRAFT, contents=replace(CONTENTS, architecture="qwen2")), BASE)


def test_what_something_stands_on_is_not_deleted() -> None:
    rules.check_deletion(BASE, [], [])
    with pytest.raises(Conflict, match="release 'support' and model version 'base@1' stand on it"):
        rules.check_deletion(BASE, [BASE], ["release 'support'"])
