"""Maintenance windows: planned in the admin, ended early by staff. They hold work; nothing fails for them."""

from django.db import transaction
from django.db.models.functions import Now

from accounts.models import User
from auditlog.services import Actor, record
from integrations.models import MaintenanceWindow
from integrations.queueing import wake
from integrations.reasons import NothingToSwitch, checked


@transaction.atomic
def end_early(window_id: int, *, by: User, reason: str) -> MaintenanceWindow:
    """End a window now, or call off one that has not begun; what waited goes out. Raises NothingToSwitch."""
    words = checked(reason)
    rows = MaintenanceWindow.objects.select_related("connection").select_for_update(of=("self",))
    window = rows.get(pk=window_id)
    if not MaintenanceWindow.objects.to_come().filter(pk=window.pk).update(ended_at=Now()):
        raise NothingToSwitch(f"The maintenance of {window.connection} is over already.")
    record(
        "integrations.window.ended",
        actor=Actor.person(by),
        organization_id=window.connection.organization_id,
        subject=("window", window.pk),
        before={"ends_at": window.ends_at.isoformat()},
        after={"connection": window.connection.slug, "reason": window.reason},
        reason=words,
    )
    wake(window.connection)
    return window
