"""`/api/v1/prompts`, and `prompt-versions`, `prompt-labels`, `prompt-diff` beside it: names may hold slashes."""

from typing import Annotated

from fastapi import APIRouter, Depends

from rondel.identity.api import Access
from rondel.identity.models import Caller, Role
from rondel.prompts.schemas import LabelIn, LabelMoveOut, PromptDiffOut, PromptIn, PromptOut, PromptVersionOut
from rondel.prompts.service import Prompts
from rondel.storage.ports import Rows


def routes(prompts: Prompts, rows: Rows, access: Access) -> APIRouter:
    """Everything about prompts; a version is asked for by `name`, `name@3`, `name@label` or its id."""
    router = APIRouter(prefix="/api/v1", tags=["prompts"])
    viewer, developer = Depends(access.require(Role.VIEWER)), Depends(access.require(Role.DEVELOPER))

    @router.get("/prompts")
    def list_(caller: Annotated[Caller, viewer]) -> list[PromptOut]:
        with rows.reading() as tx:
            return [PromptOut.model_validate(one) for one in prompts.list(tx, caller.scope)]

    @router.post("/prompts", status_code=201)
    def save(body: PromptIn, caller: Annotated[Caller, developer]) -> PromptVersionOut:
        """A new version; when the newest has this content already, that one."""
        with rows.transaction() as tx:
            saved = prompts.save(tx, caller.scope, caller.actor, body.name, body.draft(), note=body.note)
        return PromptVersionOut.model_validate(saved)

    @router.get("/prompts/{ref:path}")
    def get(ref: str, caller: Annotated[Caller, viewer]) -> PromptVersionOut:
        with rows.reading() as tx:
            return PromptVersionOut.model_validate(prompts.get(tx, caller.scope, ref))

    @router.get("/prompt-versions/{name:path}")
    def versions(name: str, caller: Annotated[Caller, viewer]) -> list[PromptVersionOut]:
        """All versions of a prompt, newest first."""
        with rows.reading() as tx:
            return [PromptVersionOut.model_validate(one) for one in prompts.versions(tx, caller.scope, name)]

    @router.put("/prompt-labels")
    def label(body: LabelIn, caller: Annotated[Caller, developer]) -> LabelMoveOut:
        """Point a label to a version."""
        with rows.transaction() as tx:
            return LabelMoveOut.model_validate(prompts.label(tx, caller.scope, caller.actor, body.ref, body.label))

    @router.get("/prompt-diff")
    def diff(before: str, after: str, caller: Annotated[Caller, viewer]) -> PromptDiffOut:
        """What changed from one version to another."""
        with rows.reading() as tx:
            return PromptDiffOut.model_validate(prompts.diff(tx, caller.scope, before, after))

    return router
