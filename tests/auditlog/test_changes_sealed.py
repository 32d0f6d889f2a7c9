"""What the database itself saw changing is sealed, proved by the same heads, and removed by policy only."""

from collections.abc import Callable

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from accounts.models import Organization
from auditlog import tasks
from auditlog.models import Change, ChangeSeal, Entry, LegalHold, Mark, Removal, RetentionPolicy, Seal
from auditlog.seals import handing, heads, sealing
from auditlog.seals.verifying import TOMBSTONE, verify
from tests import factories
from tests.auditlog.sealed import alone, close, close_changes, exchange, say, tell

organization = pytest.fixture(alone)


@pytest.fixture
def seen(organization, heads_outside, monkeypatch) -> list[int]:
    """Some changes under three seals, covered by a head that is outside; gives the changes' keys."""
    monkeypatch.setattr(sealing, "MOST_IN_ONE", 5)
    for number in range(12):
        Organization.objects.filter(pk=organization.pk).update(name=f"Acme {number}")
    tell(organization, 3)
    close()
    handing.hand_out()
    return list(Change.objects.order_by("pk").values_list("pk", flat=True))


def edit(keys: list[int]) -> str:
    say("UPDATE auditlog_change SET after = '{}' WHERE id = %s", keys[6])
    return f"Change {keys[6]} was changed after seal 2 over changes of "


def cut_in_the_middle(keys: list[int]) -> str:
    say("DELETE FROM auditlog_change WHERE id BETWEEN %s AND %s", keys[2], keys[3])
    return f"Change {keys[2]} is missing: it was there when seal 1 over changes of "


def cut_of_the_newest(keys: list[int]) -> str:
    last = ChangeSeal.objects.first()
    say("DELETE FROM auditlog_change WHERE id > %s", last.after_id)
    say("DELETE FROM auditlog_changeseal WHERE number = %s", last.number)
    return f"Seal {last.number} over changes is missing: seal 1 names it."


def cut_with_the_seals_that_name_it(keys: list[int]) -> str:
    cut_of_the_newest(keys)
    say("DELETE FROM auditlog_seal")
    return "The end is cut off: the head of seal 1 was handed out on "


def swap(keys: list[int]) -> str:
    exchange("auditlog_change", ("after",), keys[4], keys[9])
    return f"Change {keys[4]} was changed after seal 1 over changes of "


def back_date(keys: list[int]) -> str:
    say("UPDATE auditlog_change SET at = at - interval '1 day' WHERE id = %s", keys[7])
    _make_seals_anew()
    return f"Seal {ChangeSeal.objects.count()} over changes is not the one that seal 1 names: made anew."


def recompute(keys: list[int]) -> str:
    say("UPDATE auditlog_change SET actor = 'nobody' WHERE id = %s", keys[7])
    _make_seals_anew()
    say("DELETE FROM auditlog_seal")
    close()
    return "The log was made anew in seal 1: the head of seal 1 that was handed out on "


def _make_seals_anew() -> None:
    say("DELETE FROM auditlog_changeseal")
    close_changes()


ATTACKS = (edit, cut_in_the_middle, cut_of_the_newest, cut_with_the_seals_that_name_it, swap, back_date, recompute)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_whatever_the_owner_does_to_it_is_found_and_named(seen, attack: Callable[[list[int]], str]):
    whole = verify(heads.of_this_machine())
    assert (whole.found, whole.changes) == ("", len(seen))

    place = attack(seen)

    assert verify(heads.of_this_machine()).found.startswith(place)


@pytest.mark.parametrize(
    ("attack", "place"),
    [
        ("DELETE FROM auditlog_changeseal WHERE number = 2", "Seal 2 over changes is missing: after seal 1 follows"),
        ("UPDATE auditlog_changeseal SET sealed_at = now() WHERE number = 2", "Seal 2 over changes was changed: "),
        ("UPDATE auditlog_changeseal SET leaves = leaves || leaves WHERE number = 2", "Seal 2 over changes was"),
        ("UPDATE auditlog_changeseal SET previous = '\\x00' WHERE number = 2", "Seal 2 over changes does not follow"),
        ("UPDATE auditlog_seal SET changes_number = 1", "Seal 1 was changed: its head"),
    ],
)  # fmt: skip
def test_the_seals_over_changes_are_watched_as_well(seen, attack: str, place: str):
    say(attack)

    assert verify().found.startswith(place)


def test_seals_made_before_changes_were_sealed_still_verify(organization):
    tell(organization, 3)
    [old] = close()
    say(
        "UPDATE auditlog_seal SET form = 1, changes_number = 0, changes_head = NULL, head = %s",
        sealing.head_of(sealing.line_of(Seal(**{**_values(old), "form": 1, "changes_number": 0}))),
    )
    tell(organization, 1)
    close()

    report = verify()

    assert (report.found, report.seals, report.changes) == ("", 2, Change.objects.count())


def _values(seal: Seal) -> dict[str, object]:
    return {field.attname: getattr(seal, field.attname) for field in seal._meta.concrete_fields}


def test_a_beat_marks_both_and_the_next_ones_seal_them(organization, monkeypatch):
    tell(organization, 3)
    monkeypatch.setattr(sealing, "_oldest_under_way", lambda: 2**62)

    assert sealing.seal() == 0
    mark = Mark.objects.get()
    assert mark.last_change_id == Change.objects.order_by("-pk")[0].pk
    assert sealing.seal() == 3

    assert ChangeSeal.objects.get().last_id == mark.last_change_id
    assert Seal.objects.get().changes_number == 1
    assert verify().found == ""


@pytest.mark.parametrize("attack", ["UPDATE {} SET count = 9", "DELETE FROM {}", "TRUNCATE {}"])
def test_seals_over_changes_are_only_added(seen, attack):
    with pytest.raises(DatabaseError, match="Cannot"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(attack.format("auditlog_changeseal"))


def test_old_changes_go_by_policy_and_what_is_held_stays(organization, monkeypatch):
    held = factories.make_case(organization, party="C-7")
    free = factories.make_case(organization, party="C-8")
    together = factories.make_organization("acme-two")
    grown = Change.objects.filter(organization_id=organization.pk).count()
    say("UPDATE auditlog_change SET at = now() - interval '2 years'")
    monkeypatch.setattr(sealing.clock, "of_database", _two_years_ago(sealing.clock.of_database))
    close_changes()
    monkeypatch.undo()
    LegalHold.objects.create(organization=organization, party="C-7")
    RetentionPolicy.objects.create(organization=organization, kind="changes", days=400)
    young = list(Change.objects.filter(at__gt="2026-01-01").values_list("pk", flat=True))

    gone = tasks.retain()
    close()

    left = Change.objects.filter(organization_id=organization.pk).exclude(pk__in=young)
    assert gone == grown - left.count() > 0
    assert left.filter(kind="case", row_id=held.pk).exists()
    assert not left.filter(kind="case", row_id=free.pk).exists()
    assert Change.objects.filter(organization_id=together.pk).exists()
    stone = Entry.objects.get(verb=TOMBSTONE)
    assert (stone.after["of"], stone.after["count"]) == ("changes", gone)
    assert verify().found == ""

    say("UPDATE auditlog_removal SET keys = keys[2:]")
    assert verify().found


def _two_years_ago(now):
    return lambda: now().replace(year=now().year - 2)


@pytest.mark.parametrize("why", ["young", "held", "together", "nameless"])
def test_the_database_looks_itself_what_may_go(organization, why):
    case = factories.make_case(organization, party="C-7")
    if why != "young":
        say("UPDATE auditlog_change SET at = now() - interval '2 years'")
    rows = Change.objects.filter(kind="case", row_id=case.pk)
    if why in ("held", "together"):
        LegalHold.objects.create(organization=organization, party="C-7")
    [stone] = tell(organization, 1)
    say("UPDATE auditlog_entry SET verb = %s, after = %s WHERE id = %s", TOMBSTONE, '{"digest": "d"}', stone.pk)
    if why == "together":
        rows = Change.objects.filter(kind="organization", row_id=organization.pk, operation="insert")
        say(
            "UPDATE auditlog_entry SET case_id = %s, transaction = %s WHERE id = %s",
            *(case.pk, rows.get().transaction, stone.pk),
        )
    keys = list(rows.values_list("pk", flat=True))
    removal = Removal.objects.create(
        seal_number=1, keys=keys, digest="other" if why == "nameless" else "d", tombstone_id=stone.pk, of_changes=True
    )

    refused = pytest.raises(IntegrityError, match=r"Too young, or held|No tombstone names them")
    with refused, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT auditlog_carry_out(%s)", [removal.pk])
    assert Change.objects.filter(pk__in=keys).count() == len(keys) > 0
