"""Changes that wait for another person, as rows. What is done with them stands in proposals.py."""

from typing import Any, ClassVar, Self

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from accounts.roles import Permission
from accounts.states import PROPOSAL_MOVES, ProposalState
from opsdesk.lib.states import Movable, known_states, only_listed_moves

# What pages ask for whose changes may wait.
ASKED = (Permission.CONFIGURE, Permission.KEEP_AUDIT)


class ProposalQuerySet(models.QuerySet["Proposal"]):
    """Proposals."""

    def visible_to(self, membership: Any) -> Self:
        """Those of the organization that the member could put in force, were they of somebody else, and their own.

        All of it is done in the admin, so whose account does not open it sees none.
        """
        user = membership.user
        if not user.is_staff:
            return self.none()
        seen = Q(permission__in=[permission for permission in ASKED if membership.may(permission)])
        seen |= Q(proposed_by_id=user.pk)
        if user.person_id is not None:
            seen |= Q(proposed_by__person_id=user.person_id)
        return self.filter(seen, organization_id=membership.organization_id)


class Proposal(Movable):
    """A change of who may do what, or of what is asked of them, that waits for another person."""

    MOVES = PROPOSAL_MOVES

    organization = models.ForeignKey("accounts.Organization", on_delete=models.PROTECT, related_name="proposals")
    page = models.CharField(max_length=80, help_text="Model on whose page it was sent, such as accounts.membership.")
    permission = models.CharField(
        max_length=20,
        default=Permission.CONFIGURE,
        db_default=Permission.CONFIGURE,
        help_text="What whoever puts it in force must be allowed to do: what its page asks for.",
    )
    row_id = models.BigIntegerField(null=True, help_text="The row that changes; empty for a new one.")
    title = models.CharField(max_length=200, help_text="The row in words, as it would be.")
    form = models.JSONField(help_text="What was sent, value by value; emptied when it is closed.")
    stamp = models.CharField(max_length=64, help_text="Fingerprint of the row as it was.")
    before = models.JSONField()
    after = models.JSONField()
    reason = models.CharField(max_length=500)
    proposed_by = models.ForeignKey("accounts.User", on_delete=models.PROTECT, related_name="+")
    proposed_at = models.DateTimeField(db_default=Now())
    state = models.CharField(max_length=10, choices=ProposalState, default=ProposalState.OPEN, editable=False)
    ended_by = models.ForeignKey("accounts.User", on_delete=models.PROTECT, null=True, related_name="+")
    ended_at = models.DateTimeField(null=True)

    objects: ClassVar[ProposalQuerySet] = ProposalQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ["-pk"]
        constraints = [
            known_states("accounts_proposal_known_state", ProposalState),
            models.CheckConstraint(
                name="accounts_proposal_known_permission", condition=Q(permission__in=[each.value for each in ASKED])
            ),
            models.CheckConstraint(
                name="accounts_proposal_ended_by_somebody",
                condition=Q(state=ProposalState.OPEN, ended_at=None, ended_by=None)
                | (~Q(state=ProposalState.OPEN) & Q(ended_at__isnull=False, ended_by__isnull=False)),
            ),
            models.CheckConstraint(
                name="accounts_proposal_put_in_force_by_another",
                condition=~Q(state=ProposalState.IN_FORCE) | ~Q(ended_by=F("proposed_by")),
            ),
        ]
        triggers = [only_listed_moves(PROPOSAL_MOVES)]

    # Set when the page has taken the form once more.
    is_taken = False

    def __str__(self) -> str:
        return f"{self.title} (proposed by {self.proposed_by})"
