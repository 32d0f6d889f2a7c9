"""Raising and clearing alerts: both may be said again and by several at once, and each change is told once."""

from collections.abc import Iterable

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from accounts.models import Organization, User
from auditlog.services import Actor, entry, record_all
from opsdesk.lib.errors import DomainError
from workflows.models import Alert

# What is said to be wrong is a registered kind: its title is what the list shows in bold.
_titles: dict[str, str] = {}
# Whoever finds an alert that another has just cleared tries again; the watchdog looks again anyway.
_TRIES = 3


class AlreadyOver(DomainError):
    """The cause is gone."""

    message = "This alert is over: what it told of is in order again."


def add_alert_kind(kind: str, title: str) -> None:
    """Register a kind of trouble with its title, such as “The clock stands still”."""
    if _titles.setdefault(kind, title) != title:
        raise ValueError(f"The kind of alert {kind} is registered twice.")


def title_of(kind: str) -> str:
    """The title of a kind; a kind that an older or newer desk knew is spelled out."""
    return _titles.get(kind) or kind.replace("_", " ").capitalize()


def raise_alert(organization: Organization | None, kind: str, subject: str, words: str) -> bool:
    """Say that `subject` is in this kind of trouble; True when it was not known yet.

    Said again it only brings the words and the time it was last seen up to date. `organization` is None for what
    concerns the whole desk. Raises KeyError for an unregistered kind.
    """
    if kind not in _titles:
        raise KeyError(f"The kind of alert {kind} is not registered.")
    for _ in range(_TRIES):
        if _open(organization, kind, subject).update(words=words[:500], last_seen_at=Now()):
            return False
        try:
            with transaction.atomic():
                alert = Alert.objects.create(organization=organization, kind=kind, subject=subject, words=words[:500])
                _tell("workflows.alert.raised", [alert], reason=words)
            return True
        except IntegrityError:
            continue  # somebody else raised it at this very moment
    return False


@transaction.atomic
def clear_alert(organization: Organization | None, kind: str, subject: str) -> bool:
    """Say that the trouble is over; False when there was none, or somebody else said so first."""
    return bool(_clear(_open(organization, kind, subject)))


@transaction.atomic
def clear_others(organization: Organization | None, kind: str, subjects: Iterable[str]) -> int:
    """Clear every open alert of a kind whose subject is not one of these; returns how many there were."""
    rows = Alert.objects.open().filter(organization=organization, kind=kind)
    return _clear(rows.exclude(subject__in=list(subjects)))


@transaction.atomic
def acknowledge(alert_id: int, *, by: User, organization_id: int, note: str) -> Alert:
    """Say that somebody looks after it, and what they found; it stays open until its cause is gone.

    Whoever said so before is replaced. Raises AlreadyOver.
    """
    alert = Alert.objects.select_for_update(of=("self",)).select_related("acknowledged_by").get(pk=alert_id)
    if alert.cleared_at is not None:
        raise AlreadyOver
    before = str(alert.acknowledged_by or "nobody")
    Alert.objects.filter(pk=alert.pk).update(acknowledged_at=Now(), acknowledged_by=by, note=note)
    alert.refresh_from_db()
    written = entry(
        "workflows.alert.acknowledged",
        actor=Actor.person(by),
        organization_id=organization_id,
        subject=("alert", alert.pk),
        before={"looked_after_by": before},
        after={"looked_after_by": str(by), "note": note},
        reason=note or f"{by} looks after it.",
    )
    record_all([written])
    return alert


def _open(organization: Organization | None, kind: str, subject: str) -> QuerySet[Alert]:
    return Alert.objects.open().filter(organization=organization, kind=kind, subject=subject)


def _clear(rows: QuerySet[Alert]) -> int:
    alerts = list(rows.order_by("pk").select_for_update(of=("self",)))
    if alerts:
        Alert.objects.filter(pk__in=[alert.pk for alert in alerts]).update(cleared_at=Now())
        _tell("workflows.alert.cleared", alerts, reason="It was seen to be in order again.")
    return len(alerts)


def _tell(verb: str, alerts: list[Alert], *, reason: str) -> None:
    """Write it to the log of the organization it concerns, or of every one when it is the desk they share."""
    everybody = list(Organization.objects.values_list("pk", flat=True))
    record_all(
        entry(
            verb,
            actor=Actor.desk("watchdog"),
            organization_id=organization_id,
            subject=("alert", alert.pk),
            after={"kind": alert.kind, "subject": alert.subject},
            reason=reason,
        )
        for alert in alerts
        for organization_id in ([alert.organization_id] if alert.organization_id else everybody)
    )
