"""Opening, correcting, withdrawing and closing cases. Whoever decides anything about a case first locks its row."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models.functions import Now
from django.utils.dateparse import parse_datetime

from accounts.models import User
from auditlog.services import Actor, record
from opsdesk.lib import queue
from opsdesk.lib.errors import DomainError
from opsdesk.lib.money import BadAmount, Money
from workflows import registry
from workflows.models import Case, Correction, Run, WorkflowVersion
from workflows.states import CASE_FINAL, RUN_ACTIVE, CaseState, RunState

# Fields of the request a person may correct, in the words of the form.
CORRECTABLE = ("reference", "amount", "currency", "order", "payment", "customer")


class NothingToCorrect(DomainError):
    """The correction changes nothing."""

    message = "Nothing was changed."


class NotCorrectable(DomainError):
    """The case is closed, or money may already be under way."""

    message = "This case can no longer be corrected."


def content_from(fields: Mapping[str, str], data: Mapping[str, Any], *, unnamed: str) -> dict[str, Any]:
    """Case columns from a request's data by a version's field map; what is wrong becomes sentences in `problems`.

    `unnamed` is the key of a request that brings no usable reference of its own.
    """
    problems: list[str] = []
    texts = {
        column: _text(data, fields.get(column, ""), limit, problems)
        for column, limit in (
            ("key", 100),
            ("target", 100),
            ("party", 100),
            ("reason", 60),
            ("requested_by", 120),
        )
    }
    if not texts["key"]:
        problems.append(f"The request has no {fields.get('key', 'reference')}: give it one.")
    amount = _amount(data.get(fields.get("amount", "")), data.get(fields.get("currency", "")), problems)
    return {
        **texts,
        "key": texts["key"] or unnamed,
        "amount_minor": amount.minor if amount else None,
        "currency": amount.currency if amount else "",
        "requested_at": _moment(data.get(fields.get("moment", "")), problems),
        "data": dict(data),
        "problems": problems,
    }


def _text(data: Mapping[str, Any], name: str, limit: int, problems: list[str]) -> str:
    value = data.get(name)
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        problems.append(f"{name} must be a text.")
        return ""
    if len(value) > limit:
        problems.append(f"{name} is longer than {limit} characters.")
    return value.strip()[:limit]


def _amount(text: object, currency: object, problems: list[str]) -> Money | None:
    try:
        amount = Money.parse(text, currency)
    except BadAmount as refusal:
        problems.append(str(refusal))
        return None
    if amount.minor <= 0:
        problems.append(f"{amount} cannot be refunded: the amount must be above zero.")
        return None
    return amount


def _moment(value: object, problems: list[str]) -> datetime | None:
    if value is None:
        return None
    try:
        moment = parse_datetime(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        problems.append(f"“{str(value)[:40]}” is not a moment with its zone, such as 2026-03-01T10:30:00Z.")
        return None
    return moment


def locked(case_id: int) -> Case:
    """The case under its row lock, which every decision about it takes first."""
    return Case.objects.select_for_update(of=("self",)).get(pk=case_id)


@transaction.atomic
def correct(case_id: int, *, by: User, changes: Mapping[str, str], reason: str) -> Case:
    """Change the request's data; consent already given is void, and the run starts over with the new content.

    Raises NotCorrectable, NothingToCorrect. Whoever corrects does not vote on the result.
    """
    case = locked(case_id)
    run = Run.objects.select_for_update(of=("self",)).filter(case=case).order_by("-pk").first()
    if case.state in CASE_FINAL or run is None or run.state == RunState.RUNNING or run.waits_for == "action":
        raise NotCorrectable
    data = {**case.data, **{name: value for name, value in changes.items() if name in CORRECTABLE}}
    for name in ("order", "payment", "customer"):
        data[name] = data.get(name) or None
    if data == case.data:
        raise NothingToCorrect
    version: WorkflowVersion = run.version
    content = content_from(version.fields, data, unnamed=case.key)
    if (
        content["key"] != case.key
        and Case.objects.filter(organization_id=case.organization_id, kind=case.kind, key=content["key"]).exists()
    ):
        raise NotCorrectable(f"There is already a case with the reference {content['key']}.")
    Correction.objects.create(case=case, user=by, before=case.data, after=data, reason=reason)
    record(
        "workflows.case.corrected",
        actor=Actor.person(by),
        organization_id=case.organization_id,
        subject=("case", case.pk),
        case_id=case.pk,
        before={name: case.data.get(name) for name in CORRECTABLE if case.data.get(name) != data.get(name)},
        after={name: data.get(name) for name in CORRECTABLE if case.data.get(name) != data.get(name)},
        reason=reason,
    )
    for listener in registry.withdrawals:
        listener(case, f"{by} corrected the request")
    for name, value in content.items():
        setattr(case, name, value)
    case.save(update_fields=list(content))
    from workflows.engine.repairing import start_over

    start_over(run, case, by=by, reason=reason)
    return case


@transaction.atomic
def withdraw(case_id: int, *, actor: Actor, reason: str) -> bool:
    """Close an open case without effect. False when it is already closed or its refund is under way."""
    case = locked(case_id)
    runs = list(Run.objects.select_for_update(of=("self",)).filter(case=case, state__in=[*RUN_ACTIVE, RunState.FAILED]))
    if case.state in CASE_FINAL or any(run.waits_for == "action" for run in runs):
        return False
    for run in runs:
        run.move_to(
            RunState.CANCELED,
            ended_at=Now(),
            wake_at=None,
            lease_until=None,
            waits_for="",
            reason=reason[:300],
        )
    for listener in registry.withdrawals:
        listener(case, reason)
    case.move_to(CaseState.CANCELED, closed_at=Now(), standing=reason[:200])
    record(
        "workflows.case.withdrawn",
        actor=actor,
        organization_id=case.organization_id,
        subject=("case", case.pk),
        case_id=case.pk,
        reason=reason,
    )
    return True


def ring() -> None:
    """Have the workers look for due runs once this transaction has committed."""
    queue.ring("workflows.tick")
