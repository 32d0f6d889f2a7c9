"""Each person says how notices come: over which way, at once or together, not in quiet hours, and not too many."""

from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.core import mail
from django.db import IntegrityError, transaction

from accounts.models import User
from auditlog.models import Entry
from integrations.chat import keeping
from integrations.models import Notice, NoticePolicy, NoticeSettings
from integrations.notices import choosing, deliver_due, tell
from integrations.notices.kinds import NoticeKind, add_notice_kind
from integrations.states import NOTICE_WAITING, NoticeState
from opsdesk.lib import clock
from tests.factories import Cast, make_case, make_desk
from tests.plugins.chatroom import Chatroom
from tests.plugins.line import pass_time
from tests.races import at_once
from workflows.models import Case


@pytest.fixture
def desk(db: None) -> tuple[Case, Cast]:
    organization, cast = make_desk()
    return make_case(organization), cast


def choose(user: User, **chosen: Any) -> NoticeSettings:
    return choosing.choose(user.memberships.get(), **chosen)


def told(desk: tuple[Case, Cast], topic: str, *names: str) -> None:
    case, cast = desk
    people = [getattr(cast, name) for name in names or ("ada",)]
    tell(people, case=case, topic=topic, subject=f"About {topic}", body="Why.", path="/cases/7/")


def mails() -> Any:
    return Notice.objects.filter(channel="mail").order_by("pk")


def deliver() -> list[str]:
    """Deliver everything that is due; gives the subjects of the new mails."""
    before = len(mail.outbox)
    while deliver_due():
        pass
    return [str(message.subject) for message in mail.outbox[before:]]


def test_each_kind_goes_over_the_ways_that_were_chosen_for_it(desk, room: Chatroom):
    ada = desk[1].ada
    keeping.add_own(ada.memberships.get(), name="Chat", address=room.address)
    choose(ada, rules={"mention": {"mail": "never"}, "ladder": {"chat": "never"}})

    told(desk, "mention:1", "ada", "ben")
    told(desk, "ladder:1:30:remind")
    deliver()

    assert [title for title, _ in room.messages] == ["About mention:1"]
    assert [(each.to[0], each.subject) for each in mail.outbox] == [
        ("ben@desk.example", "About mention:1"),
        ("ada@desk.example", "About ladder:1:30:remind"),
    ]
    assert Notice.objects.filter(channel="app", recipient=ada).count() == 2


def test_what_is_wanted_together_comes_in_one_mail(desk):
    choose(desk[1].ada, rules={"mention": {"mail": "daily"}, "answer": {"mail": "hourly"}})

    for topic in ("mention:1", "mention:2", "answer:1", "question:1"):
        told(desk, topic)
    at_first = deliver()
    pass_time(timedelta(days=1))
    later = deliver()

    assert at_first == ["About question:1"]
    assert later == ["3 notices of the desk"]
    body = mail.outbox[-1].body
    said = [line for line in body.splitlines() if line.startswith("About")]
    assert sorted(said) == ["About answer:1", "About mention:1", "About mention:2"]
    assert set(mails().values_list("state", flat=True)) == {NoticeState.DELIVERED}
    assert Entry.objects.filter(verb="integrations.notice.delivered").count() == 4


def test_quiet_hours_hold_back_all_but_what_the_admin_calls_urgent(desk):
    ada = desk[1].ada
    now = clock.now().astimezone(ZoneInfo("Europe/London"))
    begins, ends = (now - timedelta(hours=1)).time(), (now + timedelta(hours=1)).time()
    choose(ada, quiet_from=begins, quiet_until=ends)

    told(desk, "leaving:1")
    told(desk, "mention:1")
    assert deliver() == ["About leaving:1"]
    NoticePolicy.objects.create(organization=desk[0].organization, pressing=["mention"])
    told(desk, "leaving:2")
    told(desk, "mention:2")
    assert deliver() == ["About mention:2"]
    pass_time(timedelta(hours=1, minutes=1))

    assert deliver() == ["2 notices of the desk"]


@time_machine.travel(datetime(2026, 1, 10, 22, 30, tzinfo=ZoneInfo("UTC")), tick=False)
def test_quiet_is_the_persons_own_night(desk):
    choose(desk[1].ada, quiet_from=time(22), quiet_until=time(7), time_zone="America/New_York")
    choose(desk[1].ben, quiet_from=time(22), quiet_until=time(7))

    told(desk, "mention:1", "ada", "ben")

    ada, ben = mails()
    assert (ada.bundled, ben.bundled) == (False, True)
    assert ben.due_at == datetime(2026, 1, 11, 7, tzinfo=ZoneInfo("UTC"))


def test_too_many_at_once_become_one_summary(desk):
    choose(desk[1].ada, most=3, within_minutes=10)

    for number in range(8):
        told(desk, f"mention:{number}")
    told(desk, "leaving:1")
    first = deliver()
    pass_time(timedelta(minutes=11))
    later = deliver()

    # What an objection window waits for is never held back.
    assert sorted(first) == ["About leaving:1", "About mention:0", "About mention:1", "About mention:2"]
    assert later == ["5 notices of the desk"]
    assert not Notice.objects.filter(state__in=NOTICE_WAITING).exists()


def test_the_measure_is_each_persons_and_each_ways_own(desk):
    choose(desk[1].ada, most=1, within_minutes=10)

    for number in range(2):
        told(desk, f"mention:{number}", "ada", "ben")

    assert len(deliver()) == 3


@pytest.mark.django_db(transaction=True)
def test_workers_at_once_send_each_notice_once_and_no_more_than_the_measure():
    organization, cast = make_desk()
    choose(cast.ada, most=5, within_minutes=10)
    case = make_case(organization)
    for number in range(20):
        tell([cast.ada], case=case, topic=f"mention:{number}", subject="x", body="x", path="/")

    def deliver_all() -> None:
        while deliver_due(limit=3):
            pass

    at_once(*[deliver_all] * 3)

    assert len(mail.outbox) == 5
    held = mails().filter(state=NoticeState.DUE, bundled=True)
    assert held.count() == 15
    held.update(due_at=clock.now())
    at_once(*[deliver_all] * 3)
    assert len(mail.outbox) == 6
    assert not Notice.objects.filter(state__in=NOTICE_WAITING).exists()


@pytest.mark.django_db
def test_a_worker_that_was_overtaken_writes_nothing():
    from integrations.notices import delivering

    organization, cast = make_desk()
    tell([cast.ada], case=make_case(organization), topic="mention:1", subject="x", body="x", path="/")
    _, [message] = delivering._claim(5)
    Notice.objects.filter(channel="mail").update(due_at=clock.now() - timedelta(minutes=2))

    _, [again] = delivering._claim(5)
    delivering._taken(message.first, NoticeState.DELIVERED)

    assert mails().get().state == NoticeState.DUE
    delivering._taken(again.first, NoticeState.DELIVERED)
    assert mails().get().state == NoticeState.DELIVERED


def test_what_was_chosen_is_recorded_and_kept_by_the_database(desk):
    row = choose(desk[1].ada, most=5)
    choose(desk[1].ada, most=5)

    entry = Entry.objects.get(verb="integrations.notice_settings.changed")
    assert (entry.before["most"], entry.after["most"]) == (30, 5)
    for wrong in ({"quiet_from": time(9)}, {"quiet_from": time(9), "quiet_until": time(9)}, {"most": 0}):
        with pytest.raises(IntegrityError), transaction.atomic():
            NoticeSettings.objects.filter(pk=row.pk).update(**wrong)


def test_who_left_while_a_notice_waited_is_told_nothing(desk):
    ada = desk[1].ada
    choose(ada, rules={"mention": {"mail": "daily"}})
    told(desk, "mention:1", "ada", "ben")

    ada.memberships.update(ended_at=clock.now())
    pass_time(timedelta(days=1))
    deliver()

    assert [message.to for message in mail.outbox] == [["ben@desk.example"]]
    notice = mails().get(recipient=ada)
    assert (notice.state, notice.message) == (NoticeState.FAILED, "Whom it was for is no longer a member.")
    assert not Notice.objects.filter(topic__startswith="undelivered:").exists()


def test_a_kind_is_registered_once():
    with pytest.raises(ValueError, match="leaving is registered twice"):
        add_notice_kind(NoticeKind("leaving", "Other"))
