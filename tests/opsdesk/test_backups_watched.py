"""The watchdog and the doctor about backups: late, failed, never put back; a journal that is not archived."""

from datetime import timedelta

import pytest
from django.db.migrations.recorder import MigrationRecorder

from opsdesk.models import Backup
from opsdesk.watch import backups
from opsdesk.watch.doctor import life
from opsdesk.watch.doctor.opinions import Verdict
from opsdesk.watch.findings import Moment
from opsdesk.watch.heartbeats import database_now
from tests.factories import at

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
CHECKS = (backups.backup_late, backups.backup_failed, backups.backup_untried, backups.archive_broken)
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _an_embedded_desk(monkeypatch, settings, tmp_path):
    monkeypatch.delenv("DATABASE_URL", raising=False)
    settings.VAR_DIR, settings.BACKUP_HOURS = tmp_path, 26
    MigrationRecorder.Migration.objects.update(applied=database_now())


def said(while_: timedelta = timedelta(0), *, watched: timedelta = DAY) -> list[str]:
    """What all checks find that much later, on a desk that was watched for so long."""
    now = database_now()
    moment = Moment(now + while_, now + while_ - watched)
    return [finding.words for check in CHECKS for finding in check(moment)]


def written(ago: timedelta, **fields: object) -> Backup:
    row = Backup.objects.create(name=f"opsdesk-{ago}", place="/backups", ended_at=database_now(), **fields)
    return at(row, begun_at=database_now() - ago)


def test_a_desk_without_a_backup_of_late_says_so(settings):
    assert said(25 * HOUR) == []
    assert "This desk was never backed up. Run `manage.py backup`" in said(27 * HOUR)[0]
    assert said(27 * HOUR, watched=HOUR / 60) == []  # it was just started

    written(2 * HOUR)
    assert said(23 * HOUR) == []
    assert "The last backup is from 1 d 5 h ago" in said(27 * HOUR)[0]

    written(HOUR, trouble="No space left on device")
    (words,) = said()
    assert "could not be written: No space left on device" in words
    settings.BACKUP_HOURS = 0
    assert said(9 * DAY) == [words.replace("1 h", "9 d 1 h")]


def test_a_backup_that_nobody_put_back_is_no_backup_yet(settings):
    first = written(40 * DAY)
    last = written(HOUR)
    assert "No backup was put back for 40 d" in said()[0]
    at(first, tried_at=database_now() - DAY)
    assert said() == []
    at(last, tried_at=database_now(), tried_trouble="It is empty.")
    assert said() == [f"The backup {last} could not be put back: It is empty."]
    assert [each.verdict for each in life.backups_are_there()].count(Verdict.WRONG) == 1


def test_a_journal_that_is_not_archived_is_told_once_it_lasts(monkeypatch):
    now = database_now()
    rows: list[tuple[object, ...] | None] = [None]
    monkeypatch.setattr(backups, "_archiver", lambda: rows[0])
    assert said() == [] and not backups.archives()
    for archived, failed, words in (
        (now - HOUR, None, ""),
        (now - HOUR, now - 2 * HOUR, ""),
        (now - HOUR / 60, now, ""),
        (now - HOUR, now, "could not archive 0007 of its journal; nothing was archived for 1 h"),
        (None, now - HOUR, "nothing was archived for 1 h"),
    ):
        rows[0] = ("0006", archived, "0007", failed)
        assert words in " ".join(said()) and bool(said()) == bool(words)

    monkeypatch.setenv("DATABASE_URL", "postgresql:///elsewhere")
    assert any("could not archive" in each.words for each in life.backups_are_there())
    rows[0] = None
    assert [each.verdict for each in life.backups_are_there()] == [Verdict.NOTE]


def test_the_server_itself_is_asked_about_its_archive():
    assert not backups.archives()
