"""Programs that open every link of every mail and message, and run what the pages bring, change nothing."""

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from playwright.sync_api import Browser

from accounts.models import User
from approvals import asking, commenting, opening
from integrations.chat import keeping
from integrations.models import Notice
from integrations.notices import deliver_due
from integrations.states import NoticeState
from tests.factories import make_case, make_desk, make_review
from tests.plugins.chatroom import Chatroom
from tests.plugins.sandbox import Inbox
from tests.test_pages import digest
from workflows.states import Tier

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
SAFE = ("get", "head", "options")


@pytest.fixture
def mailed(live_server: Any, inbox: Inbox, room: Chatroom, settings: Any) -> tuple[User, set[str]]:
    """Somebody who was told of everything by mail and chat, and all links in what really arrived."""
    settings.BASE_URL = live_server.url
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", inbox.smtp_port
    organization, cast = make_desk()
    keeping.add_own(cast.ada.memberships.get(), name="Chat", address=room.address)
    case = make_case(organization, amount="80.00")
    opening.tell_of_departure(make_review(case, tier=Tier.FAST_TRACK), case)
    commenting.comment(case.pk, by=cast.ben, text="@ada look, <a href='https://evil.example/'>Approve</a>")
    asked = make_review(make_case(organization), assignee=cast.ben)
    question, _ = asking.ask(asked.pk, by=cast.ben, text="Which parcel?")
    asking.answer_by_person(question.pk, by=cast.maya, text="The blue one.")
    waits = make_review(make_case(organization), assignee=cast.ben)
    _, token = asking.ask(waits.pk, by=cast.ben, text="Which parcel?")
    while deliver_due():
        pass
    assert not Notice.objects.exclude(state=NoticeState.DELIVERED).exists()
    links = {link for message in inbox.wait_for(5) for link in message["links"]}
    links |= set(re.findall(r"https?://\S+", "\n".join(text for _, text in room.messages)))
    # The one link that opens without signing in: whoever has it may answer, by a button.
    links.add(f"{live_server.url}{reverse('approvals:answer_link', args=[token])}")
    return cast.ada, links


def test_opening_every_link_of_every_mail_and_message_changes_nothing(mailed, browser: Browser, live_server: Any):
    ada, links = mailed
    assert len(links) >= 3
    assert all(link.startswith(f"{live_server.url}/") for link in links)
    signed_in = Client()
    signed_in.force_login(ada)
    before = digest()

    for link in links:
        path = link.removeprefix(live_server.url)
        for method in SAFE:
            assert getattr(Client(), method)(path).status_code in (200, 302, 405)
            assert getattr(signed_in, method)(path).status_code in (200, 405)
    for client in (None, signed_in):
        context = browser.new_context()
        if client is not None:
            session = client.cookies["sessionid"].value
            context.add_cookies([{"name": "sessionid", "value": session, "url": live_server.url}])
        page = context.new_page()
        for link in sorted(links):
            page.goto(link, wait_until="networkidle")
            # As a scanner that follows what it finds: every link of the page, fetched in its name.
            page.evaluate(
                "Promise.all([...document.querySelectorAll('a[href]')].map((a) => a.href)"
                ".filter((href) => href.startsWith(location.origin)).slice(0, 40)"
                ".map((href) => fetch(href, {redirect: 'manual'}).catch(() => null)))"
            )
        context.close()

    assert [table for table, mark in digest().items() if mark != before[table]] == []
