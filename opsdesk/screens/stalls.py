"""The stalled things of an organization in groups, each against what is usual for its kind."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F

from accounts.models import Membership, User
from approvals.models import Review
from approvals.states import REVIEW_FINAL
from integrations.models import Action, Notice
from integrations.states import ActionState, NoticeState
from opsdesk.lib.wording import lasted, span
from opsdesk.screens import waiting
from opsdesk.screens.medians import SAMPLE, MedianOf
from opsdesk.screens.waiting import Waiting
from workflows.models import Event, FailureItem
from workflows.states import Tier

LATELY = timedelta(days=7)
SHOWN = 20  # rows a kind, unless only that kind is asked for
DESK, NOBODY = "desk", "nobody"


@dataclass(frozen=True, slots=True)
class Kind:
    """A sort of waiting; `usual` holds unless enough of it finished lately to know better."""

    key: str
    label: str
    icon: str
    usual: timedelta
    look: Callable[[Membership, datetime], Iterator[Waiting]]


KINDS = (
    Kind("money", "Money under way", "banknote", timedelta(minutes=1), waiting.actions),
    Kind("runs", "Runs", "activity", timedelta(minutes=1), waiting.runs),
    Kind("reviews", "Reviews", "inbox", timedelta(hours=4), waiting.reviews),
    Kind("windows", "Objection windows", "timer", timedelta(minutes=1), waiting.windows),
    Kind("failures", "Failures without an owner", "triangle-alert", timedelta(hours=1), waiting.failures),
    Kind("events", "Events", "mail", timedelta(minutes=1), waiting.events),
    Kind("payments", "Payments to read again", "refresh-cw", timedelta(minutes=1), waiting.payments),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One thing with its age and what is usual."""

    waiting: Waiting
    age: timedelta
    usual: timedelta

    @property
    def owner_key(self) -> str:
        """Whose it is, as the filter names it."""
        if self.waiting.owner is not None:
            return str(self.waiting.owner.pk)
        return DESK if self.waiting.by_desk else NOBODY

    @property
    def usual_words(self) -> str:
        """What is usual, also where that is less than a second."""
        return lasted(self.usual)

    @property
    def label(self) -> str:
        """The bar in words."""
        return f"waits {span(self.age)}, normal {self.usual_words}"


@dataclass(frozen=True, slots=True)
class Group:
    """All of one kind, the most over usual first."""

    kind: Kind
    rows: Sequence[Row]
    usual: timedelta
    known: bool

    @property
    def usual_words(self) -> str:
        """What is usual, also where that is less than a second."""
        return lasted(self.usual)

    @property
    def count(self) -> int:
        """How many were found."""
        return len(self.rows)

    @property
    def shown(self) -> Sequence[Row]:
        """The first rows."""
        return self.rows[:SHOWN]


def groups(member: Membership, now: datetime) -> list[Group]:
    """Every kind of which something waits: one statement a kind, and one for what is usual."""
    found = [(kind, list(kind.look(member, now))) for kind in KINDS]
    lately = _usual(member, now) if any(rows for _, rows in found) else {}
    return [_group(kind, rows, lately.get(kind.key), now) for kind, rows in found if rows]


def _group(kind: Kind, found: Sequence[Waiting], lately: timedelta | None, now: datetime) -> Group:
    usual = lately or kind.usual
    rows = [Row(each, max(now - each.since, timedelta(0)), usual) for each in found]
    return Group(kind, sorted(rows, key=lambda row: row.age, reverse=True), usual, lately is not None)


def owners(found: Sequence[Group]) -> list[tuple[str, str]]:
    """Everybody something waits for: key and name, the desk and nobody among them."""
    people: dict[str, User] = {}
    keys = set()
    for row in (row for group in found for row in group.rows):
        keys.add(row.owner_key)
        if row.waiting.owner is not None:
            people[row.owner_key] = row.waiting.owner
    named = sorted(((key, str(user)) for key, user in people.items()), key=lambda item: item[1])
    return [*((key, key) for key in (NOBODY, DESK) if key in keys), *named]


def _usual(member: Membership, now: datetime) -> dict[str, timedelta | None]:
    """How long what finished in the last days took, by kind; None where too few did."""
    since = now - LATELY
    closed = {"case__organization_id": member.organization_id, "case__closed_at__gte": since}
    newest = "-case__closed_at"
    samples: dict[str, Any] = {
        "money": Action.objects.filter(state=ActionState.VERIFIED, **closed)
        .order_by(newest)
        .values(took=F("verified_at") - F("created_at")),
        "reviews": Review.objects.filter(state__in=REVIEW_FINAL, tier=Tier.FULL_REVIEW, **closed)
        .order_by(newest)
        .values(took=F("closed_at") - F("opened_at")),
        "windows": Notice.objects.filter(state=NoticeState.DELIVERED, channel=Notice.Channel.MAIL, **closed)
        .order_by(newest)
        .values(took=F("delivered_at") - F("created_at")),
        "failures": FailureItem.objects.filter(failure__organization_id=member.organization_id, repaired_at__gte=since)
        .order_by("-pk")
        .values(took=F("repaired_at") - F("at")),
        "events": Event.objects.visible_to(member)
        .filter(received_at__gte=since, looked_at__isnull=False)
        .order_by("-pk")
        .values(took=F("looked_at") - F("received_at")),
    }
    medians = {kind: MedianOf(rows[:SAMPLE]) for kind, rows in samples.items()}
    found: Mapping[str, Any] = Membership.objects.filter(pk=member.pk).values(**medians).get()
    return dict(found)
