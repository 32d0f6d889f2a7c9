"""What the desk has made of the replay so far: which events arrived, and whether all of them came to rest."""

import time
from collections.abc import Iterable, Iterator

from django.db.models import Count, Q

from accounts.models import Organization
from opsdesk.demo import cast
from opsdesk.demo.deliveries import Arrival, Delivery
from opsdesk.demo.shop import event_id, reference_of
from workflows.models import Case, Event, Run
from workflows.states import CaseState, EventState, RunState, WaitsFor

SOURCE = f"{cast.ORGANIZATION}/shop"
_LOOK_EVERY = 0.25


def arrived() -> set[str]:
    """References of the requests that the desk has stored, worked on or not."""
    keys = Event.objects.filter(source=SOURCE).values_list("dedupe_key", flat=True)
    return {reference_of(key) for key in keys}


def not_arrived(deliveries: Iterable[Delivery]) -> Iterator[Delivery]:
    """Leave out first deliveries of what has come in since the plan was made; asked anew before each."""
    for delivery in deliveries:
        known = Event.objects.filter(source=SOURCE, dedupe_key=event_id(delivery.request))
        if delivery.arrival is Arrival.DUPLICATE or not known.exists():
            yield delivery


def wait_until_settled(organization: Organization, *, seconds: float) -> bool:
    """Wait until every event was looked at and every run ended or waits for people; False when time runs out."""
    end = time.monotonic() + seconds
    moving = Q(state__in=[RunState.READY, RunState.RUNNING]) | (
        Q(state=RunState.WAITING) & ~Q(waits_for=WaitsFor.REVIEW)
    )
    events = Event.objects.filter(source=SOURCE, state=EventState.RECEIVED)
    runs = Run.objects.filter(moving, organization=organization)
    while events.exists() or runs.exists():
        if time.monotonic() > end:
            return False
        time.sleep(_LOOK_EVERY)
    return True


def standing(organization: Organization) -> str:
    """How many cases stand where, in words."""
    counts = dict(
        Case.objects.filter(organization=organization)
        .values_list("state")
        .annotate(cases=Count("pk"))
        .values_list("state", "cases")
    )
    waiting = Run.objects.filter(organization=organization, state=RunState.WAITING, waits_for=WaitsFor.REVIEW).count()
    by_state = ", ".join(f"{counts.get(state, 0)} {state.label.lower()}" for state in CaseState)
    return f"{sum(counts.values())} cases: {by_state}; {waiting} wait for people."
