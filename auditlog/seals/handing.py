"""Handing heads outside, on a schedule, to every outlet that is configured. Each try is written down."""

import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import structlog
from django.conf import settings
from django.core.mail import EmailMessage

from auditlog.models import Handing, Seal
from auditlog.seals.heads import line_about
from opsdesk.lib import clock

log = structlog.get_logger(__name__)
# From a target and a line about a seal; raises OSError or ValueError when it is not taken.
Outlet = Callable[[str, str], None]
_outlets: dict[str, Outlet] = {}


def add_outlet(name: str, hand: Outlet) -> None:
    """Register a way to hand a head to somebody; its target stands in the setting HEADS under its name."""
    if _outlets.setdefault(name, hand) is not hand:
        raise ValueError(f"The outlet {name} is registered twice.")


def configured() -> dict[str, str]:
    """The outlets in use with their targets."""
    return {name: target for name, target in settings.HEADS.items() if target}


def hand_out(*, at_once: bool = False) -> list[Handing]:
    """Hand the newest head to each outlet that has not had it for the agreed time; returns the tries."""
    newest = Seal.objects.defer("leaves").first()
    return [] if newest is None else list(_hand(newest, at_once=at_once))


def last_taken(outlet: str) -> Handing | None:
    """The last head that an outlet took."""
    return Handing.objects.filter(outlet=outlet, trouble="").order_by("-pk").first()


def _hand(seal: Seal, *, at_once: bool) -> Iterator[Handing]:
    long_ago = clock.of_database() - timedelta(minutes=settings.HEADS_MINUTES)
    for name, target in configured().items():
        taken = last_taken(name)
        if not at_once and taken is not None and (taken.seal_number >= seal.number or taken.at > long_ago):
            continue
        trouble = ""
        try:
            _outlets[name](target, line_about(seal))
        except (OSError, ValueError) as refusal:
            trouble = " ".join(str(refusal).split())[:300] or type(refusal).__name__
            log.warning("head_not_taken", outlet=name, target=target, error=trouble)
        yield Handing.objects.create(
            seal_number=seal.number, head=seal.head, outlet=name, target=_shown(target), trouble=trouble
        )


def _shown(target: str) -> str:
    """A target without what an address may carry besides: names, passwords, queries."""
    if "://" in target:
        parts = urlsplit(target)
        target = f"{parts.netloc.rpartition('@')[2]}{parts.path}"
    return target[:300]


def _into_file(target: str, line: str) -> None:
    """Append to a file: on another machine's disk, or where this one may only append."""
    file = Path(target)
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as log_of_heads:
        log_of_heads.write(f"{line}\n")
        log_of_heads.flush()
        os.fsync(log_of_heads.fileno())


def _by_mail(target: str, line: str) -> None:
    """Mail it to somebody who keeps it. Raises OSError when the mail server does not take it."""
    text = (
        "This is the newest head of the desk's audit log. Keep this mail: with it anybody can tell whether the log "
        f"was changed afterwards (manage.py audit verify --heads FILE, with the next line in the file).\n\n{line}\n"
    )
    EmailMessage(subject=f"Audit log of {settings.BASE_URL}", body=text, to=target.split(",")).send()


add_outlet("file", _into_file)
add_outlet("mail", _by_mail)
