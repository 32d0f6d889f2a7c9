"""How a person chooses to be told: read and saved as one."""

from typing import Any

from django.db import transaction

from accounts.models import Membership, User
from accounts.snapshots import difference, snapshot
from auditlog.services import Actor, record
from integrations.models import NoticeSettings


def settings_of(member: Membership) -> NoticeSettings:
    """What the member chose, or what everybody has who chose nothing; unsaved then."""
    found = NoticeSettings.objects.filter(organization_id=member.organization_id, user_id=member.user_id).first()
    return found or NoticeSettings(organization_id=member.organization_id, user_id=member.user_id)


@transaction.atomic
def choose(member: Membership, **chosen: Any) -> NoticeSettings:
    """Save what a person chose, fields of NoticeSettings by their names; nothing when nothing is different."""
    User.objects.select_for_update().get(pk=member.user_id)
    row = settings_of(member)
    before = snapshot(row)
    for name, value in chosen.items():
        setattr(row, name, value)
    row.save()
    was, now = difference(before, snapshot(row))
    if was or now:
        record(
            "integrations.notice_settings.changed",
            actor=Actor.person(member.user),
            organization_id=member.organization_id,
            subject=("notice_settings", row.pk),
            before=was,
            after=now,
            reason="Chosen by the person.",
        )
    return row
