"""Messages to people: written with the change, delivered once, and the delivery proven or given up."""

from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.db import transaction
from django.utils import timezone

from accounts.models import User
from auditlog.models import Entry
from integrations.models import Notice
from integrations.notices import MOST_ATTEMPTS, deliver_due, tell
from integrations.states import NoticeState
from tests.factories import Cast, make_case, make_desk
from tests.plugins.line import pass_time
from tests.races import at_once
from workflows.models import Case


@pytest.fixture
def desk(db: None) -> tuple[Case, Cast]:
    organization, cast = make_desk()
    return make_case(organization), cast


def notify(desk: tuple[Case, Cast], *names: str, topic: str = "leaving:1", subject: str = "£60.00 leaves soon") -> None:
    case, cast = desk
    tell(
        [getattr(cast, name) for name in names], case=case, topic=topic, subject=subject, body="Why.", path="/cases/7/"
    )


def test_a_notice_is_in_the_app_at_once_and_goes_out_by_mail(desk):
    notify(desk, "maya")
    in_app, by_mail = Notice.objects.order_by("channel")
    assert (in_app.channel, in_app.state, by_mail.state) == ("app", NoticeState.DELIVERED, NoticeState.DUE)

    assert deliver_due() == 1

    [message] = mail.outbox
    assert (message.to, message.subject) == (["maya@desk.example"], "£60.00 leaves soon")
    assert message.body == "Why.\n\nOpen it: http://127.0.0.1:8000/cases/7/\n"
    by_mail.refresh_from_db()
    assert (by_mail.state, by_mail.due_at) == (NoticeState.DELIVERED, None)
    assert by_mail.delivered_at is not None
    assert Entry.objects.filter(verb="integrations.notice.delivered", case_id=by_mail.case_id).count() == 1
    assert deliver_due() == 0


def test_a_topic_is_told_once_to_each_person(desk):
    notify(desk, "maya", "ben")
    notify(desk, "maya")
    notify(desk, "maya", topic="leaving:2")

    assert Notice.objects.filter(channel="mail").count() == 3


def test_who_has_no_address_is_told_in_the_app_only(desk):
    User.objects.filter(username="maya").update(email="")
    desk[1].maya.refresh_from_db()

    notify(desk, "maya")

    assert [notice.channel for notice in Notice.objects.all()] == ["app"]


def test_a_notice_of_a_change_that_did_not_happen_is_not_there(desk):
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        notify(desk, "maya")
        _ = 1 / 0

    assert not Notice.objects.exists()


def test_a_subject_of_several_lines_is_one_line(desk):
    notify(desk, "maya", subject="£60.00 to\r\nBcc: all@desk.example\nleaves")

    deliver_due()

    assert mail.outbox[0].subject == "£60.00 to Bcc: all@desk.example leaves"
    assert mail.outbox[0].bcc == []


def nobody_listens(settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9


def test_a_mail_that_nobody_takes_is_tried_again_and_then_given_up(desk, settings):
    nobody_listens(settings)
    notify(desk, "maya")
    tries = 0
    while deliver_due():
        tries += 1
        assert Notice.objects.get(channel="mail").attempts == tries
        pass_time(timedelta(minutes=2))

    notice = Notice.objects.get(channel="mail")
    assert (tries, notice.state) == (MOST_ATTEMPTS, NoticeState.FAILED)
    assert "refused" in notice.message
    assert Entry.objects.filter(verb="integrations.notice.failed").count() == 1


def test_a_mail_server_that_comes_back_gets_the_mail(desk, settings):
    backend = settings.EMAIL_BACKEND
    nobody_listens(settings)
    notify(desk, "maya")
    deliver_due()
    assert Notice.objects.get(channel="mail").state == NoticeState.RETRYING

    settings.EMAIL_BACKEND = backend
    pass_time(timedelta(minutes=2))
    deliver_due()

    assert Notice.objects.get(channel="mail").state == NoticeState.DELIVERED


@pytest.mark.parametrize(
    "address", ["maya@desk.example\nBcc: all@desk.example", "no address", "a@b@c", "ä" * 70 + "@x"]
)
def test_an_address_no_mail_can_have_holds_up_nobody_else(desk, address):
    User.objects.filter(username="ada").update(email=address)
    desk[1].ada.refresh_from_db()
    notify(desk, "ada", "maya")
    Notice.objects.filter(recipient=desk[1].ada, channel="mail").update(due_at=timezone.now() - timedelta(minutes=1))

    for _ in range(MOST_ATTEMPTS):
        deliver_due()
        pass_time(timedelta(minutes=2))

    reached = [message for message in mail.outbox if message.to == ["maya@desk.example"]]
    assert len(reached) == 1
    assert not any("all@desk.example" in str(message.recipients()) for message in mail.outbox if message in reached)
    states = set(Notice.objects.filter(channel="mail").values_list("recipient__username", "state"))
    assert ("maya", NoticeState.DELIVERED) in states
    assert not Notice.objects.waiting().exists()


@pytest.mark.django_db(transaction=True)
def test_two_postmen_deliver_each_mail_once(transactional_db):
    organization, cast = make_desk()
    for number in range(20):
        tell([cast.maya], case=make_case(organization), topic=f"leaving:{number}", subject="x", body="x", path="/")

    def deliver_all() -> int:
        tried = 0
        while found := deliver_due(limit=3):
            tried += found
        return tried

    shares = at_once(*[deliver_all] * 3)

    assert sum(shares) == 20
    assert len(mail.outbox) == 20
    assert set(Notice.objects.values_list("state", flat=True)) == {NoticeState.DELIVERED}
