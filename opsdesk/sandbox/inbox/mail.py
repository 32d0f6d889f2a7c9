"""Reading a mail as a person would: who, what, the text, the links. Broken mails as far as they go."""

from __future__ import annotations

import re
from dataclasses import dataclass
from email import message_from_bytes
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message
from html.parser import HTMLParser

LINK = re.compile(r"https?://[^\s<>\"']+")
# What ends a sentence rather than an address.
TRAILING = ".,;:!?)]}"


@dataclass(frozen=True, slots=True)
class Mail:
    """What the list and the page of one mail show."""

    subject: str
    sender: str
    recipients: str
    text: str


def read(raw: bytes) -> Mail:
    """Take a mail apart."""
    message = message_from_bytes(raw)
    return Mail(
        subject=_header(message, "Subject"),
        sender=_header(message, "From"),
        recipients=", ".join(filter(None, (_header(message, name) for name in ("To", "Cc")))),
        text=_text(message),
    )


def links(text: str) -> list[str]:
    """The web addresses in a text, in their order."""
    return [found.rstrip(TRAILING) for found in LINK.findall(text)]


def _header(message: Message, name: str) -> str:
    value = message.get(name, "")
    try:
        text = str(make_header(decode_header(value)))
    except (HeaderParseError, LookupError, ValueError):
        text = str(value)
    return " ".join(text.split())


def _text(message: Message) -> str:
    """The plain part; without one, the HTML part without its markup."""
    parts = [part for part in message.walk() if not part.is_multipart() and not part.get_filename()]
    for wanted in ("text/plain", "text/html"):
        for part in parts:
            if part.get_content_type() == wanted:
                text = _decoded(part)
                return text if wanted == "text/plain" else _without_markup(text)
    return ""


def _decoded(part: Message) -> str:
    payload = part.get_payload(decode=True)
    raw = payload if isinstance(payload, bytes) else b""
    try:
        text = raw.decode(part.get_content_charset("utf-8"), "replace")
    except LookupError:
        text = raw.decode("utf-8", "replace")
    return text.replace("\r\n", "\n").replace("\x00", "\ufffd").rstrip()


def _without_markup(markup: str) -> str:
    reader = _Reader()
    reader.feed(markup)
    reader.close()
    lines = (" ".join(line.split()) for line in "".join(reader.pieces).split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


class _Reader(HTMLParser):
    """Collects the words of an HTML mail, and the address behind each link."""

    BREAKS = frozenset({"p", "br", "div", "tr", "li", "h1", "h2", "h3", "table"})
    SILENT = frozenset({"script", "style", "head", "title"})

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self._silent = 0
        self._target = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in self.BREAKS:
            self.pieces.append("\n")
        if tag in self.SILENT:
            self._silent += 1
        if tag == "a":
            self._target = dict(attrs).get("href") or ""

    def handle_endtag(self, tag: str) -> None:
        if tag in self.SILENT:
            self._silent = max(0, self._silent - 1)
        if tag == "a" and self._target:
            self.pieces.append(f" {self._target} ")
            self._target = ""

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.pieces.append(data)
