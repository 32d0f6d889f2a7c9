"""Sealing: nobody is skipped, nobody waits, and each entry can be proven."""

import json
import threading
from copy import deepcopy
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connection, connections, transaction

from auditlog import seals, tasks
from auditlog.models import Entry, Handing, Mark, Seal, Verification
from auditlog.seals import handing, looking, merkle, sealing
from auditlog.seals.form import ERASABLE, apart, head_of, line_of
from auditlog.seals.heads import of_this_machine
from auditlog.seals.verifying import verify, waiting
from opsdesk.lib import clock
from tests import factories
from tests.auditlog.sealed import alone, close, say, tell, unguarded

organization = pytest.fixture(alone)

DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def heads(settings, tmp_path) -> Any:
    settings.HEADS = {"file": str(tmp_path / "heads.jsonl")}
    return tmp_path / "heads.jsonl"


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 8, 9, 33])
def test_every_leaf_leads_to_the_root_and_no_other_does(count):
    leaves = [merkle.leaf_of(str(number)) for number in range(count)]
    root = merkle.root_of(leaves)

    for index, leaf in enumerate(leaves):
        path = merkle.path_of(leaves, index)
        assert merkle.root_by(leaf, index, count, path) == root
        assert merkle.root_by(merkle.leaf_of("other"), index, count, path) != root
        assert merkle.root_by(leaf, index, count, [*path, root]) is None
        assert not path or merkle.root_by(leaf, index, count, path[:-1]) is None
    assert merkle.root_by(leaves[0], count, count, []) is None


def test_entries_are_closed_in_chained_batches(organization):
    rows = tell(organization, 25)

    first, second, third = close()

    assert [first.count, second.count, third.count] == [10, 10, 5]
    assert bytes(second.previous) == bytes(first.head) and second.after_id == first.last_id
    assert [key for seal in (first, second, third) for key, _ in apart(bytes(seal.leaves))] == [row.pk for row in rows]
    assert head_of(line_of(Seal.objects.get(number=2))) == bytes(second.head)
    assert (verify().entries, waiting()) == (25, 0)


def test_the_canonical_form_stands_still(organization):
    """What is sealed today must verify for years: a change to these bytes needs a form of its own."""
    [row] = tell(organization, 1)
    say(
        "UPDATE auditlog_entry SET at = '2026-03-01T10:30:00.000001Z', salt = 'd2719b26-0000-4000-8000-000000000000', "
        "organization_id = %s, request_id = 'r', transaction = 7 WHERE id = %s",
        *(organization.pk, row.pk),
    )
    close()

    found = seals.proof(Entry.objects.get())

    assert found is not None
    keys = {name: sha256(f"d2719b26-0000-4000-8000-000000000000:{name}".encode()).digest() for name in ERASABLE}
    texts = {
        "actor": "desk",
        "reason": "It arrived as “number 1”.",
        "before": "{}",
        "after": '{"note": "ü\\n\u2028\\\\", "amount": 1}',
    }
    assert found["texts"] == texts
    assert json.loads(found["entry"]) == {
        "at": "2026-03-01T10:30:00.000001+00:00",
        "id": row.pk,
        "verb": "workflows.case.opened",
        "actor_kind": "system",
        "request_id": "r",
        "transaction": 7,
        "subject_id": 1,
        "subject_kind": "case",
        "organization_id": organization.pk,
        **{name: sha256(keys[name] + text.encode()).hexdigest() for name, text in texts.items()},
    }
    assert bytes(Seal.objects.get().leaves)[8:] == sha256(b"\x00" + found["entry"].encode()).digest()


def test_an_entry_is_proven_without_the_database(organization):
    rows = tell(organization, 25)
    close()
    handing.hand_out()
    close_heads = {each.number: each.head for each in of_this_machine()}

    for row in (rows[0], rows[13], rows[24]):
        found = json.loads(json.dumps(seals.proof(row)))
        assert seals.check_proof(found) == []
        assert seals.check_proof(found, heads=close_heads) == []
        assert found["handed"][0]["seal"] == 3 and len(found["seals"]) == 4 - (row.pk - rows[0].pk) // 10 - 1
        assert json.loads(found["texts"]["after"]) == row.after


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("texts", {"actor": "desk", "reason": "Other.", "before": "{}", "after": "{}"}, "The reason is not the one"),
        ("index", 3, "does not lead to the root"),
        ("path", [], "does not lead to the root"),
        ("keys", dict.fromkeys(ERASABLE, "00"), "The actor is not the one"),
        ("entry", '{"id": 1}', "The proof is not whole"),
        ("seals", [], "The proof is not whole"),
    ],
)
def test_a_forged_proof_is_refused(organization, name, value, said):
    close_rows = tell(organization, 25)
    close()
    found = deepcopy(seals.proof(close_rows[4]))
    assert found is not None

    found[name] = value

    assert said in " ".join(seals.check_proof(found))


def test_a_proof_under_another_head_is_refused(organization):
    rows = tell(organization, 25)
    close()
    found = seals.proof(rows[4])
    assert found is not None

    assert "The head of seal 3 is not one that was handed out." in seals.check_proof(found, heads={3: "00" * 32})
    found["seals"].reverse()
    assert seals.check_proof(found)


def test_what_waits_for_its_seal_has_no_proof_yet(organization):
    tell(organization, 3)
    close()
    [late] = tell(organization, 1)

    assert seals.proof(late) is None
    assert waiting() == 1


def erase(row: Entry, *names: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT auditlog_erase(%s, %s)", [row.pk, list(names)])


def test_what_is_erased_leaves_seal_and_proof_whole(organization):
    rows = tell(organization, 3)
    close()

    erase(rows[0], "actor")
    erase(rows[0], "reason", "after")
    erase(rows[1], "actor", "reason", "before", "after")

    first = Entry.objects.get(pk=rows[0].pk)
    assert (first.actor, first.reason, first.before, first.after) == ("erased", "erased", {}, {"erased": True})
    assert first.salt is None
    assert verify().found == ""
    found = seals.proof(first)
    assert found is not None
    assert found["texts"] == {"actor": None, "reason": None, "before": "{}", "after": None}
    assert seals.check_proof(found) == []
    for name, value in (("before", '{"forged": 1}'), ("reason", "Forged.")):
        say(f"UPDATE auditlog_entry SET {name} = %s WHERE id = %s", value, rows[0].pk)  # noqa: S608
        assert verify().found.startswith(f"Entry {rows[0].pk} was changed")
        say(f"UPDATE auditlog_entry SET {name} = %s WHERE id = %s", "{}" if name == "before" else "erased", rows[0].pk)  # noqa: S608
    assert verify().found == ""


def test_texts_that_wait_for_their_seal_can_be_erased_too(organization):
    [row] = tell(organization, 1)
    erase(row, "reason")

    close()

    assert verify().found == ""
    with pytest.raises(IntegrityError, match="No such text"), transaction.atomic():
        erase(row, "verb")


@pytest.mark.parametrize("table", ["auditlog_seal", "auditlog_handing"])
@pytest.mark.parametrize("attack", ["UPDATE {} SET head = ''", "DELETE FROM {}", "TRUNCATE {}"])
def test_seals_and_handings_are_only_added(organization, table, attack):
    tell(organization, 3)
    close()
    handing.hand_out()

    with pytest.raises(DatabaseError, match="Cannot"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(attack.format(table))


@pytest.mark.parametrize("wrong", [{"previous": b"\1" * 32}, {"after_id": 1}, {"number": 9}])
def test_the_database_refuses_a_fork(organization, wrong):
    tell(organization, 3)
    [first] = close()
    tell(organization, 1)
    [second] = close()
    with unguarded(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM auditlog_seal WHERE number = 2")

    for name, value in wrong.items():
        setattr(second, name, value)

    with pytest.raises(IntegrityError, match="A seal follows the one before"), transaction.atomic():
        second.save(force_insert=True)
    assert list(Seal.objects.values_list("number", flat=True)) == [first.number]


def oldest_in_this_database() -> int:
    """As the server says of all its databases; other tests may hold transactions open in theirs for minutes."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(min(backend_xid::text::bigint), pg_snapshot_xmax(pg_current_snapshot())::text::bigint) "
            "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return int(cursor.fetchone()[0])


@pytest.mark.django_db(transaction=True)
def test_a_late_committer_is_waited_for_and_nobody_else_waits(monkeypatch):
    monkeypatch.setattr(sealing, "_oldest_under_way", oldest_in_this_database)
    organization = factories.make_organization()
    wrote, go_on = threading.Event(), threading.Event()
    late: list[Entry] = []

    def write_slowly() -> None:
        with transaction.atomic():
            late.extend(tell(organization, 1))
            wrote.set()
            assert go_on.wait(30)
        connections.close_all()

    slow = threading.Thread(target=write_slowly, daemon=True)
    slow.start()
    assert wrote.wait(30)
    early = tell(organization, 2)  # later keys, committed before
    assert early[0].pk > late[0].pk

    assert [sealing.seal() for _ in range(3)] == [0, 0, 0]
    assert Mark.objects.get().last_id == early[1].pk
    go_on.set()
    slow.join(30)

    assert sealing.seal() == Entry.objects.count() >= 3
    sealed = [key for key, _ in apart(bytes(Seal.objects.get().leaves))]
    assert sealed[-3:] == [late[0].pk, early[0].pk, early[1].pk]
    assert verify().found == ""


def test_a_mark_of_another_cluster_is_set_anew(organization):
    tell(organization, 2)
    Mark.objects.create(last_id=10**9, horizon=2**62, set_at=clock.now())

    sealing.seal()

    assert Mark.objects.get().horizon < 2**62
    assert Mark.objects.get().last_id == Entry.objects.order_by("-pk")[0].pk


def test_heads_are_handed_out_once_in_the_agreed_time(organization, settings, heads, mailoutbox):
    settings.HEADS |= {"mail": "notary@example.org", "webhook": ""}
    assert handing.hand_out() == []
    tell(organization, 3)
    close()

    assert tasks.hand_out() == 2
    assert tasks.hand_out() == 0  # nothing is new
    tell(organization, 1)
    close()
    assert tasks.hand_out() == 0  # not yet time
    settings.HEADS_MINUTES = 0
    assert tasks.hand_out() == 2

    assert [each.number for each in of_this_machine()] == [1, 2]
    assert heads.read_text().splitlines()[0] in mailoutbox[0].body and mailoutbox[0].to == ["notary@example.org"]
    assert list(Handing.objects.order_by("pk").values_list("outlet", "seal_number", "trouble")) == [
        ("file", 1, ""), ("mail", 1, ""), ("file", 2, ""), ("mail", 2, "")
    ]  # fmt: skip


def test_what_was_not_taken_is_written_down_and_tried_again(organization, settings, tmp_path):
    settings.HEADS = {"file": str(tmp_path)}
    tell(organization, 1)
    close()

    [first], [second] = handing.hand_out(), handing.hand_out()

    assert "Is a directory" in first.trouble and "Is a directory" in second.trouble


def test_the_log_is_looked_at_once_a_day_in_pieces(organization, monkeypatch):
    assert tasks.verify() is False
    tell(organization, 25)
    close()
    assert tasks.verify() is False  # not for a day
    monkeypatch.setattr(looking, "EVERY", timedelta(0))

    assert looking.go_on(seconds=-1)  # no time for any
    assert Verification.objects.get().next_seal == 1
    assert looking.go_on()
    look = Verification.objects.get()
    assert (look.entries, look.found, look.ended_at is None) == (25, "", False)

    say("UPDATE auditlog_entry SET reason = 'Other.' WHERE id = (SELECT max(id) FROM auditlog_entry)")
    assert looking.go_on()
    last = looking.last()
    assert last is not None and "was changed after seal 3" in last.found
