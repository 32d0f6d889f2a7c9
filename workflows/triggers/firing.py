"""Looking at the triggers that nobody pulls: schedules, crossings and ages. The tick may run twice, late, or never.

A trigger's pulse is locked while it is looked at, and what fires is a row that can only be there once
(`own_events`). So two beats fire nothing twice, and after a pause each schedule catches up with one run.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import structlog
from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from accounts.calendar import hours_of
from opsdesk.lib import clock
from opsdesk.lib.database import is_lost
from opsdesk.lib.wording import moment
from workflows import registry
from workflows.models import Pulse, Sighting, Trigger, Workflow
from workflows.states import VersionState
from workflows.triggers import own_events, schedules
from workflows.triggers.kinds import CLOCKED, CROSSINGS, limit_of

log = structlog.get_logger(__name__)
# How often rows are looked at for crossings and ages, and how soon after a look that broke.
EVERY = {
    Trigger.Kind.CHANGE: timedelta(seconds=15),
    Trigger.Kind.AGE: timedelta(seconds=60),
    Trigger.Kind.SCHEDULE: timedelta(seconds=60),
}
# Records of one trigger that fire in one look; the others come with the next.
MOST_AT_ONCE = 100


def look(now: datetime | None = None) -> int:
    """Fire every trigger whose time has come; returns how many runs were asked for."""
    now = now or clock.now()
    _arm(now)
    _keep_to_the_wall()
    due = Pulse.objects.filter(
        next_at__lte=now,
        trigger__version__state=VersionState.PUBLISHED,
        workflow__enabled=True,
        workflow__organization__acting_enabled=True,
    )
    return sum(_look_at(pulse_id, now) for pulse_id in due.order_by("next_at").values_list("pk", flat=True)[:200])


def _arm(now: datetime) -> None:
    """Give triggers that were published since the last look their pulse. What stays the same goes on as it was."""
    armed = Pulse.objects.filter(trigger=OuterRef("pk"))
    fresh = Trigger.objects.filter(version__state=VersionState.PUBLISHED, kind__in=CLOCKED).exclude(Exists(armed))
    for trigger in fresh.select_related("version__workflow__organization").order_by("pk"):
        with transaction.atomic():
            # Under the lock under which versions are published.
            Workflow.objects.select_for_update(of=("self",)).get(pk=trigger.version.workflow_id)
            _arm_one(trigger, now)


def _arm_one(trigger: Trigger, now: datetime) -> None:
    workflow = trigger.version.workflow
    former = Pulse.objects.select_related("trigger").filter(workflow=workflow, key=trigger.key).first()
    if former is not None and former.trigger.version.number > trigger.version.number:
        return
    if former is not None and _unbroken(former.trigger, trigger):
        Pulse.objects.filter(pk=former.pk).update(trigger=trigger)
        return
    Sighting.objects.filter(workflow=workflow, key=trigger.key).delete()
    next_at = now
    if trigger.kind == Trigger.Kind.SCHEDULE:
        next_at = schedules.next_slot(trigger.config["cron"], _zone(workflow), now)
    if trigger.kind == Trigger.Kind.CHANGE:
        # What is beyond the limit already has crossed it before anybody watched.
        beyond = _beyond(trigger).values_list("pk", flat=True)
        Sighting.objects.bulk_create(
            [Sighting(workflow=workflow, key=trigger.key, record=pk) for pk in beyond.iterator(chunk_size=2_000)],
            batch_size=2_000,
        )
    Pulse.objects.update_or_create(
        workflow=workflow,
        key=trigger.key,
        defaults={"trigger": trigger, "next_at": next_at, "looked_at": now, "trouble": ""},
    )


def _keep_to_the_wall() -> None:
    """Move slots whose instant is another one by now: the organization's zone or the rules of a zone have changed."""
    slots = Pulse.objects.filter(
        trigger__kind=Trigger.Kind.SCHEDULE, trigger__version__state=VersionState.PUBLISHED,
        looked_at__isnull=False, trouble="",
    ).select_related("trigger", "workflow__organization")  # fmt: skip
    for pulse in slots:
        next_at = schedules.next_slot(
            pulse.trigger.config["cron"], _zone(pulse.workflow), pulse.looked_at or pulse.next_at
        )
        if next_at != pulse.next_at:
            Pulse.objects.filter(pk=pulse.pk, next_at=pulse.next_at).update(next_at=next_at)


def _unbroken(former: Trigger, trigger: Trigger) -> bool:
    """Whether a trigger stood unchanged in every version that was in force since its former row."""
    same = Trigger.objects.filter(version=OuterRef("pk"), key=trigger.key, kind=former.kind, config=former.config)
    since = trigger.version.workflow.versions.filter(
        number__gt=former.version.number, number__lte=trigger.version.number, published_at__isnull=False
    )
    return not since.exclude(Exists(same)).exists()


def _zone(workflow: Workflow) -> ZoneInfo:
    return ZoneInfo(workflow.organization.time_zone)


def _look_at(pulse_id: int, now: datetime) -> int:
    """Look at one trigger in a transaction of its own; one that breaks holds up no other and says so."""
    try:
        with transaction.atomic():
            pulse = (
                Pulse.objects.select_for_update(skip_locked=True, of=("self",))
                .select_related("trigger__version", "workflow__organization")
                .filter(pk=pulse_id, next_at__lte=now)
                .first()
            )
            return _LOOKS[Trigger.Kind(pulse.trigger.kind)](pulse, now) if pulse is not None else 0
    except Exception as error:
        if is_lost(error):
            raise
        log.exception("trigger_not_looked_at", pulse_id=pulse_id)
        Pulse.objects.filter(pk=pulse_id).update(next_at=now + timedelta(minutes=1), trouble=str(error)[:300])
        return 0


def _go_on(pulse: Pulse, now: datetime, next_at: datetime, fired: int) -> int:
    pulse.next_at, pulse.looked_at, pulse.trouble = next_at, now, ""
    pulse.fired_at = now if fired else pulse.fired_at
    pulse.save(update_fields=["next_at", "looked_at", "fired_at", "trouble"])
    return fired


def _fire(pulse: Pulse, key: str, data: Mapping[str, Any]) -> bool:
    _, new = own_events.tell(
        pulse.workflow,
        trigger=pulse.key,
        kind=pulse.trigger.kind,
        key=key,
        data={"reference": f"{pulse.key} {key}"[:100], **data},
        by=f"trigger {pulse.key}",
    )
    return new


def _look_at_schedule(pulse: Pulse, now: datetime) -> int:
    """Fire the slot that has come; of several that were missed, the latest alone."""
    cron, zone = pulse.trigger.config["cron"], _zone(pulse.workflow)
    slot = max(pulse.next_at, schedules.last_slot(cron, zone, now))
    local = slot.astimezone(zone)
    fired = _fire(
        pulse,
        f"{slot:%Y-%m-%dT%H:%MZ}",
        {"reference": f"{pulse.key} {local:%Y-%m-%d %H:%M}", "slot": slot.isoformat(), "day": f"{local:%Y-%m-%d}"},
    )
    return _go_on(pulse, now, schedules.next_slot(cron, zone, max(now, slot)), int(fired))


def _beyond(trigger: Trigger, *, organization_id: int | None = None) -> Any:
    """The records whose value is beyond the limit now."""
    record = registry.watched[trigger.config["record"]]
    field = record.fields[trigger.config["field"]]
    limit, currency = limit_of(field, trigger.config)
    lookup, _ = CROSSINGS[field.type][trigger.config["operator"]]
    condition = Q(**{f"{field.column}__{lookup}": limit})
    if currency:
        condition &= Q(currency=currency)
    return record.rows(organization_id or trigger.version.workflow.organization_id).filter(condition)


def _sightings(pulse: Pulse, **which: Any) -> Any:
    return Sighting.objects.filter(workflow=pulse.workflow, key=pulse.key, **which)


def _look_at_change(pulse: Pulse, now: datetime) -> int:
    """Fire for each record whose value crossed since the last look; one that came back may cross again."""
    config = pulse.trigger.config
    record = registry.watched[config["record"]]
    beyond = _beyond(pulse.trigger, organization_id=pulse.workflow.organization_id)
    _sightings(pulse, beyond=True).exclude(record__in=beyond.values("pk")).update(beyond=False)
    seen = _sightings(pulse, beyond=True, record=OuterRef("pk"))
    crossed = list(beyond.exclude(Exists(seen)).order_by("pk")[:MOST_AT_ONCE])
    times = dict(_sightings(pulse, record__in=[row.pk for row in crossed]).values_list("record", "times"))
    fired = 0
    for row in crossed:
        nth = times.get(row.pk, 0) + 1
        Sighting.objects.update_or_create(
            workflow=pulse.workflow, key=pulse.key, record=row.pk, defaults={"beyond": True, "times": nth}
        )
        value = getattr(row, record.fields[config["field"]].column)
        told = {"record": f"{record.name} {row}", "field": config["field"], "value": str(value), **record.tell(row)}
        fired += _fire(pulse, f"{row.pk}:{nth}", {"reference": f"{record.name} {row}, {nth}"[:100], **told})
    return _go_on(pulse, now, now if len(crossed) == MOST_AT_ONCE else now + EVERY[Trigger.Kind.CHANGE], fired)


def _look_at_age(pulse: Pulse, now: datetime) -> int:
    """Fire for each item that has stood too long by the business calendar, once a stay."""
    config, workflow = pulse.trigger.config, pulse.workflow
    record = registry.watched[config["record"]]
    standing = record.standings[config["standing"]]
    hours, length = hours_of(workflow.organization), timedelta(hours=config["business_hours"])
    told = _sightings(pulse, record=OuterRef("pk"), since=OuterRef(standing.since))
    # Business time is never faster than the clock, so only these can have stood long enough.
    old = (
        record.rows(workflow.organization_id)
        .filter(standing.condition, **{f"{standing.since}__lte": now - length})
        .exclude(Exists(told))
        .order_by(standing.since, "pk")
    )
    ripe = [row for row in old[:MOST_AT_ONCE] if hours.add(getattr(row, standing.since), length) <= now]
    fired = 0
    for row in ripe:
        since = getattr(row, standing.since)
        Sighting.objects.update_or_create(workflow=workflow, key=pulse.key, record=row.pk, defaults={"since": since})
        said = {
            "record": f"{record.name} {row.pk}",
            "standing": standing.label,
            "since": since.isoformat(),
            **record.tell(row),
        }
        reference = f"{record.name} {row.pk} since {moment(since, _zone(workflow))}"
        fired += _fire(pulse, f"{row.pk}:{since.isoformat()}", {"reference": reference[:100], **said})
    return _go_on(pulse, now, now if len(ripe) == MOST_AT_ONCE else now + EVERY[Trigger.Kind.AGE], fired)


_LOOKS = {
    Trigger.Kind.SCHEDULE: _look_at_schedule,
    Trigger.Kind.CHANGE: _look_at_change,
    Trigger.Kind.AGE: _look_at_age,
}
