"""Pausing and resuming what a connection sends. Reading goes on, so that the desk still sees the world."""

from django.db import transaction

from accounts.models import User
from auditlog.services import Actor, record
from integrations.models import Connection
from opsdesk.lib import queue
from opsdesk.lib.errors import DomainError

LONGEST_REASON = 200


class NothingToSwitch(DomainError):
    """Somebody else was first."""


class ReasonMissing(DomainError):
    """The audit log keeps why."""

    message = "Say why in a few words."


@transaction.atomic
def pause(connection_id: int, *, by: User, reason: str) -> Connection:
    """Stop sending through a connection: actions wait with their key and their reservation. Raises NothingToSwitch."""
    return _switch(connection_id, on=False, by=by, reason=reason)


@transaction.atomic
def resume(connection_id: int, *, by: User, reason: str) -> Connection:
    """Send again, what waited first. Raises NothingToSwitch."""
    connection = _switch(connection_id, on=True, by=by, reason=reason)
    queue.ring("integrations.send_due")
    return connection


def _switch(connection_id: int, *, on: bool, by: User, reason: str) -> Connection:
    reason = reason.strip()[:LONGEST_REASON]
    if not reason:
        raise ReasonMissing
    connection = Connection.objects.select_for_update(of=("self",)).get(pk=connection_id)
    if connection.acting_enabled == on:
        raise NothingToSwitch(f"{connection} is {'sending already' if on else 'paused already'}.")
    before = {"sending": connection.acting_enabled, "paused_reason": connection.paused_reason}
    connection.acting_enabled = on
    connection.paused_reason = "" if on else reason
    connection.save(update_fields=["acting_enabled", "paused_reason"])
    record(
        f"integrations.connection.{'resumed' if on else 'paused'}",
        actor=Actor.person(by),
        organization_id=connection.organization_id,
        subject=("connection", connection.pk),
        before=before,
        after={"sending": on, "paused_reason": connection.paused_reason},
        reason=reason,
    )
    return connection
