"""The state machine of a proposal. Read the table as “from this state you may go to any of these”."""

from collections.abc import Mapping

from django.db import models


class ProposalState(models.TextChoices):
    OPEN = "open", "Waits for another person"
    IN_FORCE = "in_force", "Put in force"
    DISCARDED = "discarded", "Thrown away"


PROPOSAL_MOVES: Mapping[str, frozenset[str]] = {
    ProposalState.OPEN: frozenset({ProposalState.IN_FORCE, ProposalState.DISCARDED}),
    ProposalState.IN_FORCE: frozenset(),
    ProposalState.DISCARDED: frozenset(),
}
