"""How much one person may let go: of one case, and in a day. Counted in people, however many accounts.

A ceiling bars somebody from a case altogether: they are told before they decide, and their votes are looked at again
when they take effect and when the money moves. A case that is open keeps the lowest ceiling that stood since it was
opened. The limit of a day bars further approvals only; whoever has used it up may still reject and ask.
"""

from collections.abc import Iterable, Sequence

from django.db.models import Q

from accounts.models import User
from approvals import daysums
from approvals.errors import DayUsedUp
from approvals.models import Ceiling, Review, RunningLimit, Vote
from approvals.states import ReviewState, Verdict
from opsdesk.lib.money import Money

# What these votes were for was not let go.
_NOT_APPROVED = (ReviewState.VOID, ReviewState.REJECTED, ReviewState.REJECTING)


def of_people(users: Iterable[User], organization_id: int) -> list[Ceiling]:
    """Every ceiling that these people ever had, whichever of their accounts it was set for."""
    people = list(users)
    keys = [user.person_id for user in people if user.person_id]
    rows = Ceiling.objects.filter(organization=organization_id)
    return list(rows.filter(Q(user__in=people) | Q(user__person__in=keys)).select_related("user"))


def why_above(review: Review, users: Iterable[User], ceilings: Sequence[Ceiling] | None = None) -> dict[int, str]:
    """By account, why a case is above what somebody may decide; whom it is not above is left out.

    `ceilings` are those of the people, where they were read for several reviews together.
    """
    people = list(users)
    rows = of_people(people, review.organization_id) if ceilings is None else ceilings
    stood = [row for row in rows if row.ended_at is None or row.ended_at > review.opened_at]
    return {user.pk: why for user in people if (why := _why_above(review.case.amount, _of_person(stood, user)))}


def _of_person(rows: Iterable[Ceiling], user: User) -> list[Ceiling]:
    return [row for row in rows if row.user.same_person_as(user)]


def _why_above(amount: Money | None, ceilings: list[Ceiling]) -> str:
    if not ceilings:
        return ""
    if amount is None:
        return "an amount that nobody knows is more"
    own = [row for row in ceilings if row.currency == amount.currency]
    lowest = min(own, key=lambda row: row.amount_minor, default=None)
    if lowest is None:
        return f"there is no ceiling in {amount.currency}"
    return f"{amount} is above {lowest.amount}" if amount.minor > lowest.amount_minor else ""


def why_used_up(review: Review, user: User, amount: Money | None) -> str:
    """Why a person approves no more of this today; "" where they may, or nothing limits them."""
    limits = _day_limits(review.organization_id)
    if not limits or amount is None:
        return ""
    weighed = daysums.weigh(limits, amount, _approved_today(review, user))
    if weighed.own is None:
        return f"What one person approves in a day has no limit in {amount.currency}, so nobody approves it."
    if weighed.above_amount:
        return (
            f"You have approved {weighed.so_far} today; with {amount} it would pass {weighed.own.amount}, "
            "the most one person approves in a day. Somebody else has to approve it."
        )
    if weighed.above_count:
        return (
            f"You have approved {weighed.cases} cases today, and one person approves {weighed.most} in a day. "
            "Somebody else has to approve it."
        )
    return ""


def refuse_if_used_up(review: Review, user: User, amount: Money | None) -> None:
    """Raise DayUsedUp where this approval would pass what one person approves in a day.

    Two approvals of one person at once are counted one after the other: the caller's transaction holds their turn.
    """
    if not _day_limits(review.organization_id):
        return
    daysums.wait_for_turn(review.organization_id, f"approver {user.person_key}")
    why = why_used_up(review, user, amount)
    if why:
        raise DayUsedUp(why)


def spared(review: Review, users: Iterable[User]) -> list[User]:
    """Those who may decide so much, and have not used up their day: for whom to give a case to."""
    people = list(users)
    above = why_above(review, people) if people else {}
    left = [user for user in people if user.pk not in above]
    if not left or not _day_limits(review.organization_id):
        return left
    return [user for user in left if not why_used_up(review, user, review.case.amount)]


def _day_limits(organization_id: int) -> list[RunningLimit]:
    return list(RunningLimit.objects.filter(organization=organization_id, scope=RunningLimit.Scope.REVIEWER))


def _approved_today(review: Review, user: User) -> daysums.Left:
    """What a person's standing votes of today approve, this review's left out."""
    same = Q(person_key=user.person_key) | Q(voter=user)
    if user.person_id:
        same |= Q(voter__person=user.person_id)
    votes = Vote.objects.filter(same, verdict=Verdict.APPROVE, withdrawn_at=None)
    votes = votes.filter(
        cast_at__gte=daysums.midnight(review.organization_id), review__organization=review.organization_id
    )
    votes = votes.exclude(review=review.pk).exclude(review__state__in=_NOT_APPROVED)
    rows = votes.values_list("amount_minor", "review__case__amount_minor", "review__case__currency")
    return [(asked if minor is None else minor, currency) for minor, asked, currency in rows if asked is not None]
