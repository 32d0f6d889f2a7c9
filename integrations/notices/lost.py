"""Notices that reached nobody: said on the screen of whom they were for, on the stalled board, and to managers."""

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.urls import reverse

from accounts.models import Membership, User
from accounts.roles import Role
from auditlog.services import Actor, record
from integrations.models import Notice
from integrations.notices.kinds import TEST, UNDELIVERED, kind_of
from integrations.notices.telling import tell_of_undelivered
from integrations.states import NoticeState
from opsdesk.lib import clock, queue


def may_be_told(user_id: int, organization_id: int) -> bool:
    """Whether somebody belongs to the organization now."""
    return Membership.objects.active().filter(user=user_id, organization=organization_id).exists()


def nowhere() -> QuerySet[Notice]:
    """Given up, over every way there was, and not read in the app either: one row for each way. Who left misses none.

    A way that is still tried, or that arrived, counts for all of a topic.
    """
    same = Notice.objects.filter(topic=OuterRef("topic"), organization=OuterRef("organization"))
    others = same.filter(Q(recipient=OuterRef("recipient")) | Q(recipient=None, chat=OuterRef("chat")))
    known = others.filter(Q(read_at__isnull=False) | (~Q(channel="app") & ~Q(state=NoticeState.FAILED)))
    rows = Notice.objects.filter(state=NoticeState.FAILED).exclude(topic__startswith=f"{TEST}:")
    members = Membership.objects.active().filter(user=OuterRef("recipient"), organization=OuterRef("organization"))
    return rows.filter(Q(recipient=None) | Exists(members), ~Exists(known))


def tell_if_nowhere(notice: Notice) -> None:
    """Tell managers, once a day for each person or channel, when a notice has no way left; inside its transaction."""
    if kind_of(notice.topic) in (TEST, UNDELIVERED) or not nowhere().filter(pk=notice.pk).exists():
        return
    managers = Membership.objects.active().filter(organization_id=notice.organization_id, role=Role.MANAGER)
    people: list[User] = [
        member.user
        for member in managers.select_related("user").order_by("pk")
        if member.user_id != notice.recipient_id
    ]
    whom = f"person-{notice.recipient_id}" if notice.recipient_id else f"channel-{notice.chat_id}"
    tell_of_undelivered(
        people,
        common={
            "organization_id": notice.organization_id,
            "subject": f"Notices do not reach {notice.whom}"[:160],
            "body": f"{notice.subject}\n{notice.message}",
            "path": f"{reverse('stalled')}?kind=notices",
            "case_id": notice.case_id,
            "topic": f"{whom}:{clock.now():%Y-%m-%d}",
        },
    )


def send_again(notice_id: int, *, by: Membership) -> Notice:
    """Queue a notice that was given up once more. Raises Notice.DoesNotExist, or IllegalMove when it is not."""
    notice = Notice.objects.visible_to(by).select_for_update(of=("self",)).get(pk=notice_id)
    notice.move_to(NoticeState.DUE, due_at=clock.of_database(), attempts=0, message="")
    record(
        "integrations.notice.sent_again",
        actor=Actor.person(by.user),
        organization_id=notice.organization_id,
        subject=("notice", notice.pk),
        case_id=notice.case_id,
        after={"recipient": notice.whom, "topic": notice.topic},
        reason=f"{by.user} has it sent again.",
    )
    queue.ring("integrations.deliver_notices")
    return notice
