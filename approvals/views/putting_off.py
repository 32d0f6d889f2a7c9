"""Putting a review off, having it back, and giving it to somebody else, from the case."""

from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.views.decorators.http import require_POST

from accounts.access import requires
from accounts.models import Team, User
from accounts.roles import Permission
from approvals import services, snoozing
from approvals.errors import NotAVoter
from approvals.models import Review
from approvals.views.deciding import review_of
from approvals.views.evidence import open_file
from approvals.views.showing import listing_of, show_case, show_next, show_or_return
from opsdesk.lib.errors import DomainError
from opsdesk.lib.requests import OpsRequest


@require_POST
@requires(Permission.DECIDE)
def snooze(request: OpsRequest, pk: int) -> HttpResponse:
    """Keep it out of the queue for a while; beside the queue the next case opens."""
    review, listing = review_of(request, pk), listing_of(request)
    try:
        until = snoozing.until_of(review, request.POST.get("until", ""))
        done = snoozing.snooze(review.pk, by=request.user, until=until, on_news="on_news" in request.POST)
    except DomainError as refused:
        return _refused(request, pk, refused)
    said = f"Put off {done.case}."
    return show_next(request, listing, done, said) if listing else show_or_return(request, pk, said)


@require_POST
@requires(Permission.DECIDE)
def wake(request: OpsRequest, pk: int) -> HttpResponse:
    """Have it back in the queue now."""
    try:
        snoozing.wake(review_of(request, pk).pk, by=request.user)
    except DomainError as refused:
        return _refused(request, pk, refused)
    return show_or_return(request, pk, "It is back in the queue.")


@require_POST
@requires(Permission.SEE_DESK)
def give(request: OpsRequest, pk: int) -> HttpResponse:
    """Give it to a colleague, or to somebody of a team: managers anything, others what is theirs or nobody's."""
    review, member = review_of(request, pk), request.membership
    theirs = member.may(Permission.DECIDE) and review.assignee_id in (None, member.user_id)
    if not (theirs or member.may(Permission.MANAGE)):
        raise PermissionDenied
    try:
        done = services.reassign(review.pk, to=_taker(review, request.POST.get("to", "")), by=request.user)
    except DomainError as refused:
        return _refused(request, pk, refused)
    return show_or_return(request, pk, f"{done.assignee} has {done.case} now.")


def _taker(review: Review, value: str) -> User | Team:
    """The colleague or the team that a choice means. Raises NotAVoter for anybody else."""
    kind, _, key = value.partition("-")
    number = int(key) if key.isascii() and key.isdigit() and len(key) < 19 else 0
    found: User | Team | None
    if kind == "team":
        found = Team.objects.filter(organization_id=review.organization_id, pk=number).first()
    else:
        people = User.objects.filter(memberships__organization_id=review.organization_id, memberships__ended_at=None)
        found = people.filter(pk=number).first()
    if found is None:
        raise NotAVoter("Choose a colleague or a team.")
    return found


def _refused(request: OpsRequest, pk: int, refused: DomainError) -> HttpResponse:
    file = open_file(request.membership, pk)
    return show_case(request, file, status=409, listing=listing_of(request), refusal=str(refused))
