"""Runs that must not go on beside each other: one of a key at a time, the others wait for their turn.

A version names the fields of a case that make its concurrency key, such as the customer. Whoever is in turn is marked
on its row, and a unique index lets no second one be; waiting is for a reason like any other. A run that ends, well or
not, passes the turn on after its commit. Losing that costs seconds: the sweeper looks for turns that nobody has.
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any

from django.db import connection, transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.functions import Now

from opsdesk.lib import queue
from workflows.engine.outcomes import Wait
from workflows.models import Case, Run, WorkflowVersion
from workflows.states import RUN_ACTIVE, RunState, WaitsFor

# Fields of a case that can make a key.
KEY_FIELDS = ("party", "target", "currency", "reason", "requested_by")
LONGEST_KEY = 200
Place = tuple[int, str]


def key_from(version: WorkflowVersion, content: Mapping[str, Any]) -> str:
    """The concurrency key of a case's content; "" where the version has none or the content leaves a field out."""
    values = [str(content.get(name) or "") for name in version.concurrency]
    if not values or not all(values):
        return ""
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
    return text if len(text) <= LONGEST_KEY else hashlib.sha256(text.encode()).hexdigest()


def key_of(version: WorkflowVersion, case: Case) -> str:
    """The concurrency key of a case as it stands."""
    return key_from(version, {name: getattr(case, name) for name in KEY_FIELDS})


def in_sequence(purpose: str, places: Collection[Place]) -> None:
    """Have transactions that ask for the same places come one after the other, until each has committed."""
    with connection.cursor() as cursor:
        for workflow_id, key in sorted(places):
            cursor.execute(
                "SELECT pg_advisory_xact_lock(hashtext(%s), hashtext(%s))", [purpose, f"{workflow_id} {key}"]
            )


def take(runs: Sequence[Run]) -> dict[int, Wait]:
    """Give each run with a key its turn, or say, by run id, for which one it waits; the caller holds their locks."""
    asking = [run for run in runs if run.concurrency_key and not run.in_turn]
    if not asking:
        return {}
    in_sequence("turns", {_place(run) for run in asking})
    held = {_place(run): run for run in _holders({_place(run) for run in asking})}
    waits: dict[int, Wait] = {}
    for run in sorted(asking, key=lambda run: (run.priority, run.pk)):
        holder = held.setdefault(_place(run), run)
        if holder is run:
            run.in_turn = True
        else:
            waits[run.pk] = Wait(
                WaitsFor.TURN, f"Waits until RUN-{holder.pk} of CASE-{holder.case_id} has ended: one at a time."
            )
    return waits


def pass_on(run: Run) -> None:
    """Once the transaction in which a run ends has committed, wake the one that waits for its turn."""
    if run.concurrency_key:
        transaction.on_commit(partial(_wake_next, _place(run)), robust=True)


def wake_stranded() -> int:
    """Wake those who wait for a turn that nobody has any more; returns how many."""
    holder = Run.objects.filter(
        workflow=OuterRef("workflow"), concurrency_key=OuterRef("concurrency_key"), in_turn=True, state__in=RUN_ACTIVE
    )
    places = _waiting().filter(~Exists(holder)).values_list("workflow_id", "concurrency_key").distinct().order_by()
    return sum(_wake_next(place) for place in list(places))


def _place(run: Run) -> Place:
    return run.workflow_id, run.concurrency_key


def _waiting() -> QuerySet[Run]:
    return Run.objects.filter(state=RunState.WAITING, waits_for=WaitsFor.TURN, paused_at=None)


def _holders(places: Collection[Place]) -> list[Run]:
    held = Run.objects.filter(
        workflow_id__in={workflow_id for workflow_id, _ in places},
        concurrency_key__in={key for _, key in places},
        in_turn=True,
        state__in=RUN_ACTIVE,
    )
    return list(held.only("pk", "case_id", "workflow_id", "concurrency_key"))


def _wake_next(place: Place) -> bool:
    """One guarded update: whoever is woken asks for the turn itself, so waking one too many does no harm."""
    if _holders([place]):
        return False
    workflow_id, key = place
    first = _waiting().filter(workflow_id=workflow_id, concurrency_key=key).order_by("priority", "pk").first()
    if first is None:
        return False
    woken = _waiting().filter(pk=first.pk).update(state=RunState.READY, wake_at=Now())
    queue.ring("workflows.tick")
    return woken == 1
