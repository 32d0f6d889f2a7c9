"""A share of what people decided is looked at again by somebody else, blind; their answer changes nothing but figures.

Which cases are taken is drawn by a keyed hash, so nobody can tell while deciding; a case is drawn at most once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.urls import reverse
from django.utils.crypto import salted_hmac

from accounts.models import Membership, User
from accounts.roles import GRANTS, Permission, roles_with
from accounts.veils import unveiled, veiled_cases
from approvals import absences, terms, voters
from approvals.errors import AlreadyDecided, NotAVoter, RationaleMissing
from approvals.models import Review, SecondOpinion
from approvals.services import Rationale
from approvals.states import REVIEW_FINAL, ReviewState, SecondOpinionState, Verdict
from auditlog.services import Actor, record
from integrations import notices
from integrations.reversing import services as reversing
from opsdesk.lib import clock

LATELY = timedelta(days=90)
BLIND = "You were asked for a second opinion on this case: what was decided is shown once you have given it."
_MANAGING = [role for role, granted in GRANTS.items() if Permission.DECIDE in granted and Permission.MANAGE in granted]
_DECIDED_AS = {Verdict.APPROVE: ReviewState.APPROVED, Verdict.REJECT: ReviewState.REJECTED}


class StillBlind(PermissionDenied):
    """Whoever owes an opinion on a case does not see what became of it."""

    def __init__(self, opinion: SecondOpinion) -> None:
        super().__init__(BLIND)
        self.opinion = opinion


@dataclass(frozen=True, slots=True)
class Agreement:
    """How often second opinions came to the same verdict."""

    answered: int
    agreed: int

    @property
    def rate(self) -> int | None:
        """In per cent; None where nothing was answered."""
        return round(100 * self.agreed / self.answered) if self.answered else None


def drawn(review: Review) -> bool:
    """Whether the tier's share falls on this review; the same answer whenever it is asked."""
    draw = salted_hmac("approvals.second_opinions", f"{review.pk}", algorithm="sha256").digest()
    return int.from_bytes(draw[:4], "big") % 100 < review.settings.second_opinion_percent


def sample(review: Review) -> SecondOpinion | None:
    """Put a review that was just decided by people before somebody else, where it is drawn and somebody may look.

    Called by the timer that lets the decision take effect, in its transaction and under its locks.
    """
    if review.state not in _DECIDED_AS.values() or review.decided_by_id is None or not drawn(review):
        return None
    if review.case.kind == reversing.KIND:
        # The case from which it takes something back says what became of it.
        return None
    people = _who_may_look(review)
    if not people:
        return None
    look, made = SecondOpinion.objects.get_or_create(
        review=review, defaults={"organization_id": review.organization_id, "asked": people[0]}
    )
    return look if made else None


def _who_may_look(review: Review) -> Sequence[User]:
    """Who is here, could have voted and did not, the least busy first; nobody who asked for the case or changed it."""
    teams = {team.pk for stage in terms.stages_of(review) for team in stage.teams}
    barred = voters.involved_in(review) | voters.voted_in(review)
    here = absences.who_may_decide(review.organization_id) - set(absences.away_today(review.organization_id))
    open_now = Q(reviews_assigned__state=ReviewState.OPEN)
    people = (
        User.objects.filter(pk__in=here, teams__in=teams)
        .annotate(busy=Count("reviews_assigned", filter=open_now, distinct=True))
        .order_by("busy", "pk")
        .distinct()
    )
    return [user for user in people if voters.person_key(user) not in barred and user.pk != review.decided_by_id]


def waiting_for(membership: Membership, case_id: int) -> SecondOpinion | None:
    """The opinion for which a case is veiled from this member: one they were asked for and have not given."""
    if case_id not in veiled_cases(membership):
        return None
    mine, person = Q(asked=membership.user_id), membership.user.person_id
    if person is not None:
        mine |= Q(asked__person=person)
    owed = SecondOpinion.objects.open().filter(
        mine, review__case_id=case_id, organization_id=membership.organization_id
    )
    return owed.order_by("pk").first()


def blind_cases() -> QuerySet[SecondOpinion, Any]:
    """The keys of the cases whose outcome a membership must not see yet, however many accounts the person has.

    A case that waits to be decided anew is shown: whoever may decide it has to see it. Nothing is kept from somebody
    who lost the right to answer.
    """
    undecided = Review.objects.filter(case=OuterRef("review__case")).exclude(state__in=REVIEW_FINAL)
    answerable = Membership.objects.active().filter(
        user=OuterRef("asked"), organization=OuterRef("organization"), role__in=roles_with(Permission.DECIDE)
    )
    mine = Q(asked=OuterRef("user")) | Q(asked__person=OuterRef("user__person"))
    owed = SecondOpinion.objects.open().filter(mine, Exists(answerable), organization=OuterRef("organization"))
    return owed.exclude(Exists(undecided)).order_by().values("review__case")


@transaction.atomic
def answer(look_id: int, *, by: User, verdict: Verdict, rationale: Rationale) -> SecondOpinion:
    """Say how one would have decided. Raises AlreadyDecided, NotAVoter, RationaleMissing.

    Where that is another verdict the managers are told; the case and what was done for it stay as they are.
    """
    look = (
        SecondOpinion.objects.select_for_update(of=("self",))
        .select_related("review__case", "review__decided_by", "asked")
        .get(pk=look_id)
    )
    if look.state != SecondOpinionState.OPEN:
        raise AlreadyDecided("You have answered this second opinion already.")
    if look.asked_id != by.pk or not voters.holds_right(by, look.organization_id):
        raise NotAVoter("Somebody else was asked for this second opinion.")
    code = rationale.code
    if code.organization_id != look.organization_id or code.verdict != verdict or not code.enabled:
        raise RationaleMissing("Choose a reason from the list.")
    agrees = look.review.state == _DECIDED_AS[verdict]
    look.move_to(
        SecondOpinionState.AGREED if agrees else SecondOpinionState.DISAGREED,
        verdict=verdict, reason_code=code, text=rationale.text, answered_at=clock.now(),
    )  # fmt: skip
    record(
        "approvals.second_opinion.given",
        actor=Actor.person(by),
        organization_id=look.organization_id,
        subject=("second_opinion", look.pk),
        case_id=look.review.case_id,
        after={"verdict": verdict, "code": code.code, "agrees": agrees},
        reason=f"{code.label}. {rationale.text}".strip(),
    )
    if not agrees:
        _tell_managers(look)
    return look


def _tell_managers(look: SecondOpinion) -> None:
    review, case = look.review, look.review.case
    managers = User.objects.filter(
        is_active=True,
        memberships__organization_id=look.organization_id,
        memberships__ended_at=None,
        memberships__role__in=_MANAGING,
    )
    notices.tell(
        list(managers.exclude(pk=look.asked_id)),
        case=case,
        topic=f"second-opinion:{look.pk}",
        subject=f"{case} would have been decided differently",
        body=f"{review.decided_by} decided {case}: {review.get_state_display().lower()}.\n"
        f"{look.asked} looked at it without knowing, and would have said: {look.get_verdict_display().lower()}.\n"
        f"{look.reason_code}. {look.text}\nWhat was done stands. Talk about it.",
        path=reverse("approvals:case", args=[case.pk]),
    )


def agreement(membership: Membership) -> Agreement:
    """Of the organization, over the last ninety days; one statement."""
    rows = SecondOpinion.objects.filter(
        organization_id=membership.organization_id, answered_at__gte=clock.now() - LATELY
    ).aggregate(answered=Count("pk"), agreed=Count("pk", filter=Q(state=SecondOpinionState.AGREED)))
    return Agreement(rows["answered"], rows["agreed"])


def disagreements(membership: Membership, *, most: int = 30) -> QuerySet[SecondOpinion]:
    """What was decided and would have been decided differently, the latest first; for managers."""
    rows = SecondOpinion.objects.filter(
        organization_id=membership.organization_id,
        state=SecondOpinionState.DISAGREED,
        answered_at__gte=clock.now() - LATELY,
    )
    related = ("review__case", "review__decided_by", "asked", "reason_code")
    return unveiled(rows, membership, "review__case").select_related(*related).order_by("-answered_at")[:most]
