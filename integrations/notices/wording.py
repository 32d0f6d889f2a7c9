"""What a notice says outside the app: text and nothing else, whatever somebody put into it."""

import re
from collections.abc import Sequence

from django.conf import settings

from integrations.models import Notice
from opsdesk.lib.wording import visible

LONGEST_BODY = 4_000  # characters of one notice
MOST_IN_ONE = 50
_ADDRESS = re.compile(r"(?i)(?:[a-z][a-z0-9+.-]{0,20}:)?//|\bwww\.|\b(?:javascript|data|vbscript|mailto|tel):")
# What chat services read as markup, mentions or links, as signs that look alike and mean nothing.
_FLAT = str.maketrans({"<": "‹", ">": "›", "@": "＠", "[": "(", "]": ")", "`": "'", "*": "∗", "_": "‗", "|": "¦"})  # noqa: RUF001


def said(text: str) -> str:
    """Text of others for a mail: line by line, unseen characters spelled out, and no address that could be followed.

    The only link in a message is the desk's own.
    """
    lines = [visible(line, at_most=LONGEST_BODY) for line in text[:LONGEST_BODY].splitlines()]
    return "\n".join(_ADDRESS.sub(_spelled, line) for line in lines)


def _spelled(found: re.Match[str]) -> str:
    """What no program takes for an address any more, and everybody can still read."""
    return found[0].replace(":", "[:]").replace("//", "/ /").replace("www.", "www[.]")


def one_line(text: str) -> str:
    """For a subject: one line, text only."""
    return " ".join(said(text).split())


def link_of(notice: Notice) -> str:
    """The page of the desk that a notice leads to."""
    return f"{settings.BASE_URL}{notice.path}"


def mail_of(notices: Sequence[Notice]) -> tuple[str, str]:
    """Subject and text of a mail: of one notice, or of several together."""
    if len(notices) == 1:
        [notice] = notices
        return one_line(notice.subject), f"{said(notice.body)}\n\nOpen it: {link_of(notice)}\n"
    parts = [f"{one_line(notice.subject)}\n{link_of(notice)}" for notice in notices]
    return f"{len(notices)} notices of the desk", "\n\n".join(parts) + "\n"


def chat_of(notices: Sequence[Notice]) -> tuple[str, str]:
    """Title and text of a chat message, without anything that a chat service would read as more than text."""
    if len(notices) == 1:
        [notice] = notices
        return flat(one_line(notice.subject)), f"{flat(said(notice.body))}\n{link_of(notice)}"
    parts = [f"{flat(one_line(notice.subject))}\n{link_of(notice)}" for notice in notices]
    return f"{len(notices)} notices of the desk", "\n\n".join(parts)


def flat(text: str) -> str:
    """Text in which no chat service finds markup, a mention or a link."""
    return text.translate(_FLAT)
