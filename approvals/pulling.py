"""Take next: the review a person should decide next, theirs alone however many ask at the same moment."""

from contextlib import suppress

from django.db import transaction
from django.db.models import BooleanField, Case, Exists, ExpressionWrapper, IntegerField, OuterRef, Q, Value, When
from django.db.models.functions import Now

from accounts.models import Membership, Team, User
from approvals import absences, claims, skills, voters
from approvals.models import Claim, Review, Vote
from approvals.models.reviews import ReviewQuerySet
from opsdesk.lib.errors import DomainError
from workflows.models import Correction
from workflows.states import Tier

# Urgency is weighed among so many of those that are due first.
_WINDOW = 200
# Somebody else may take one between the look and the lock; whoever lost so often looks again by hand.
_TRIES = 25


@transaction.atomic
def take_next(member: Membership) -> Claim | None:
    """Claim the next review for this member; None when nothing waits that they may decide.

    What fits their skills comes before all else. First what was given to them, then what nobody has, then what a
    colleague has and has not opened; within each what is late, then the more urgent, then what is due sooner. Rows that
    somebody works on this instant are stepped over.
    """
    user, passed, taken_on = member.user, set[int](), skills.taken_on_by(member)
    for _ in range(_TRIES):
        waiting = _waiting(member).exclude(pk__in=passed)
        review = _locked_first(waiting.filter(taken_on), user) or (_locked_first(waiting, user) if taken_on else None)
        if review is None:
            return None
        passed.add(review.pk)
        # The lock is held now: what was committed since the look is seen here.
        if claims.standing_on(review) is not None:
            continue
        with suppress(DomainError):
            return claims.claim_locked(review, by=user)
    return None


def _locked_first(waiting: ReviewQuerySet, user: User) -> Review | None:
    """The first review that nobody works on this instant, under its lock; None when there is none."""
    window = [pk for rank in _RANKS for pk in _first_due(waiting.filter(_of_rank(rank, user)))]
    if not window:
        return None
    late = ExpressionWrapper(Q(due_at__lt=Now()), output_field=BooleanField())
    whose = Case(
        When(assignee=user, then=Value(0)),
        When(assignee=None, then=Value(1)),
        default=Value(2),
        output_field=IntegerField(),
    )
    rows = waiting.filter(pk__in=window).annotate(whose=whose, late=late)
    rows = rows.select_related("run", "settings", "case__requested_by_user")
    rows = rows.order_by("whose", "-late", "run__priority", "due_at", "pk")
    return rows.select_for_update(of=("self",), skip_locked=True).first()


_RANKS = ("own", "nobody", "others")


def _of_rank(rank: str, user: User) -> Q:
    own, nobody = Q(assignee=user), Q(assignee=None)
    return {"own": own, "nobody": nobody, "others": ~own & ~nobody}[rank]


def _first_due(rows: ReviewQuerySet) -> list[int]:
    return list(rows.order_by("due_at", "pk").values_list("pk", flat=True)[:_WINDOW])


def _waiting(member: Membership) -> ReviewQuerySet:
    """Open full reviews that ask this member, which nobody has open and they have not touched.

    What is left out here only saves looking: whether they may vote is asked again, one by one, under the lock.
    """
    user = member.user
    mine = voters.person_key(user)
    opened = Claim.objects.standing().filter(review=OuterRef("pk"))
    voted = Vote.objects.filter(review=OuterRef("pk"), person_key=mine, withdrawn_at=None)
    same = Q(user=user) | (Q(user__person=user.person_id) if user.person_id else Q())
    corrected = Correction.objects.filter(same, case=OuterRef("case"))
    asked = Q(case__requested_by_user=user)
    if user.person_id:
        asked |= Q(case__requested_by_user__person=user.person_id)
    rows = Review.objects.visible_to(member).open().filter(_asking(member), tier=Tier.FULL_REVIEW)
    return rows.exclude(asked).exclude(Exists(opened)).exclude(Exists(voted)).exclude(Exists(corrected))


def _asking(member: Membership) -> Q:
    """Reviews that ask a team of this member, or of somebody they stand in for, as far as was written down."""
    seats = [member.user_id, *(each.user_id for each in absences.stood_in_for(member.user, member.organization_id))]
    teams = list(
        Team.objects.filter(organization=member.organization_id, members__in=seats).values_list("pk", flat=True)
    )
    return Q(asks__overlap=teams) | Q(asks=[])
