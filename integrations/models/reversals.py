"""Taking back what was done outside: each is a case of its own, names its original, and is the only one of it."""

from typing import Any, ClassVar, Self

import pgtrigger
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import Membership, Organization, User
from accounts.veils import unveiled
from integrations.models.actions import Action
from integrations.models.connections import Connection
from integrations.states import REVERSAL_MOVES, REVERSAL_STANDING, ReversalState, Way
from opsdesk.lib.states import Movable, known_states, only_listed_moves
from workflows.models import Authorization, Case


class ReversalQuerySet(models.QuerySet["Reversal"]):
    def visible_to(self, membership: Membership) -> Self:
        """Reversals of the member's own organization, but of what veiled cases did, and by veiled cases."""
        ours = unveiled(self.filter(organization_id=membership.organization_id), membership)
        return unveiled(ours, membership, "original__case")

    def standing(self) -> Self:
        """Those that were asked for or carried out: beside one of them there is no other."""
        return self.filter(state__in=sorted(REVERSAL_STANDING))


class Reversal(Movable):
    """One action that is to be taken back, or whose money is asked back where nothing can take it back."""

    MOVES = REVERSAL_MOVES

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+", db_index=False)
    original = models.ForeignKey(Action, on_delete=models.PROTECT, related_name="reversals")
    case = models.OneToOneField(Case, on_delete=models.PROTECT, related_name="reversal")
    way = models.CharField(max_length=9, choices=Way)
    connection = models.ForeignKey(Connection, on_delete=models.PROTECT, related_name="+", db_index=False)
    operation = models.CharField(max_length=40, help_text="What carries it out over the connection.")
    state = models.CharField(max_length=7, choices=ReversalState, default=ReversalState.ASKED, editable=False)
    reason = models.CharField(max_length=200)
    asked_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+", db_index=False)
    asked_at = models.DateTimeField(db_default=Now())
    # Both are written in the transaction that plans it: nothing is taken back without consent to just that.
    authorization = models.OneToOneField(Authorization, on_delete=models.PROTECT, null=True, related_name="reversal")
    action = models.OneToOneField(Action, on_delete=models.PROTECT, null=True, related_name="reverses")
    outcome = models.CharField(max_length=300, blank=True, help_text="What came of it, in words.")
    ended_at = models.DateTimeField(null=True)

    objects: ClassVar[ReversalQuerySet] = ReversalQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ["-pk"]
        constraints = [
            known_states("integrations_reversal_known_state", ReversalState),
            models.CheckConstraint(name="integrations_reversal_known_way", condition=Q(way__in=Way.values)),
            models.UniqueConstraint(
                name="integrations_reversal_one_per_action",
                fields=["original"],
                condition=Q(state__in=sorted(REVERSAL_STANDING)),
            ),
            models.CheckConstraint(
                name="integrations_reversal_acts_with_authorization",
                condition=Q(action=None, authorization=None) | Q(action__isnull=False, authorization__isnull=False),
            ),
            models.CheckConstraint(
                name="integrations_reversal_done_by_an_action",
                condition=~Q(state=ReversalState.DONE) | Q(action__isnull=False),
            ),
            models.CheckConstraint(
                name="integrations_reversal_ended_at_iff_over",
                condition=Q(state=ReversalState.ASKED, ended_at=None)
                | (~Q(state=ReversalState.ASKED) & Q(ended_at__isnull=False)),
            ),
            models.CheckConstraint(
                name="integrations_reversal_is_another_action", condition=~Q(action=models.F("original"))
            ),
        ]
        triggers = [
            only_listed_moves(REVERSAL_MOVES),
            pgtrigger.Protect(
                name="names_its_original_for_good",
                operation=pgtrigger.UpdateOf(
                    "original_id", "case_id", "way", "connection_id", "operation", "reason", "asked_by_id"
                ),
            ),
            pgtrigger.Protect(name="never_removed", operation=pgtrigger.Delete),
        ]

    def __str__(self) -> str:
        return f"reversal of action {self.original_id} by CASE-{self.case_id}"

    @property
    def words(self) -> str:
        """How it stands, as a sentence."""
        case = f"CASE-{self.case_id}"
        return _WORDS[Way(self.way), ReversalState(self.state)].format(case=case)


_WORDS: dict[tuple[Any, Any], str] = {
    (Way.TAKE_BACK, ReversalState.ASKED): "It is being taken back by {case}.",
    (Way.TAKE_BACK, ReversalState.DONE): "It was taken back by {case}.",
    (Way.TAKE_BACK, ReversalState.REFUSED): "{case} was to take it back, and was refused.",
    (Way.TAKE_BACK, ReversalState.FAILED): "{case} was to take it back, which could not be done.",
    (Way.ASK_BACK, ReversalState.ASKED): "The money is being asked back by {case}.",
    (Way.ASK_BACK, ReversalState.DONE): "The money was asked back by {case}; whether it comes, the desk cannot see.",
    (Way.ASK_BACK, ReversalState.REFUSED): "{case} was to ask the money back, and was refused.",
    (Way.ASK_BACK, ReversalState.FAILED): "{case} was to ask the money back, which could not be done.",
}
