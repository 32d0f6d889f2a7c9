"""Carrying a bulk out, item by item: each is one transaction with its result, so a killed job loses nothing.

Several jobs may work on one bulk: an item that another has is passed by.
"""

import time
from dataclasses import dataclass, field
from datetime import timedelta

import structlog
from django.db import transaction
from django.db.models import Count
from django.db.models.functions import Now

from accounts.models import Membership
from auditlog.services import Actor, record
from opsdesk.lib.database import is_busy, is_lost
from opsdesk.lib.errands import TURN_SECONDS
from opsdesk.lib.errors import DomainError
from workflows.bulk.registry import kinds
from workflows.models import Bulk, BulkItem
from workflows.states import BulkState

log = structlog.get_logger(__name__)

# How often the page learns how far it is.
_COUNT_SECONDS = 1.0
# A running bulk that no job has touched for this long has lost its job.
STALE_AFTER = timedelta(seconds=30)
_MOST_TRIES = 3
Result = BulkItem.Result


@dataclass(slots=True)
class _Work:
    """What one job knows of the bulk while it works: how often an item met a busy database."""

    bulk: Bulk
    tries: dict[int, int] = field(default_factory=dict)


def carry_on(bulk_id: int, *, seconds: float = TURN_SECONDS) -> bool:
    """Work on a running bulk; True when time ran out before it was finished."""
    bulk = Bulk.objects.select_related("by").filter(pk=bulk_id, state=BulkState.RUNNING).first()
    if bulk is None:
        return False
    with structlog.contextvars.bound_contextvars(request_id=f"bulk-{bulk.pk}"):
        return _carry(_Work(bulk), time.monotonic() + seconds)


def take_stale() -> list[int]:
    """The running bulks that have lost their job, marked as asked for again."""
    stale = Bulk.objects.filter(state=BulkState.RUNNING, looked_at__lt=Now() - STALE_AFTER)
    with transaction.atomic():
        keys = list(stale.select_for_update(skip_locked=True).values_list("pk", flat=True))
        Bulk.objects.filter(pk__in=keys).update(looked_at=Now())
    return keys


def _carry(work: _Work, end: float) -> bool:
    bulk, counted = work.bulk, 0.0
    while time.monotonic() < end:
        if time.monotonic() - counted > _COUNT_SECONDS:
            count(bulk.pk)
            counted = time.monotonic()
        if not _may_go_on(bulk):
            break
        if not _carry_one(work):
            _finish(bulk.pk)
            break
    else:
        count(bulk.pk)
        return True
    count(bulk.pk)
    return False


def count(bulk_id: int) -> None:
    """Write on the bulk how far it is, and that somebody works on it."""
    counts = dict(BulkItem.objects.filter(bulk_id=bulk_id).order_by().values_list("result").annotate(rows=Count("pk")))
    Bulk.objects.filter(pk=bulk_id).update(
        done=counts.get(Result.DONE, 0),
        refused=counts.get(Result.REFUSED, 0),
        failed=counts.get(Result.FAILED, 0),
        looked_at=Now(),
    )


def _may_go_on(bulk: Bulk) -> bool:
    """Whether it still runs, and the person in whose name it runs still has the right: asked before each item."""
    if not Bulk.objects.filter(pk=bulk.pk, state=BulkState.RUNNING).exists():
        return False
    kind = kinds[bulk.kind]
    mine = Membership.objects.active().filter(user_id=bulk.by_id, organization_id=bulk.organization_id)
    if any(member.may(kind.permission) for member in mine):
        return True
    _stop(bulk.pk, f"{bulk.by} may no longer do this: the rest was left as it is.")
    return False


@transaction.atomic
def _stop(bulk_id: int, why: str) -> None:
    bulk = Bulk.objects.select_for_update(of=("self",)).get(pk=bulk_id)
    if bulk.state == BulkState.RUNNING:
        bulk.move_to(BulkState.CANCELED, ended_at=Now(), note=why)
        _told("canceled", bulk, why)


@transaction.atomic
def _finish(bulk_id: int) -> None:
    """Close the bulk, unless another job is at its last items."""
    bulk = Bulk.objects.select_for_update(of=("self",)).get(pk=bulk_id)
    if bulk.state == BulkState.RUNNING and not bulk.items.filter(result=Result.DUE).exists():
        count(bulk_id)
        bulk.refresh_from_db()
        bulk.move_to(BulkState.DONE, ended_at=Now())
        _told("finished", bulk, f"{bulk.done} done, {bulk.refused} refused, {bulk.failed} failed.")


def _carry_one(work: _Work) -> bool:
    """Do the next item that nobody else has; False when there is none."""
    with transaction.atomic():
        due = BulkItem.objects.filter(bulk=work.bulk, result=Result.DUE).order_by("pk")
        item = due.select_for_update(skip_locked=True).first()
        if item is None:
            return False
        try:
            with transaction.atomic():
                kind, bulk = kinds[work.bulk.kind], work.bulk
                known = {"bulk": bulk.pk, "stamp": item.stamp} if item.stamp else {}
                sentence = kind.perform(item.subject_id, bulk.by, bulk.reason, {**bulk.parameters, **known})
            result = Result.DONE
        except DomainError as refusal:
            result, sentence = Result.REFUSED, str(refusal)
        except Exception as error:
            if is_lost(error):
                raise
            work.tries[item.pk] = work.tries.get(item.pk, 0) + 1
            if is_busy(error) and work.tries[item.pk] < _MOST_TRIES:
                return True  # left due: it is the first one again, a moment later
            log.exception("bulk_item_failed", bulk_id=work.bulk.pk, item=item.label)
            result, sentence = Result.FAILED, f"{type(error).__name__}: {error}"
        BulkItem.objects.filter(pk=item.pk).update(result=result, sentence=(sentence or "Done.")[:300], at=Now())
    return True


def _told(verb: str, bulk: Bulk, reason: str) -> None:
    record(
        f"workflows.bulk.{verb}",
        actor=Actor.desk("jobs"),
        organization_id=bulk.organization_id,
        subject=("bulk", bulk.pk),
        after={"done": bulk.done, "refused": bulk.refused, "failed": bulk.failed},
        reason=reason,
    )
