"""Messages to people: written with the change they tell of, delivered afterwards, the delivery recorded."""

from datetime import timedelta

import structlog
from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from accounts.models import User
from auditlog.services import Actor, record
from integrations.models import Notice
from integrations.states import NoticeState
from opsdesk.lib import clock, queue
from opsdesk.lib.crashing import crashpoint
from workflows.engine.failing import pause_before
from workflows.models import Case
from workflows.recovery import mode

log = structlog.get_logger(__name__)
MOST_ATTEMPTS = 5
# Longer than a few mails take at a server that lets each run into its time-out.
_LEASE = timedelta(seconds=60)
_AT_ONCE = 5


def tell(recipients: list[User], *, case: Case, topic: str, subject: str, body: str, path: str) -> None:
    """Tell people in the app and by mail, once a topic; called inside the transaction of the change."""
    rows = []
    for user in recipients:
        common = {
            "organization_id": case.organization_id,
            "recipient": user,
            "subject": subject[:160],
            "body": body,
            "path": path,
            "case": case,
            "topic": topic,
        }
        rows.append(
            Notice(
                channel=Notice.Channel.APP,
                state=NoticeState.DELIVERED,
                due_at=None,
                delivered_at=clock.now(),
                **common,
            )
        )
        if user.email:
            rows.append(Notice(channel=Notice.Channel.MAIL, **common))
    Notice.objects.bulk_create(rows, ignore_conflicts=True)
    queue.ring("integrations.deliver_notices")


def deliver_due(limit: int = _AT_ONCE) -> int:
    """Send the mails whose time has come; returns how many were tried."""
    with transaction.atomic():
        due = list(
            Notice.objects.filter(state=NoticeState.DUE, due_at__lte=Now())
            .exclude(organization_id__in=mode.held())
            .order_by("due_at")
            .select_for_update(skip_locked=True, of=("self",))
            .select_related("recipient")[:limit]
        )
        Notice.objects.filter(pk__in=[notice.pk for notice in due]).update(
            due_at=Now() + _LEASE, attempts=F("attempts") + 1
        )
    if due:
        crashpoint("notice.claimed")
    for notice in due:
        notice.attempts += 1
        try:
            _send(notice)
            crashpoint("notice.sent")
        except (OSError, ValueError) as error:  # ValueError: an address or a header that no mail can have
            _not_delivered(notice, str(error))
        else:
            _delivered(notice)
            crashpoint("notice.after_commit")
    return len(due)


def _send(notice: Notice) -> None:
    """Hand a mail to the mail server. Raises OSError (SMTP refusals are OSErrors) when it does not take it."""
    link = f"{settings.BASE_URL}{notice.path}"
    EmailMessage(
        subject=" ".join(notice.subject.split()),
        body=f"{notice.body}\n\nOpen it: {link}\n",
        to=[notice.recipient.email],
    ).send()


@transaction.atomic
def _delivered(notice: Notice) -> None:
    fresh = Notice.objects.select_for_update(of=("self",)).get(pk=notice.pk)
    if fresh.state != NoticeState.DUE:
        return
    # Objection windows begin here: a host whose clock is behind must not shorten them.
    fresh.move_to(NoticeState.DELIVERED, delivered_at=clock.of_database(), due_at=None)
    _tell(fresh, "delivered", "The mail server accepted the notice.")
    crashpoint("notice.before_commit")


@transaction.atomic
def _not_delivered(notice: Notice, error: str) -> None:
    fresh = Notice.objects.select_for_update(of=("self",)).get(pk=notice.pk)
    if fresh.state != NoticeState.DUE:
        return
    if fresh.attempts < MOST_ATTEMPTS:
        Notice.objects.filter(pk=fresh.pk).update(due_at=Now() + pause_before(fresh.attempts), message=error[:200])
        return
    fresh.move_to(NoticeState.FAILED, due_at=None, message=error[:200])
    _tell(fresh, "failed", f"The mail server did not take it: {error}")


def _tell(notice: Notice, verb: str, reason: str) -> None:
    record(
        f"integrations.notice.{verb}",
        actor=Actor.desk("postman"),
        organization_id=notice.organization_id,
        subject=("notice", notice.pk),
        case_id=notice.case_id,
        after={"recipient": str(notice.recipient), "topic": notice.topic},
        reason=reason[:500],
    )
