"""Prompts on every database."""

import pytest

from rondel.audit.service import Audit
from rondel.chat import Message
from rondel.errors import Invalid, NotFound
from rondel.identity.models import Actor
from rondel.ids import Ids
from rondel.prompts.models import LabelMove, PromptDraft
from rondel.prompts.service import Prompts
from rondel.prompts.store import PromptStore
from rondel.storage.models import Scope
from rondel.storage.rows.database import Database


@pytest.fixture
def prompts(audit: Audit, ids: Ids) -> Prompts:
    return Prompts(store=PromptStore(), audit=audit, ids=ids)


def draft(text: str) -> PromptDraft:
    return PromptDraft(
        (Message("system", text), Message("user", "{{ input }}")), {"temperature": 0}, {"type": "object"}
    )


def test_versions_are_numbered_and_read_back_whole(
    rows: Database, prompts: Prompts, scope: Scope, actor: Actor
) -> None:
    with rows.transaction() as tx:
        first = prompts.save(tx, scope, actor, "support", draft("one"), note="start")
        second = prompts.save(tx, scope, actor, "support", draft("two"))
    with rows.reading() as tx:
        assert (first.number, second.number) == (1, 2)
        assert prompts.get(tx, scope, "support") == second
        assert prompts.get(tx, scope, "support@1") == first
        assert prompts.get(tx, scope, first.id) == first
        assert prompts.versions(tx, scope, "support") == [second, first]
        assert first.variables == ("input",)
        assert first.parameters == {"temperature": 0}
        [prompt] = prompts.list(tx, scope)
        assert (prompt.name, prompt.newest) == ("support", 2)
        assert "-one\n+two" in prompts.diff(tx, scope, "support@1", "support").text


def test_saving_the_same_content_again_is_no_new_version(
    rows: Database, prompts: Prompts, audit: Audit, scope: Scope, actor: Actor
) -> None:
    with rows.transaction() as tx:
        first = prompts.save(tx, scope, actor, "support", draft("one"))
        assert prompts.save(tx, scope, actor, "support", draft("one")) == first
        assert audit.count(tx, scope) == 1


def test_a_label_moves_and_the_move_is_audited(
    rows: Database, prompts: Prompts, audit: Audit, scope: Scope, actor: Actor
) -> None:
    with rows.transaction() as tx:
        prompts.save(tx, scope, actor, "support", draft("one"))
        prompts.save(tx, scope, actor, "support", draft("two"))
        assert prompts.label(tx, scope, actor, "support@1", "production") == LabelMove("support", "production", None, 1)
        assert prompts.label(tx, scope, actor, "support@2", "production").before == 1
        prompts.label(tx, scope, actor, "support@2", "production")
        assert prompts.get(tx, scope, "support@production").labels == ("production",)
        assert prompts.list(tx, scope)[0].labels == {"production": 2}
        moves = audit.page(tx, scope, action="prompt.label")
        assert [move.detail["moved_from"] for move in moves] == [1, None]


def test_what_is_not_there_is_named_with_the_nearest(
    rows: Database, prompts: Prompts, scope: Scope, actor: Actor
) -> None:
    with rows.transaction() as tx:
        prompts.save(tx, scope, actor, "support", draft("one"))
        prompts.label(tx, scope, actor, "support", "production")
        for ref, says in (
            ("suport", "Did you mean 'support'?"),
            ("support@9", "has no version 9: the newest is 1"),
            ("support@prodution", "Did you mean 'production'?"),
        ):
            with pytest.raises(NotFound) as caught:
                prompts.get(tx, scope, ref)
            assert says in caught.value.message
        with pytest.raises(Invalid, match="names no version"):
            prompts.get(tx, scope, "support@")
        with pytest.raises(Invalid, match="not a number"):
            prompts.label(tx, scope, actor, "support", "3")


def test_no_prompt_crosses_a_scope(rows: Database, prompts: Prompts, scope: Scope, actor: Actor) -> None:
    with rows.transaction() as tx:
        saved = prompts.save(tx, scope, actor, "support", draft("one"))
        prompts.label(tx, scope, actor, "support", "production")
        for other in (Scope("prj_other", scope.environment), Scope(scope.project_id, "staging")):
            assert prompts.list(tx, other) == []
            for ref in ("support", saved.id):
                with pytest.raises(NotFound):
                    prompts.get(tx, other, ref)


def test_a_response_schema_that_is_none_is_refused(
    rows: Database, prompts: Prompts, scope: Scope, actor: Actor
) -> None:
    wrong = PromptDraft((Message("user", "{{ input }}"),), {}, {"properties": {"a": {"type": 5}}})
    with rows.transaction() as tx, pytest.raises(Invalid, match=r"no JSON schema: at \$.properties.a.type, 5"):
        prompts.save(tx, scope, actor, "support", wrong)
    with rows.reading() as tx:
        assert prompts.list(tx, scope) == []
