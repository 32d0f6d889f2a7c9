"""The postman: takes notices whose time has come, hands them over, and records what became of each."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from django.core.mail import EmailMessage
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now

from auditlog.services import Actor, record
from integrations.models import ChatChannel, Notice
from integrations.notices import lost, wording
from integrations.notices.holding_back import held_until
from integrations.states import NOTICE_WAITING, NoticeState
from opsdesk.lib import clock, queue
from opsdesk.lib.crashing import crashpoint
from workflows.engine.failing import pause_before
from workflows.recovery import mode

log = structlog.get_logger(__name__)
MOST_ATTEMPTS = 5
# Longer than a few messages take at a server that lets each run into its time-out.
_LEASE = timedelta(seconds=60)
# Nothing is begun that might not be over when the lease is: another worker would send it too.
_LAST_START_SECONDS = 40.0
_AT_ONCE = 5


@dataclass(frozen=True, slots=True)
class _Message:
    """What goes out as one: notices to the same place."""

    notices: Sequence[Notice]

    @property
    def first(self) -> Notice:
        return self.notices[0]


class _NotTaken(Exception):
    """The other side did not take a message: why, whether for good, and when to try again at the earliest."""

    def __init__(self, words: str, *, for_good: bool = False, retry_after: timedelta | None = None) -> None:
        super().__init__(words)
        self.words = words
        self.for_good = for_good
        self.retry_after = retry_after


def deliver_due(limit: int = _AT_ONCE) -> int:
    """Send messages whose time has come; returns how many notices were looked at."""
    started = time.monotonic()
    looked, messages = _claim(limit)
    if messages:
        crashpoint("notice.claimed")
    for message in messages:
        if time.monotonic() - started > _LAST_START_SECONDS:
            queue.ring("integrations.deliver_notices")
            break
        try:
            state = _send(message)
            crashpoint("notice.sent")
        except _NotTaken as refused:
            for notice in message.notices:
                _not_taken(notice, refused)
        else:
            for notice in message.notices:
                _taken(notice, state)
            crashpoint("notice.after_commit")
    return looked


@transaction.atomic
def _claim(limit: int) -> tuple[int, list[_Message]]:
    """Put a lease on what goes out now; what would be too many for its reader waits for a summary."""
    with connection.cursor() as cursor:
        # One at a time, and briefly: whoever counts what went out must see what others are about to send.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('integrations.notice.claim'))")
    waiting = (
        Notice.objects.waiting()
        .filter(due_at__lte=Now())
        .exclude(organization_id__in=mode.held())
        .order_by("due_at", "pk")
        .select_for_update(skip_locked=True, of=("self",))
        .select_related("recipient", "chat")
    )
    due = list(waiting[:limit])
    taken: set[int] = set()
    messages: list[_Message] = []
    for notice in due:
        if notice.pk in taken:
            continue
        until = None if notice.bundled or notice.attempts else held_until(notice)
        if until is not None:
            Notice.objects.filter(pk=notice.pk).update(due_at=until, bundled=True)
            continue
        together = [notice]
        if notice.bundled:
            together = list(
                waiting.filter(
                    bundled=True, recipient=notice.recipient_id, channel=notice.channel, chat=notice.chat_id,
                    organization=notice.organization_id,
                )[: wording.MOST_IN_ONE]
            ) or together  # fmt: skip
        taken |= {each.pk for each in together}
        messages.append(_Message(together))
        Notice.objects.filter(pk__in=[each.pk for each in together]).update(
            due_at=Now() + _LEASE, tried_at=Now(), attempts=F("attempts") + 1
        )
        for each in together:
            each.attempts += 1
    return len(due), messages


def _send(message: _Message) -> NoticeState:
    """Hand a message over; gives what is known of its arrival. Raises _NotTaken."""
    whose = message.first
    if whose.recipient_id is not None and not lost.may_be_told(whose.recipient_id, whose.organization_id):
        # It may have waited for a day; whoever left meanwhile is told nothing any more.
        raise _NotTaken("Whom it was for is no longer a member.", for_good=True)
    if message.first.chat is not None:
        return _post(message.first.chat, message)
    return _mail(message)


def _mail(message: _Message) -> NoticeState:
    subject, body = wording.mail_of(message.notices)
    recipient = message.first.recipient
    if recipient is None:
        raise _NotTaken("Nobody is named whom it could go to.", for_good=True)
    try:
        EmailMessage(subject=subject, body=body, to=[recipient.email]).send()
    except (OSError, ValueError) as error:  # ValueError: an address or a header that no mail can have
        raise _NotTaken(f"The mail server did not take it: {error}") from error
    return NoticeState.DELIVERED


def _post(channel: ChatChannel, message: _Message) -> NoticeState:
    # Only workers post: what it takes is not loaded anywhere else.
    from integrations.chat import posting

    if channel.removed_at is not None:
        raise _NotTaken("The channel was taken away.", for_good=True)
    title, text = wording.chat_of(message.notices)
    try:
        posted = posting.post(channel, title=title, text=text)
    except posting.NotPosted as refused:
        raise _NotTaken(refused.words, for_good=refused.for_good, retry_after=refused.retry_after) from refused
    return NoticeState.DELIVERED if posted.confirmed else NoticeState.SENT


@transaction.atomic
def _taken(notice: Notice, state: NoticeState) -> None:
    fresh = _locked(notice)
    if fresh is None:
        return
    if state == NoticeState.DELIVERED:
        # Objection windows begin here: a host whose clock is behind must not shorten them.
        fresh.move_to(state, delivered_at=clock.of_database(), due_at=None, message="")
        who = "The mail server accepted the notice." if fresh.chat is None else f"{fresh.chat.shown} confirmed it."
        _tell(fresh, "delivered", who)
    else:
        fresh.move_to(state, due_at=None, message="")
        _tell(fresh, "sent", "It was taken; whether it arrived is not said.")
    crashpoint("notice.before_commit")


@transaction.atomic
def _not_taken(notice: Notice, refused: _NotTaken) -> None:
    fresh = _locked(notice)
    if fresh is None:
        return
    if fresh.attempts < MOST_ATTEMPTS and not refused.for_good:
        pause = max(pause_before(fresh.attempts), refused.retry_after or timedelta(0))
        fresh.move_to(NoticeState.RETRYING, due_at=_after(pause), message=refused.words[:200])
        return
    fresh.move_to(NoticeState.FAILED, due_at=None, message=refused.words[:200])
    _tell(fresh, "failed", refused.words)
    lost.tell_if_nowhere(fresh)


def _after(pause: timedelta) -> datetime:
    return clock.of_database() + pause


def _locked(notice: Notice) -> Notice | None:
    """The row as it is now, under its lock; None when another worker has taken it over since."""
    fresh = Notice.objects.select_for_update(of=("self",)).select_related("recipient", "chat").get(pk=notice.pk)
    still_ours = fresh.state in NOTICE_WAITING and fresh.attempts == notice.attempts
    return fresh if still_ours else None


def _tell(notice: Notice, verb: str, reason: str) -> None:
    record(
        f"integrations.notice.{verb}",
        actor=Actor.desk("postman"),
        organization_id=notice.organization_id,
        subject=("notice", notice.pk),
        case_id=notice.case_id,
        after={"recipient": notice.whom, "topic": notice.topic},
        reason=reason[:500],
    )
