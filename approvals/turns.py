"""Whose turn it is: a team that is given its cases gets them round robin, up to so many open ones a person."""

from collections.abc import Sequence

from django.db.models import Count, OuterRef, Q, Subquery

from accounts.models import Team, User
from approvals.models import Review
from approvals.states import ReviewState


def next_of(team: Team, people: Sequence[User]) -> User | None:
    """Who of these people is given the next case: whoever was given one longest ago and is below the team's cap.

    None in a team whose people take cases themselves, and while everybody has as many as the team gives.
    """
    if team.distribution == Team.Distribution.PULL or not people:
        return None
    last = Review.objects.filter(assignee=OuterRef("pk"), assigned_at__isnull=False).order_by("-assigned_at")
    waiting = Count("reviews_assigned", filter=Q(reviews_assigned__state=ReviewState.OPEN), distinct=True)
    rows = User.objects.filter(pk__in=[user.pk for user in people]).annotate(
        busy=waiting, last_given=Subquery(last.values("assigned_at")[:1])
    )
    # Stand-ins come last among the people: they help out, and do not take turns from whoever is here.
    place = {user.pk: at for at, user in enumerate(people)}
    free = [row for row in rows if team.cap is None or row.busy < team.cap]
    own = set(team.members.filter(pk__in=place).values_list("pk", flat=True))
    free.sort(key=lambda row: (row.pk not in own, row.last_given is not None, row.last_given, place[row.pk]))
    return next(iter(free), None)
