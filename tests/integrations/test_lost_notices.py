"""A notice that reaches nobody is said: to managers, on the stalled board, and to whom it was for."""

from datetime import timedelta

import pytest
from django.core import mail
from django.urls import reverse

from auditlog.models import Entry
from integrations.chat import keeping
from integrations.models import Notice
from integrations.notices import MOST_ATTEMPTS, deliver_due, lost, tell
from integrations.states import NoticeState
from opsdesk.lib import clock
from opsdesk.lib.errors import IllegalMove
from opsdesk.screens import stalls
from tests.factories import Cast, make_case, make_desk
from tests.plugins.chatroom import Chatroom
from tests.plugins.line import pass_time
from workflows.models import Case
from workflows.waits import Look

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk(settings) -> tuple[Case, Cast]:
    organization, cast = make_desk()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9
    return make_case(organization), cast


def told(desk: tuple[Case, Cast], topic: str = "mention:1") -> None:
    tell([desk[1].ada], case=desk[0], topic=topic, subject="Ben mentions you", body="Why.", path="/cases/7/")


def give_up() -> None:
    for _ in range(MOST_ATTEMPTS):
        while deliver_due():
            pass
        pass_time(timedelta(minutes=2))


def board(cast: Cast, who: str = "maya"):
    groups = stalls.groups(Look(getattr(cast, who).memberships.get(), clock.now()))
    return [row.waiting for group in groups if group.kind.key == "notices" for row in group.rows]


def test_managers_are_told_once_a_day_and_the_board_lists_each(desk):
    told(desk, "mention:1")
    told(desk, "mention:2")

    give_up()

    [told_to_maya] = Notice.objects.filter(topic__startswith="undelivered:")
    assert (told_to_maya.recipient, told_to_maya.channel) == (desk[1].maya, "app")
    assert told_to_maya.subject == "Notices do not reach Ada Okafor"
    first, second = board(desk[1])
    assert (first.title, first.owner, second.detail) == ("To Ada Okafor", desk[1].ada, "Ben mentions you")
    assert "The mail server did not take it" in first.reason
    assert [thing.help.label for thing in board(desk[1], "ada")] == ["Open what it is about"] * 2


def test_what_arrived_another_way_or_was_read_in_the_app_is_not_lost(desk, room: Chatroom):
    keeping.add_own(desk[1].ada.memberships.get(), name="Chat", address=room.address)
    told(desk, "mention:1")
    keeping.remove(desk[1].ada.chat_channels.get().pk, by=desk[1].ada.memberships.get())
    keeping.add_own(desk[1].ada.memberships.get(), name="Chat", address=room.address)
    told(desk, "mention:2")

    give_up()

    assert set(lost.nowhere().values_list("topic", flat=True)) == {"mention:1"}
    Notice.objects.filter(topic="mention:1", channel="app").update(read_at=clock.now())
    assert board(desk[1]) == []


def test_the_button_sends_it_again(desk, settings, sign_in):
    told(desk)
    give_up()
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    [thing] = board(desk[1])

    answer = sign_in(desk[1].maya).post(thing.help.url)
    deliver_due()

    notice = Notice.objects.get(channel="mail", topic="mention:1")
    assert (answer.status_code, answer["Location"]) == (302, reverse("stalled"))
    assert (notice.state, [message.to for message in mail.outbox]) == (NoticeState.DELIVERED, [["ada@desk.example"]])
    assert Entry.objects.filter(verb="integrations.notice.sent_again", case_id=desk[0].pk).exists()
    assert board(desk[1]) == []
    with pytest.raises(IllegalMove):
        lost.send_again(notice.pk, by=desk[1].maya.memberships.get())


def test_its_reader_sees_that_it_did_not_come(desk, sign_in):
    told(desk)
    give_up()

    page = sign_in(desk[1].ada).get(reverse("integrations:notices")).content.decode()

    assert "Some notices on this page did not reach you outside the desk." in page
    assert "Given up" in page and "The mail server did not take it" in page
