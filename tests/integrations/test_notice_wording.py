"""What others wrote is only text in mails and chat messages: nothing to follow, nothing that acts, nobody called."""

import re
from email import message_from_bytes, policy

import pytest
from django.core import mail
from django.core.mail import EmailMessage

from integrations.models import Notice
from integrations.notices import deliver_due, tell, wording
from tests.factories import make_case, make_desk
from tests.test_hostile import PAYLOADS, UNSEEN

MORE = {
    "markdown link": "[Approve](https://evil.example/) ![x](https://evil.example/x.png) <https://evil.example|Approve>",
    "mentions": "@everyone @here <!channel> <@U123> <!subteam^S1>",
    "headers": "x\r\nBcc: all@evil.example\r\nContent-Type: text/html\r\n\r\n<b>x</b>",
    "bare": "evil.example www.evil.example //evil.example HTTPS://EVIL.EXAMPLE mailto:a@evil.example",
    "data": "data:text/html,<script>1</script> vbscript:x java\tscript:x",
}
ADDRESS = re.compile(r"(?i)\b(?:https?|ftp)://\S+|\bwww\.\w|\b(?:javascript|vbscript|data|mailto):")


def notice(text: str, **fields: object) -> Notice:
    return Notice(subject=text[:160], body=text, path="/cases/7/", topic="mention:1", **fields)


@pytest.mark.parametrize("text", [*PAYLOADS.values(), *MORE.values()], ids=[*PAYLOADS, *MORE])
def test_it_is_inert_in_mails_and_messages(text: str):
    for notices in ([notice(text)], [notice(text), notice(text)]):
        subject, body = wording.mail_of(notices)
        raw = EmailMessage(subject, body, "desk@desk.example", ["ada@desk.example"]).message().as_bytes()
        read = message_from_bytes(raw, policy=policy.default)
        title, said = wording.chat_of(notices)

        assert (read.get_content_type(), read["bcc"], read["to"]) == ("text/plain", None, "ada@desk.example")
        links = {"http://127.0.0.1:8000/cases/7/"}
        assert set(ADDRESS.findall(read.get_content())) <= links
        assert set(ADDRESS.findall(f"{subject}\n{title}\n{said}")) <= links
        assert not UNSEEN.search(f"{subject}{body}{title}{said}".replace("\n", ""))
        assert not re.search(r"[<>@\[\]`*|]", title + said)
        assert len(said) < 10_000


def test_it_can_still_be_read():
    assert wording.said("Ask Ada, see https://shop.example/7.\nThe blue one: £5") == (
        "Ask Ada, see https[:]/ /shop.example/7.\nThe blue one: £5"
    )


@pytest.mark.django_db
def test_the_mail_that_leaves_is_made_of_it():
    organization, cast = make_desk()
    text = MORE["headers"]
    tell([cast.ada], case=make_case(organization), topic="mention:1", subject=text, body=text, path="/cases/7/")

    deliver_due()

    [message] = mail.outbox
    assert message.recipients() == ["ada@desk.example"]
    assert "\n" not in message.subject
    assert message.alternatives == [] if hasattr(message, "alternatives") else True
