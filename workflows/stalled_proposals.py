"""Changes that wait for another person, for the board: the room they belong to is below it."""

from datetime import datetime, timedelta
from typing import Any

from django.db.models import F, QuerySet
from django.urls import reverse

from accounts import proposals
from accounts.models import Membership, Proposal
from accounts.states import ProposalState
from workflows.waits import Help, Look, Waiting, WaitingKind, add_waiting_kind

# Within this somebody will have read what was proposed.
UNREAD_LONG = timedelta(days=1)


def _open(look: Look) -> QuerySet[Any]:
    """Proposals that nobody put in force or threw away, for whoever could and whoever made them."""
    rows = Proposal.objects.visible_to(look.member).filter(state=ProposalState.OPEN)
    late = rows if look.everything else rows.filter(proposed_at__lt=look.now - UNREAD_LONG)
    return late.select_related("proposed_by__person").defer("form").order_by("proposed_at", "pk")


def _tell(row: Proposal, look: Look) -> Waiting:
    page = reverse("admin:accounts_proposal_change", args=[row.pk])
    own = bool(proposals.why_not(row, look.member.user))
    return Waiting(
        title=row.title,
        url=page,
        detail=f"change of {proposals.kind_of(row)}",
        reason=f"{row.proposed_by} proposed it: {row.reason} Another person puts it in force.",
        since=row.proposed_at,
        help=Help("Look at it" if own else "Put in force or discard", page),
        owner=row.proposed_by,
    )


def _ended(member: Membership, since: datetime, sort: str) -> QuerySet[Any, Any]:
    rows = Proposal.objects.visible_to(member).filter(ended_at__gte=since)
    return rows.order_by("-pk").values(took=F("ended_at") - F("proposed_at"))


def register() -> None:
    """Have the board show these."""
    add_waiting_kind(
        WaitingKind("proposals", "Changes for a second person", "users", UNREAD_LONG, _open, _tell, _ended)
    )
