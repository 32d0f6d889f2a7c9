"""The queue as one person has narrowed it, and addresses that keep it so."""

from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from typing import Any

from django.http import QueryDict
from django.urls import reverse
from django.utils.dateparse import parse_datetime

from accounts.models import Membership
from accounts.roles import Permission
from approvals.filters import ReviewFilter
from approvals.models import Claim, Review
from approvals.models.reviews import ReviewQuerySet
from opsdesk.lib.counting import counts_of, in_words
from workflows.states import Tier

PAGE_SIZE = 50
CAP = 999
_LONGEST = 2000
VIEWS = {"all": "All", "mine": "Mine", "late": "Late", "later": "Later"}
# What these ask of a case is asked of every open one to count them.
OF_CASES = ("text", "least", "most", "reason")
FILTERS = (*OF_CASES, "assignee")
# The origin named in addresses of actions: after a decision the next case of this listing opens.
FROM_QUEUE = "queue"


class Listing:
    """Full reviews by due time: a view, filters, and where the page begins. “Later” come back."""

    def __init__(self, membership: Membership, params: QueryDict) -> None:
        self.membership = membership
        view = params.get("view", "all")
        self.view = view if view in VIEWS else "all"
        self.filters = {name: params[name] for name in FILTERS if params.get(name)}
        self.after = _cursor(params.get("after", ""))

    @cached_property
    def narrowing(self) -> ReviewFilter:
        """The filters, with their form."""
        waiting = Review.objects.visible_to(self.membership).filter(tier=Tier.FULL_REVIEW)
        return ReviewFilter(self.filters, queryset=waiting, membership=self.membership)

    def _of_view(self, view: str) -> ReviewQuerySet:
        narrowed: ReviewQuerySet = self.narrowing.qs
        if view == "later":
            return narrowed.resting()
        found = narrowed.awake()
        if view == "mine":
            return found.filter(assignee_id=self.membership.user_id)
        return found.late() if view == "late" else found

    @property
    def matching(self) -> ReviewQuerySet:
        """Every review of the view with its filters, on whichever page."""
        return self._of_view(self.view)

    @cached_property
    def _found(self) -> list[Review]:
        rows = self._of_view(self.view).select_related("case", "assignee").order_by("due_at", "pk")
        if self.after:
            due_at, pk = self.after
            rows = rows.filter(due_at__gte=due_at).exclude(due_at=due_at, pk__lte=pk)
        return list(rows[: PAGE_SIZE + 1])

    @property
    def rows(self) -> list[Review]:
        """The reviews of this page."""
        return self._found[:PAGE_SIZE]

    @cached_property
    def items(self) -> list[dict[str, Any]]:
        """The reviews of this page, each with the address that opens it here."""
        return [
            {"review": review, "url": self.url(case=review.case_id), "held": self.holders.get(review.pk)}
            for review in self.rows
        ]

    @property
    def may_take(self) -> bool:
        """Whether this member decides, so that there is a next case for them."""
        return self.membership.may(Permission.DECIDE)

    @cached_property
    def holders(self) -> dict[int, Claim]:
        """Who has which review of this page open, by the review's key."""
        standing = Claim.objects.visible_to(self.membership).standing().select_related("holder")
        return {claim.review_id: claim for claim in standing.filter(review__in=self.rows)}

    @property
    def may_decide(self) -> bool:
        """Whether the person who looks at it decides at all."""
        return self.membership.may(Permission.DECIDE)

    @property
    def problems(self) -> list[str]:
        """What is wrong with what was typed into the filters."""
        return [str(error) for errors in self.narrowing.form.errors.values() for error in errors]

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many reviews each view has, with the filters, up to the cap; of sought cases, this view alone."""
        sought = any(name in self.filters for name in OF_CASES)
        views = [self.view] if sought else VIEWS
        return counts_of(self.membership, CAP, {view: self._of_view(view) for view in views})

    @property
    def views(self) -> list[dict[str, Any]]:
        """The views as links."""
        return [
            {
                "label": label,
                "url": self.url(view=view, after=None),
                "current": view == self.view,
                "count": in_words(self.counts[view], CAP) if view in self.counts else None,
            }
            for view, label in VIEWS.items()
        ]

    @property
    def shown(self) -> str:
        """The reviews of this page as one word, so that a poll can tell what is new."""
        return ".".join(str(review.pk) for review in self.rows)

    @cached_property
    def next_url(self) -> str:
        """The page after this one; nothing when this is the last."""
        if len(self._found) <= PAGE_SIZE:
            return ""
        last = self.rows[-1]
        return self.url(after=f"{last.due_at.isoformat()}~{last.pk}")

    @property
    def first_url(self) -> str:
        """The first page; nothing when this is it."""
        return self.url(after=None) if self.after else ""

    @property
    def clear_url(self) -> str:
        """This view without filters."""
        return self.url(after=None, **dict.fromkeys(FILTERS))

    @cached_property
    def path(self) -> str:
        return reverse("approvals:queue")

    def _query(self, changes: Mapping[str, Any]) -> str:
        query = QueryDict(mutable=True)
        kept: dict[str, Any] = {"view": self.view if self.view != "all" else None, **self.filters}
        if self.after:
            kept["after"] = f"{self.after[0].isoformat()}~{self.after[1]}"
        for name, value in {**kept, **changes}.items():
            if value is not None and not (name == "view" and value == "all"):
                query[name] = str(value)
        return query.urlencode()

    def url(self, **changes: Any) -> str:
        """The address of this listing with some parts changed; None takes a part away."""
        query = self._query(changes)
        return f"{self.path}?{query}" if query else self.path

    @property
    def query(self) -> str:
        """View and filters as an address has them."""
        return self._query({"after": None})

    @cached_property
    def origin(self) -> str:
        """What an action's address carries, so that its answer leads back here."""
        return f"?{self._query({'from': FROM_QUEUE})}"

    def place_of(self, review: Review | None) -> int | None:
        """Index of a review on this page."""
        pks = [row.pk for row in self.rows]
        return pks.index(review.pk) if review is not None and review.pk in pks else None

    def neighbours(self, review: Review | None) -> tuple[str, str]:
        """Addresses of the case before and of the one after; nothing at the ends of the page."""
        place = self.place_of(review)
        if place is None:
            return "", self.url(case=self.rows[0].case_id) if self.rows else ""
        before = self.rows[place - 1] if place else None
        after = self.rows[place + 1] if place + 1 < len(self.rows) else None
        return tuple(self.url(case=row.case_id) if row is not None else "" for row in (before, after))  # type: ignore[return-value]

    def following(self, review: Review) -> list[Review]:
        """The reviews after this one, also once it has left the list, and at the end from the beginning again.

        What a colleague has open is left out.
        """
        here, me = (review.due_at, review.pk), self.membership.user_id
        held = {pk for pk, claim in self.holders.items() if claim.holder_id != me}
        others = [row for row in self.rows if row.pk != review.pk and row.pk not in held]
        return sorted(others, key=lambda row: (row.due_at, row.pk) < here)


def _cursor(text: str) -> tuple[datetime, int] | None:
    """The due time and key after which a page begins; what cannot be read begins at the first row."""
    moment, _, key = text.partition("~")
    try:
        due_at = parse_datetime(moment)
    except ValueError:
        return None
    numbers = numbers_in(key)
    if due_at is None or due_at.tzinfo is None or not numbers:
        return None
    return due_at, numbers[0]


def numbers_in(text: str) -> list[int]:
    """The keys in a text such as “12.15.18”, as an address carries them; everything else is left out."""
    parts = text[:_LONGEST].split(".")
    return [int(part) for part in parts if part.isascii() and part.isdigit() and len(part) < 19]
