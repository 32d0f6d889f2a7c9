"""Ending a recovery: only when every gateway has been read, by people who say why."""

from django.db import transaction

from accounts.models import User
from integrations.models import Connection, Reconciliation
from integrations.reconciliation.asking import can_reconcile
from integrations.states import ReconciliationState
from opsdesk.lib.errors import DomainError
from workflows.models import Recovery
from workflows.recovery import mode


class NotRead(DomainError):
    """There is nothing yet that could be read and signed."""


def unread(recovery: Recovery) -> list[str]:
    """Sentences about the gateways that have not been compared since the recovery began."""
    latest = {row.connection_id: row for row in Reconciliation.objects.filter(recovery=recovery).order_by("pk")}
    words = []
    for connection in Connection.objects.filter(organization_id=recovery.organization_id).order_by("name"):
        if not can_reconcile(connection):
            continue
        row = latest.get(connection.pk)
        if row is None or row.state in (ReconciliationState.DUE, ReconciliationState.RUNNING):
            words.append(f"{connection} is still being compared.")
        elif row.state == ReconciliationState.FAILED:
            words.append(
                f"{connection} could not be read: {row.message} Try it again, or switch the connection off if it is "
                "gone for good."
            )
    return words


@transaction.atomic
def sign(recovery_id: int, *, by: User, reason: str) -> Recovery:
    """Sign the reports of a recovery; the last signature lets the desk act again. Raises NotRead, and as `mode`."""
    recovery = Recovery.objects.get(pk=recovery_id)
    open_questions = unread(recovery)
    if open_questions and mode.current(recovery.organization_id) is not None:
        raise NotRead(" ".join(open_questions))
    return mode.sign(recovery_id, by=by, reason=reason)
