"""Alerts: raised once, cleared once, looked after by somebody, whoever says it and however often."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from auditlog.models import Entry
from opsdesk.lib import clock
from tests import factories
from tests.races import at_once, round_by_round
from workflows import alerts
from workflows.alerts import AlreadyOver, clear_alert, clear_others, raise_alert
from workflows.models import Alert

KIND, WORDS = "tried", "The clock stands still. Start beat again."


@pytest.fixture(autouse=True)
def _a_kind_of_our_own(monkeypatch):
    monkeypatch.setattr(alerts, "_titles", {KIND: "Tried", "other": "Other"})


def entries(verb):
    return Entry.objects.filter(verb=f"workflows.alert.{verb}").order_by("pk")


def test_what_is_raised_again_is_one_alert_with_the_latest_words(organization):
    assert raise_alert(organization, KIND, "workflow 1", "3 hours.") is True
    long_ago = clock.now() - timedelta(hours=1)
    factories.at(Alert.objects.get(), since=long_ago, last_seen_at=long_ago)

    assert raise_alert(organization, KIND, "workflow 1", "4 hours.") is False

    alert = Alert.objects.get()
    assert (alert.words, alert.since, alert.cleared_at) == ("4 hours.", long_ago, None)
    assert alert.last_seen_at > long_ago
    assert [entry.organization for entry in entries("raised")] == [organization]


def test_what_comes_back_is_a_new_alert(organization):
    raise_alert(organization, KIND, "workflow 1", WORDS)
    assert clear_alert(organization, KIND, "workflow 1") is True
    assert clear_alert(organization, KIND, "workflow 1") is False

    assert raise_alert(organization, KIND, "workflow 1", WORDS) is True

    assert Alert.objects.count() == 2
    assert Alert.objects.open().count() == 1
    assert (entries("raised").count(), entries("cleared").count()) == (2, 1)


def test_the_same_subject_of_another_organization_is_another_alert(organization):
    other = factories.make_organization("elsewhere")
    for whom in (organization, other, None):
        assert raise_alert(whom, KIND, "workflow 1", WORDS) is True

    clear_alert(other, KIND, "workflow 1")

    assert {alert.organization for alert in Alert.objects.open()} == {organization, None}


def test_what_concerns_the_desk_is_told_to_every_organization(organization):
    other = factories.make_organization("elsewhere")

    raise_alert(None, KIND, "beat", WORDS)
    clear_alert(None, KIND, "beat")

    for verb in ("raised", "cleared"):
        assert {entry.organization for entry in entries(verb)} == {organization, other}


def test_only_the_subjects_that_still_stand_stay_open(organization):
    for subject in ("a", "b", "c"):
        raise_alert(None, KIND, subject, WORDS)
    raise_alert(None, "other", "a", WORDS)
    raise_alert(organization, KIND, "a", WORDS)

    assert clear_others(None, KIND, ["b"]) == 2

    still = Alert.objects.open().filter(organization=None).values_list("kind", "subject")
    assert set(still) == {(KIND, "b"), ("other", "a")}


def test_an_unknown_kind_is_refused():
    with pytest.raises(KeyError):
        raise_alert(None, "invented", "beat", WORDS)


def test_somebody_looks_after_it_until_it_is_over(organization, cast):
    raise_alert(None, KIND, "beat", WORDS)
    alert = Alert.objects.get()

    alerts.acknowledge(alert.pk, by=cast.maya, organization_id=organization.pk, note="The host restarts.")
    alerts.acknowledge(alert.pk, by=cast.tomasz, organization_id=organization.pk, note="")

    alert.refresh_from_db()
    assert (alert.acknowledged_by, alert.note, alert.cleared_at) == (cast.tomasz, "", None)
    first, second = entries("acknowledged")
    assert (first.user, first.reason) == (cast.maya, "The host restarts.")
    assert (second.user, second.before) == (cast.tomasz, {"looked_after_by": "Maya Nowak"})


def test_nobody_looks_after_what_is_over(organization, cast):
    raise_alert(None, KIND, "beat", WORDS)
    clear_alert(None, KIND, "beat")

    with pytest.raises(AlreadyOver):
        alerts.acknowledge(Alert.objects.get().pk, by=cast.maya, organization_id=organization.pk, note="")

    assert Alert.objects.get().acknowledged_by is None
    assert not entries("acknowledged").exists()


@pytest.mark.django_db(transaction=True)
def test_several_who_see_the_same_raise_it_once_and_clear_it_once():
    organization = factories.make_organization()

    def look(number):
        return raise_alert(None, KIND, f"beat {number}", WORDS)

    raised = round_by_round([look] * 4, 25)
    cleared = round_by_round([lambda number: clear_alert(None, KIND, f"beat {number}")] * 4, 25)

    assert [sorted(each) for each in raised] == [[False, False, False, True]] * 25
    assert [sorted(each) for each in cleared] == [[False, False, False, True]] * 25
    assert not Alert.objects.open().exists()
    told = Entry.objects.filter(organization=organization)
    assert {verb: told.filter(verb=f"workflows.alert.{verb}").count() for verb in ("raised", "cleared")} == {
        "raised": 25, "cleared": 25,
    }  # fmt: skip


@pytest.mark.django_db(transaction=True)
def test_raising_and_clearing_at_once_leaves_one_or_none():
    factories.make_organization()
    for _ in range(20):
        at_once(lambda: raise_alert(None, KIND, "beat", WORDS), lambda: clear_alert(None, KIND, "beat"))

        assert Alert.objects.open().count() <= 1
    clear_alert(None, KIND, "beat")
    assert not Alert.objects.open().exists()


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("workflows_alert_one_open_per_subject", {"subject": "taken", "organization": None}),
        ("workflows_alert_says_what", {"words": ""}),
        ("workflows_alert_acknowledged_by_somebody", {"acknowledged_at": clock.now()}),
    ],
)
def test_the_database_repeats_the_rules(organization, name, fields):
    factories.make_alert(None, kind=KIND, subject="taken")
    alert = factories.make_alert(organization, kind=KIND)

    with pytest.raises(IntegrityError, match=name), transaction.atomic():
        Alert.objects.filter(pk=alert.pk).update(**fields)
