"""Retention: what is old goes by policy, what is held stays, and the log verifies across the cut."""

from datetime import timedelta

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from accounts.models import Organization
from accounts.roles import Role
from auditlog import tasks
from auditlog.models import Entry, LegalHold, Removal, RetentionPolicy
from auditlog.retention.removing import held_cases
from auditlog.seals.verifying import TOMBSTONE, verify
from integrations.models import Call, Notice
from opsdesk.lib import clock
from tests import factories
from tests.auditlog.sealed import alone, close, say, tell

organization = pytest.fixture(alone)


def old_log(organization: Organization) -> list[int]:
    """Thirty entries of cases that nobody has, under three seals, made two years ago; gives their keys."""
    rows = tell(organization, 30)
    say("UPDATE auditlog_entry SET at = now() - interval '2 years', case_id = 9000000 + subject_id")
    close()
    return [row.pk for row in rows]


def policy(organization: Organization, kind: str = "entries", days: int = 400, **more) -> RetentionPolicy:
    return RetentionPolicy.objects.create(organization=organization, kind=kind, days=days, **more)


def test_what_is_old_goes_and_the_log_verifies_across_the_cut(organization):
    other = factories.make_organization("other")
    keys = old_log(organization)
    young = tell(organization, 5) + tell(other, 2)
    policy(organization)
    policy(other, enabled=False)

    assert tasks.retain() == 30
    assert tasks.retain() == 0
    close()

    assert not Entry.objects.filter(pk__in=keys).exists()
    assert Entry.objects.filter(pk__in=[row.pk for row in young]).count() == 7
    tombstones = Entry.objects.filter(verb=TOMBSTONE).order_by("pk")
    assert [stone.after["count"] for stone in tombstones] == [10, 10, 10]
    assert "kept for 400 days" in tombstones[0].reason and tombstones[0].actor == "retention"
    assert verify().found == ""


def test_what_is_held_stays_until_the_hold_is_lifted(organization):
    keys = old_log(organization)
    case = factories.make_case(organization, party="C-7")
    say("UPDATE auditlog_entry SET case_id = %s WHERE id = %s", case.pk, keys[20])
    policy(organization)
    say("DELETE FROM auditlog_seal")
    close()
    holds = [
        LegalHold.objects.create(organization=organization, case_id=9000004),
        LegalHold.objects.create(organization=organization, party="C-7"),
    ]

    assert held_cases(organization.pk) == {9000004, case.pk}
    assert tasks.retain() == 28
    assert list(Entry.objects.filter(pk__in=keys).values_list("pk", flat=True).order_by("pk")) == [keys[3], keys[20]]
    assert verify().found == ""

    LegalHold.objects.filter(pk=holds[0].pk).update(lifted=True)
    assert tasks.retain() == 1
    assert list(Entry.objects.filter(pk__in=keys)) == [Entry.objects.get(pk=keys[20])]
    assert verify().found == ""


@pytest.mark.parametrize("why", ["young", "held", "customer", "nameless", "tombstone"])
def test_the_database_looks_itself_what_may_go(organization, why):
    keys = old_log(organization)
    digest = "d"
    [stone] = tell(organization, 1)
    say("UPDATE auditlog_entry SET verb = %s, after = %s WHERE id = %s", TOMBSTONE, '{"digest": "d"}', stone.pk)
    if why == "young":
        say("UPDATE auditlog_entry SET at = now() - interval '300 days' WHERE id = %s", keys[1])
    elif why == "held":
        LegalHold.objects.create(organization=organization, case_id=9000002)
    elif why == "customer":
        case = factories.make_case(organization, party="C-7")
        say("UPDATE auditlog_entry SET case_id = %s WHERE id = %s", case.pk, keys[1])
        LegalHold.objects.create(organization=organization, party="C-7")
    elif why == "nameless":
        digest = "other"
    else:
        keys[1] = stone.pk
    removal = Removal.objects.create(seal_number=1, keys=keys[:3], digest=digest, tombstone_id=stone.pk)

    with pytest.raises(IntegrityError, match=r"Too young, or held|No tombstone names them"), transaction.atomic():
        _carry_out(removal)
    assert Entry.objects.filter(pk__in=keys[:3]).count() == 3


def test_nothing_goes_past_the_function(organization):
    old_log(organization)

    with pytest.raises(DatabaseError, match="Cannot update or delete rows"), transaction.atomic():
        Entry.objects.all().delete()


@pytest.mark.parametrize(
    "attack",
    [
        "UPDATE auditlog_entry SET after = '{}' WHERE verb = 'auditlog.entries.removed'",
        "UPDATE auditlog_removal SET digest = 'other'",
        "UPDATE auditlog_removal SET keys = keys[2:]",
        "DELETE FROM auditlog_removal WHERE seal_number = 2",
    ],
)
def test_a_removal_that_was_changed_is_found(organization, attack):
    old_log(organization)
    policy(organization)
    tasks.retain()
    say(attack)

    assert verify().found


def test_other_records_go_by_their_own_policies(organization):
    connection_row = factories.make_connection(organization)
    case = factories.make_case(organization, party="C-7")
    calls = [
        Call.objects.create(
            connection=connection_row, operation="read", method="GET", path="/", outcome="ok", milliseconds=1
        )
        for _ in range(3)
    ]
    user = factories.make_member(organization, "otto", Role.OPERATOR)
    common = {"organization": organization, "recipient": user, "case": case, "channel": "app", "body": "", "path": "/"}
    notices = [
        Notice.objects.create(topic=topic, state="delivered", due_at=None, delivered_at=clock.now(), **common)
        for topic in ("one", "two")
    ]
    long_ago = clock.now() - timedelta(days=100)
    Call.objects.filter(pk__in=[calls[0].pk, calls[1].pk]).update(at=long_ago)
    Notice.objects.filter(pk=notices[0].pk).update(created_at=long_ago)
    policy(organization, "calls", 90)
    policy(organization, "notices", 90)
    policy(organization, "unheard", 90)

    assert tasks.retain() == 3
    assert list(Call.objects.all()) == [calls[2]] and list(Notice.objects.all()) == [notices[1]]
    LegalHold.objects.create(organization=organization, party="C-7")
    Notice.objects.update(created_at=long_ago)
    assert tasks.retain() == 0


@pytest.mark.parametrize("wrong", [{}, {"case_id": 1, "party": "C-7"}])
def test_a_hold_names_one_thing(organization, wrong):
    with pytest.raises(IntegrityError, match="auditlog_hold_names_a_case_or_a_customer"), transaction.atomic():
        LegalHold.objects.create(organization=organization, **wrong)


def _carry_out(removal: Removal) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT auditlog_carry_out(%s)", [removal.pk])
