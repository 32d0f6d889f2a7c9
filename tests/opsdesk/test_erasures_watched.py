"""The watchdog and the doctor about erasures: who came back with a restore, whom nobody erases though two agreed."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command

from opsdesk.erasure import marks
from opsdesk.lib import clock
from opsdesk.models import PersonErasure
from opsdesk.watch.doctor import life
from opsdesk.watch.doctor.opinions import Verdict
from opsdesk.watch.watchdog import CHECKS, look
from tests.factories import at, make_desk
from workflows.models import Alert

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _list_of_its_own(settings, tmp_path):
    settings.VAR_DIR = tmp_path


@pytest.fixture
def alerts(monkeypatch):
    """What stands when the watchdog has looked at erasures alone."""
    monkeypatch.setattr("opsdesk.watch.watchdog.EVERY", timedelta(0))
    mine = tuple(check for check in CHECKS if check.kind in ("erased_are_back", "erasures_wait"))
    monkeypatch.setattr("opsdesk.watch.watchdog.CHECKS", mine)

    def words() -> list[str]:
        look()
        return list(Alert.objects.open().values_list("words", flat=True))

    return words


def doctors_verdicts() -> list[Verdict]:
    return [each.verdict for each in life.erasures_are_done()]


def test_whom_a_restore_brought_back_is_told_until_they_are_erased(alerts):
    marks.keep_waiting(["erased-1", "erased-2"])

    assert "2 people who were erased came back with a restore" in alerts()[0]
    assert doctors_verdicts() == [Verdict.WRONG, Verdict.GOOD]
    call_command("erase", "again", stdout=StringIO())
    assert alerts() == [] and marks.waiting() == []


def test_an_erasure_that_nobody_carries_out_is_told_until_it_is_done(alerts):
    now = clock.now()
    organization, cast = make_desk()
    agreed = [
        PersonErasure.objects.create(
            organization=organization, name=name, mark=f"erased-{name}", agreed_by=cast.ada, agreed_at=now
        )
        for name in ("cust-1", "cust-2")
    ]
    assert alerts() == []

    for erasure, days in zip(agreed, (3, 4), strict=True):
        at(erasure, agreed_at=now - timedelta(days=days))
    (words,) = alerts()
    assert "agreed 4 d ago to erase somebody, and it is not done" in words and "cust" not in words
    assert doctors_verdicts() == [Verdict.GOOD, Verdict.WRONG]

    call_command("erase", "agreed", stdout=StringIO())
    assert alerts() == [] and doctors_verdicts() == [Verdict.GOOD, Verdict.GOOD]
