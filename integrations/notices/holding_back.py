"""Too many messages at once: what goes beyond a person's measure waits, and becomes one summary."""

from datetime import datetime, timedelta

from django.db.models.functions import Now

from integrations.models import Notice, NoticePolicy, NoticeSettings
from integrations.models.chat import PRESSING_BY_DEFAULT
from integrations.notices.kinds import TEST, kind_of


def held_until(notice: Notice) -> datetime | None:
    """Until when a single message waits because so many went the same way lately; None when it may go.

    The caller is the only one who takes notices to send meanwhile.
    """
    kind = kind_of(notice.topic)
    if kind == TEST:
        return None
    settings = NoticeSettings()
    if notice.recipient_id is not None:
        own = NoticeSettings.objects.filter(organization=notice.organization_id, user=notice.recipient_id)
        settings = own.first() or settings
    length = timedelta(minutes=settings.within_minutes)
    lately = Notice.objects.filter(
        recipient=notice.recipient_id,
        channel=notice.channel,
        chat=notice.chat_id,
        organization=notice.organization_id,
        bundled=False,
        tried_at__gt=Now() - length,
    )
    newest = [row.tried_at for row in lately.order_by("-tried_at").only("tried_at")[: settings.most]]
    oldest = newest[-1] if len(newest) == settings.most else None
    if oldest is None or kind in _pressing(notice.organization_id):
        return None
    return oldest + length


def _pressing(organization_id: int) -> list[str]:
    policy = NoticePolicy.objects.filter(organization=organization_id).first()
    return list(policy.pressing if policy is not None else PRESSING_BY_DEFAULT)
