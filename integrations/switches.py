"""The kill switches: of the organization, of a workflow, of a connection, and of one operation of it.

Each is read in the transaction that takes work for sending, so what is claimed a moment later obeys it. Reading goes
on, so that the desk still sees the world; only a connection that is disabled in the admin is not read either.
"""

from typing import Any

from django.db import IntegrityError, transaction

from accounts.models import Organization, User
from auditlog.services import Actor, record
from integrations.models import Connection, OperationSwitch
from integrations.queueing import ring, wake
from integrations.reasons import NothingToSwitch, checked
from workflows.models import Workflow


@transaction.atomic
def pause(connection_id: int, *, by: User, reason: str) -> Connection:
    """Stop sending through a connection: actions wait with their key and their reservation. Raises NothingToSwitch."""
    return _switch_connection(connection_id, on=False, by=by, reason=checked(reason))


@transaction.atomic
def resume(connection_id: int, *, by: User, reason: str) -> Connection:
    """Send again, what is most urgent first. Raises NothingToSwitch."""
    connection = _switch_connection(connection_id, on=True, by=by, reason=checked(reason))
    wake(connection)
    return connection


def _switch_connection(connection_id: int, *, on: bool, by: User, reason: str) -> Connection:
    connection = Connection.objects.select_for_update(of=("self",)).get(pk=connection_id)
    if connection.acting_enabled == on:
        raise NothingToSwitch(f"{connection} is {'sending already' if on else 'paused already'}.")
    before = {"sending": connection.acting_enabled, "paused_reason": connection.paused_reason}
    connection.acting_enabled = on
    connection.paused_reason = "" if on else reason
    connection.save(update_fields=["acting_enabled", "paused_reason"])
    after = {"sending": on, "paused_reason": connection.paused_reason}
    verb = f"integrations.connection.{'resumed' if on else 'paused'}"
    _tell(verb, connection, by=by, reason=reason, before=before, after=after)
    return connection


@transaction.atomic
def switch_operation(connection_id: int, operation: str, *, on: bool, by: User, reason: str) -> Connection:
    """Stop or go on sending one operation through a connection. Raises NothingToSwitch, ReasonMissing."""
    words = checked(reason)
    connection = Connection.objects.select_for_update(of=("self",)).get(pk=connection_id)
    switches = OperationSwitch.objects.filter(connection=connection, operation=operation)
    if on:
        if not switches.delete()[0]:
            raise NothingToSwitch(f"{connection}: {operation} is on already.")
        wake(connection, operation)
    else:
        _insert(OperationSwitch(connection=connection, operation=operation, reason=words, by=by))
    _tell(
        f"integrations.operation.switched_{'on' if on else 'off'}",
        connection,
        by=by,
        reason=words,
        before={"operation": operation, "sending": not on},
        after={"operation": operation, "sending": on},
    )
    return connection


def _insert(switch: OperationSwitch) -> None:
    try:
        with transaction.atomic():
            switch.save(force_insert=True)
    except IntegrityError as error:
        raise NothingToSwitch(f"{switch.connection}: {switch.operation} is off already.") from error


@transaction.atomic
def switch_workflow(workflow_id: int, *, on: bool, by: User, reason: str) -> Workflow:
    """Stop or go on with a workflow: its runs stand still, nothing of them is sent. Raises NothingToSwitch."""
    words = checked(reason)
    workflow = Workflow.objects.select_for_update(of=("self",)).get(pk=workflow_id)
    if workflow.enabled == on:
        raise NothingToSwitch(f"{workflow} is {'on' if on else 'off'} already.")
    Workflow.objects.filter(pk=workflow.pk).update(enabled=on)
    verb = f"workflows.workflow.switched_{'on' if on else 'off'}"
    _tell(verb, workflow, by=by, reason=words, before={"enabled": not on}, after={"enabled": on})
    ring()
    return workflow


@transaction.atomic
def switch_organization(organization_id: int, *, on: bool, by: User, reason: str) -> Organization:
    """Stop or go on with everything an organization does by itself. Raises NothingToSwitch."""
    words = checked(reason)
    organization = Organization.objects.select_for_update(of=("self",)).get(pk=organization_id)
    if organization.acting_enabled == on:
        raise NothingToSwitch(f"{organization} is {'on' if on else 'off'} already.")
    Organization.objects.filter(pk=organization.pk).update(acting_enabled=on)
    verb = f"accounts.organization.switched_{'on' if on else 'off'}"
    _tell(verb, organization, by=by, reason=words, before={"acting_enabled": not on}, after={"acting_enabled": on})
    ring()
    return organization


def _tell(verb: str, row: Connection | Workflow | Organization, *, by: User, reason: str, **states: Any) -> None:
    record(
        verb,
        actor=Actor.person(by),
        organization_id=row.pk if isinstance(row, Organization) else row.organization_id,
        subject=(row._meta.model_name or "", row.pk),
        reason=reason,
        **states,
    )
