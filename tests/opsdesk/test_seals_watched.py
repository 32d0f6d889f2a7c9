"""The watchdog and the doctor about the audit log: sealed, handed out, looked at, whole."""

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import Organization
from auditlog.models import Entry, Handing, Verification
from auditlog.seals import handing
from opsdesk.watch import seals
from opsdesk.watch.doctor import life
from opsdesk.watch.doctor.opinions import Verdict
from opsdesk.watch.findings import Moment
from opsdesk.watch.heartbeats import database_now
from tests import factories
from tests.auditlog.sealed import close, close_changes, tell
from tests.plugins.pages import text_of

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def heads(settings, tmp_path):
    settings.HEADS = {"file": str(tmp_path / "heads.jsonl"), "mail": "notary@example.org"}


def in_a(while_: timedelta) -> Moment:
    """That much later, on a desk that has been watched all the time."""
    now = database_now()
    return Moment(now + while_, now - DAY)


def words(found) -> str:
    return " ".join(finding.words for finding in found)


@pytest.mark.usefixtures("heads")
def test_what_does_not_happen_in_time_is_said(db):
    checks = (seals.seals_late, seals.heads_late, seals.verification_late, seals.log_broken)
    assert [words(check(in_a(DAY))) for check in checks] == ["", "", "", ""]

    organization = factories.make_organization()  # the database saw that
    assert "For 1 h nothing was sealed" in words(seals.seals_late(in_a(HOUR)))
    close()
    assert not words(seals.seals_late(in_a(DAY)))
    tell(organization, 3)
    assert not words(seals.seals_late(in_a(timedelta(minutes=1))))
    assert "For 1 h nothing was sealed" in words(seals.seals_late(in_a(HOUR)))
    close()
    assert not words(seals.seals_late(in_a(DAY)))

    assert not words(seals.heads_late(in_a(timedelta(minutes=20))))
    assert "handed to the file" in words(seals.heads_late(in_a(HOUR))) and "mail" in words(seals.heads_late(in_a(HOUR)))
    handing.hand_out()
    assert not words(seals.heads_late(in_a(HOUR)))

    assert not words(seals.verification_late(in_a(DAY)))
    assert "Nobody has looked for 28 h" in words(seals.verification_late(in_a(28 * HOUR))).replace("1 d 4 h", "28 h")
    Verification.objects.create(ended_at=database_now() + 2 * HOUR)
    assert not words(seals.verification_late(in_a(28 * HOUR)))

    Verification.objects.create(ended_at=database_now() + 3 * HOUR, found="Entry 7 was changed.")
    assert words(seals.log_broken(in_a(HOUR))).startswith("Entry 7 was changed.")


@pytest.mark.usefixtures("heads")
def test_an_outlet_that_refuses_is_told_with_its_reason(db, settings, tmp_path):
    settings.HEADS = {"file": str(tmp_path)}
    tell(factories.make_organization(), 1)
    close()
    handing.hand_out()

    assert "Is a directory" in words(seals.heads_late(in_a(HOUR)))


@pytest.mark.usefixtures("heads")
def test_the_doctor_says_when_heads_stay_on_this_host(db, settings):
    assert all(opinion.verdict is Verdict.GOOD for opinion in life.log_is_sealed())
    settings.HEADS = {"file": "heads.jsonl"}

    assert [opinion.verdict for opinion in life.log_is_sealed()].count(Verdict.NOTE) == 1


@pytest.mark.usefixtures("heads")
def test_the_page_of_seals(cast, organization, client: Client, django_assert_max_num_queries):
    client.force_login(cast.ines)
    tell(organization, 1)
    empty = text_of(client.get(reverse("auditlog:seals")))
    assert "Nothing is sealed yet" in empty and "Looked at not yet" in empty
    close(most=2)
    handing.hand_out()
    Handing.objects.create(seal_number=1, head=b"", outlet="mail", target="notary@example.org", trouble="<b>No</b>")
    tell(organization, 1)

    Verification.objects.create(ended_at=database_now(), entries=1_200, changes=34)

    with django_assert_max_num_queries(25):
        shown = text_of(client.get(reverse("auditlog:seals")))

    assert "file, mail" in shown and "not taken" in shown and "<b>No</b>" in shown
    assert Entry.objects.count() > 1
    assert "1,200 entries and 34 changes" in shown and "All that the database saw is sealed" in shown
    assert "up to seal 1" in shown


def test_the_page_of_the_seals_over_what_the_database_saw(cast, organization, client: Client):
    client.force_login(cast.ines)
    address = f"{reverse('auditlog:seals')}?chain=changes"
    assert "Nothing is sealed yet" in text_of(client.get(address))
    close()
    tell(organization, 1)
    close()
    Organization.objects.filter(pk=organization.pk).update(name="Acme and daughters")
    waits = text_of(client.get(address))
    close_changes()

    answer = client.get(address)

    shown = text_of(answer)
    assert "the oldest Transactions that are under way end first" in waits
    assert "the oldest" not in shown and "All that the database saw is sealed" in shown
    assert [seal.number for seal, _ in answer.context["seals"]] == [2, 1]
    assert "by the next one" in shown and "yes" in shown
