"""The log shows every change, removal, swap and cut."""

from collections.abc import Callable

import msgspec
import pytest
from sqlalchemy import delete, update

from rondel.audit.models import Head
from rondel.audit.service import Audit, verify_file
from rondel.audit.signing import Signer
from rondel.audit.store import ENTRIES, HEADS, AuditStore
from rondel.errors import Invalid
from rondel.identity.models import Actor
from rondel.storage.models import Scope
from rondel.storage.ports import Tx
from rondel.storage.rows.database import Database


@pytest.fixture
def written(rows: Database, audit: Audit, scope: Scope, actor: Actor) -> Database:
    """A log of five entries."""
    for number in range(5):
        with rows.transaction() as tx:
            audit.record(tx, scope, actor, "thing.do", f"thing_{number}", figure=number / 3, words=["ä", None])
    return rows


def _swap(tx: Tx) -> None:
    for number, new in ((2, 99), (3, 2), (99, 3)):
        tx.execute(update(ENTRIES).where(ENTRIES.c.number == number).values(number=new))


TAMPERINGS: dict[str, tuple[Callable[[Tx], object], str]] = {
    "changed": (lambda tx: tx.execute(update(ENTRIES).where(ENTRIES.c.number == 3).values(actor_id="eve")), "changed"),
    "removed": (lambda tx: tx.execute(delete(ENTRIES).where(ENTRIES.c.number == 3)), "missing"),
    "swapped": (_swap, "does not follow|changed"),
    "cut": (lambda tx: tx.execute(delete(ENTRIES).where(ENTRIES.c.number == 5)), "ends at entry 4"),
    "head forged": (lambda tx: tx.execute(update(HEADS).values(number=4)), "signature"),
    "head removed": (lambda tx: tx.execute(delete(HEADS)), "head is missing"),
}


def test_an_untouched_log_is_intact(written: Database, audit: Audit) -> None:
    with written.reading() as tx:
        assert audit.verify(tx) == (5, None)
        assert verify_file(audit.export(tx)) == (5, None)


@pytest.mark.parametrize("name", TAMPERINGS)
def test_tampering_is_found_in_the_database_and_in_an_export(written: Database, audit: Audit, name: str) -> None:
    tamper, sentence = TAMPERINGS[name]
    with written.reading() as tx:
        outside = audit.head(tx)
    with written.transaction() as tx:
        tamper(tx)
    with written.reading() as tx:
        found = audit.verify(tx)
        exported = verify_file(audit.export(tx), public_key=audit.public_key, head=outside)
    assert found.finding is not None
    assert exported.finding is not None
    assert any(word in found.finding.sentence for word in sentence.split("|"))


def test_a_tail_cut_together_with_its_head_is_found_by_the_head_kept_outside(written: Database, audit: Audit) -> None:
    with written.reading() as tx:
        outside = audit.head(tx)
        lines = list(audit.export(tx))
    entries = [msgspec.json.decode(line) for line in lines[:4]]
    earlier = Head(
        4,
        entries[-1]["hash"],
        Signer(b"a secret for tests").sign(f"rondel-audit-head:4:{entries[-1]['hash']}".encode()),
    )
    shorter = [*lines[:4], msgspec.json.encode({"head": earlier, "public_key": audit.public_key}) + b"\n"]
    assert verify_file(shorter).is_intact
    assert not verify_file(shorter, head=outside).is_intact


def test_a_chain_resigned_by_another_key_is_found_by_the_public_key_kept_outside(
    written: Database, audit: Audit
) -> None:
    forger = Audit(store=AuditStore(), signer=Signer(b"another secret"))
    with written.reading() as tx:
        lines = list(audit.export(tx))[:3]
    last = msgspec.json.decode(lines[-1])
    forged = Head(3, last["hash"], Signer(b"another secret").sign(f"rondel-audit-head:3:{last['hash']}".encode()))
    lines.append(msgspec.json.encode({"head": forged, "public_key": forger.public_key}))
    assert verify_file(lines).is_intact
    assert not verify_file(lines, public_key=audit.public_key).is_intact


def test_a_later_log_still_agrees_with_an_earlier_head(
    written: Database, audit: Audit, scope: Scope, actor: Actor
) -> None:
    with written.reading() as tx:
        earlier = audit.head(tx)
    with written.transaction() as tx:
        audit.record(tx, scope, actor, "thing.do", "thing_6")
    with written.reading() as tx:
        assert verify_file(audit.export(tx), public_key=audit.public_key, head=earlier).is_intact


@pytest.mark.parametrize("name", [*TAMPERINGS, "nothing"])
def test_an_export_shows_the_entries_of_its_project_and_still_every_tampering(
    written: Database, audit: Audit, actor: Actor, name: str
) -> None:
    theirs = Scope("prj_other", "production")
    with written.transaction() as tx:
        audit.record(tx, theirs, actor, "secret.do", "their_thing", figure=1)
    with written.reading() as tx:
        outside = audit.head(tx)
    if name in TAMPERINGS:
        with written.transaction() as tx:
            TAMPERINGS[name][0](tx)
    with written.reading() as tx:
        lines = list(audit.export(tx, theirs))
    told = b"".join(lines)
    assert b"thing_" not in told
    assert b"their_thing" in told
    is_hidden = name == "changed"  # the content of a sealed entry is not in the file; only its own project can check it
    found = verify_file(lines, public_key=audit.public_key, head=outside)
    assert found.is_intact == (name == "nothing" or is_hidden)


def test_a_sealed_entry_cannot_be_changed_removed_or_swapped(written: Database, audit: Audit) -> None:
    with written.reading() as tx:
        lines = list(audit.export(tx, Scope("prj_other", "production")))
    assert verify_file(lines) == (5, None)
    other = msgspec.json.decode(lines[2]) | {"hash": "0" * 64}
    assert not verify_file([*lines[:2], msgspec.json.encode(other), *lines[3:]]).is_intact
    assert not verify_file([*lines[:2], *lines[3:]]).is_intact
    assert not verify_file([lines[0], lines[2], lines[1], *lines[3:]]).is_intact
    assert not verify_file([*lines[:4], lines[5]]).is_intact


def test_garbage_is_named_by_its_line() -> None:
    with pytest.raises(Invalid, match="Line 1"):
        verify_file([b"not json\n"])


def test_the_entry_is_gone_with_the_transaction_it_tells_of(
    rows: Database, audit: Audit, scope: Scope, actor: Actor
) -> None:
    with pytest.raises(ZeroDivisionError), rows.transaction() as tx:
        audit.record(tx, scope, actor, "thing.do", "x")
        raise ZeroDivisionError
    with rows.reading() as tx:
        assert audit.verify(tx) == (0, None)
