"""Handing a head of the audit log to an address outside, through the one door."""

from functools import partial
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

from django.conf import settings

from integrations.errors import CallFailed
from integrations.http import Door
from integrations.http.door import Proof
from integrations.models import Connection
from integrations.secrets import encrypt
from integrations.signatures import BadSignature, sign
from opsdesk.lib import clock


def by_webhook(target: str, line: str) -> None:
    """POST it, signed as in Standard Webhooks where OPSDESK_HEADS_SECRET is set. Raises ValueError when not taken."""
    parts = urlsplit(target)
    outside = Connection(
        name=parts.hostname or target,
        base_url=f"{parts.scheme}://{parts.netloc}",
        secret=encrypt(settings.HEADS_SECRET) if settings.HEADS_SECRET else "",
    )
    # Its record is the handing itself: the log of calls is of connections that people have made.
    door = Door(outside, [], proof=_signed)
    send = partial(door.send, "POST", parts.path or "/", operation="head", says_something=False)
    try:
        answer = send(document=line.encode(), query=parse_qsl(parts.query))
    except (CallFailed, BadSignature) as failed:
        raise ValueError(str(failed)) from failed
    if not answer.ok:
        raise ValueError(f"{outside.name} answered {answer.status}.")


def _sign(secret: str, headers: object, body: bytes) -> dict[str, str]:
    return sign(secret, message=f"head-{uuid4()}", at=clock.now(), body=body)


_signed: Proof = _sign
