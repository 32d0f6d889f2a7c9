"""The inbox: whatever comes by SMTP can be read in the browser and as JSON."""

import http.client
import smtplib
import sqlite3
from email.message import EmailMessage

import pytest

from tests.plugins.sandbox import Inbox


def send(inbox: Inbox, message: EmailMessage | bytes, to: str = "maya@wholesale.example") -> None:
    with smtplib.SMTP("127.0.0.1", inbox.smtp_port, timeout=10) as post:
        raw = message if isinstance(message, bytes) else message.as_bytes()
        post.sendmail("desk@wholesale.example", [to], raw)


def notice(
    subject: str = "Refund of £141.48 leaves at 14:30", text: str = "Object at http://x.example/1."
) -> EmailMessage:
    message = EmailMessage()
    message["Subject"] = subject
    message["From"] = "Refund desk <desk@wholesale.example>"
    message["To"] = "Maya Nowak <maya@wholesale.example>"
    message.set_content(text)
    return message


def page(inbox: Inbox, path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", inbox.port, timeout=10)
    connection.request(method, path, headers=headers)
    reply = connection.getresponse()
    return reply.status, reply.read().decode()


def test_a_mail_is_there_as_soon_as_it_was_accepted(inbox: Inbox) -> None:
    send(inbox, notice())

    [mail] = inbox.messages()

    assert mail["subject"] == "Refund of £141.48 leaves at 14:30"
    assert mail["from"] == "Refund desk <desk@wholesale.example>"
    assert mail["to"] == "Maya Nowak <maya@wholesale.example>"
    assert mail["rcpt_to"] == ["maya@wholesale.example"]
    assert mail["text"] == "Object at http://x.example/1."
    assert mail["links"] == ["http://x.example/1"]


def test_mails_are_listed_newest_first_and_by_recipient(inbox: Inbox) -> None:
    send(inbox, notice("first"))
    send(inbox, notice("second"), to="ada@wholesale.example")

    assert [mail["subject"] for mail in inbox.messages()] == ["second", "first"]
    assert [mail["subject"] for mail in inbox.messages("ADA@")] == ["second"]
    assert [mail["subject"] for mail in inbox.wait_for(1, to="maya")] == ["first"]


def test_the_inbox_can_be_emptied(inbox: Inbox) -> None:
    send(inbox, notice())

    inbox.empty()

    assert inbox.messages() == []
    assert "No mail yet." in page(inbox, "/")[1]


def test_a_mail_can_be_read_and_its_links_followed(inbox: Inbox) -> None:
    text = 'See (https://desk.example/cases/7/?a=1&b="2") or javascript:alert(1).\n<b>bold</b>'
    send(inbox, notice("<script>alert(1)</script>", text))
    number = inbox.messages()[0]["id"]

    assert f'<a href="/messages/{number}">&lt;script&gt;alert(1)&lt;/script&gt;</a>' in page(inbox, "/")[1]
    shown = page(inbox, f"/messages/{number}")[1]
    assert '<a href="https://desk.example/cases/7/?a=1&amp;b=" rel="noopener noreferrer">' in shown
    assert "<script" not in shown
    assert "&lt;b&gt;bold" in shown
    assert 'href="javascript' not in shown


def test_the_plain_part_is_shown_and_html_only_as_its_words(inbox: Inbox) -> None:
    both = notice("both", "plain words")
    both.add_alternative("<p>marked words</p>", subtype="html")
    only = notice("only")
    only.set_content(
        '<style>p {}</style><h1>Refund</h1><p>of <b>10</b>: <a href="https://x.example/2">object</a></p>',
        subtype="html",
    )
    send(inbox, both)
    send(inbox, only)

    second, first = inbox.messages()

    assert first["text"] == "plain words"
    assert second["text"].splitlines() == ["Refund", "of 10: object https://x.example/2"]
    assert second["links"] == ["https://x.example/2"]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\r\n",
        b"no header at all",
        b"Subject: =?utf-8?b?!!!?=\r\n\r\nx",
        b"Subject: =?no-such-charset?q?abc?=\r\n\r\nx",
        b"Subject: \xff\xfe raw bytes\r\n\r\n\xff\xfe\x00",
        b"Content-Type: text/plain; charset=no-such\r\n\r\n\xc3\xa9",
        b"Content-Type: multipart/mixed\r\n\r\nno boundary",
        b"Content-Transfer-Encoding: base64\r\n\r\n!!!!",
        b"Content-Type: text/html\r\n\r\n<![CDATA[ <! <a href",
        b"From: " + b"x" * 900 + b"\r\nTo: \r\n\r\n",
    ],
)
def test_broken_mails_are_kept_and_shown_as_far_as_they_go(inbox: Inbox, raw: bytes) -> None:
    send(inbox, raw)

    [mail] = inbox.messages()

    assert page(inbox, f"/messages/{mail['id']}")[0] == 200
    assert page(inbox, "/")[0] == 200


def test_a_mail_that_was_accepted_survives_a_kill(start_inbox) -> None:
    inbox = start_inbox()
    send(inbox, notice())

    inbox.kill()
    inbox.start()

    assert len(inbox.messages()) == 1


def test_a_mail_that_cannot_be_stored_is_not_accepted(start_inbox) -> None:
    inbox = start_inbox()
    with sqlite3.connect(inbox.storage / "inbox.sqlite3") as db:
        db.execute("DROP TABLE messages")

    with pytest.raises(smtplib.SMTPDataError, match="451"):
        send(inbox, notice())


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/messages/999", 404),
        ("GET", "/messages/999/raw", 404),
        ("GET", "/messages/x", 404),
        ("GET", "/nowhere", 404),
        ("GET", "/api/messages/999", 404),
        ("GET", "/api/messages/1/2", 404),
        ("GET", "/api/messages?after=x", 400),
        ("GET", "/?before=x", 400),
        ("POST", "/api/messages", 405),
        ("DELETE", "/", 404),
    ],
)
def test_addresses_that_show_nothing(inbox: Inbox, method: str, path: str, status: int) -> None:
    assert page(inbox, path, method)[0] == status


def test_another_sites_page_cannot_empty_it(inbox: Inbox) -> None:
    send(inbox, notice())

    assert page(inbox, "/api/messages", "DELETE", Origin="https://evil.example")[0] == 403
    assert len(inbox.messages()) == 1
