"""What was sent outside for a case, as its page shows it: how it stands, and how it could be taken back."""

from collections.abc import Sequence
from dataclasses import dataclass

from integrations.models import Action, Reversal
from integrations.reversing.offers import Offer, declaration_of, offers
from integrations.reversing.standing import of_actions
from integrations.states import REVERSAL_STANDING, ActionState, ReversalState, Way
from workflows.models import Case

_TONES: dict[str, str] = {
    ActionState.VERIFIED: "ok",
    ActionState.FAILED: "danger",
    ActionState.MISMATCHED: "danger",
    ActionState.UNKNOWN: "warn",
}
_LABELS = {Way.TAKE_BACK: "Take back", Way.ASK_BACK: "Ask back"}


@dataclass(frozen=True, slots=True)
class Sent:
    """One action. `reversal` is the newest that was asked for it."""

    action: Action
    tone: str
    reversal: Reversal | None
    offered: Sequence[Offer]

    @property
    def state(self) -> tuple[str, str]:
        """How it stands, and the tone of that; what was taken back is neither verified any more nor in trouble."""
        taken_back = self.reversal is not None and self.reversal.way == Way.TAKE_BACK
        if self.reversal is not None and taken_back and self.reversal.state == ReversalState.DONE:
            return "Taken back", "warn"
        return self.action.get_state_display(), self.tone

    @property
    def open_offers(self) -> list[tuple[str, str, str]]:
        """What can be asked for now: way, button, and what it comes to."""
        return [
            (offer.way, f"{_LABELS[Way(offer.way)]} {self._what}", self._words(offer))
            for offer in self.offered
            if offer.possible
        ]

    @property
    def refusals(self) -> list[str]:
        """Why it cannot be taken back, or its money not be asked for; a reversal that stands says so itself."""
        if self.reversal is not None and self.reversal.state in REVERSAL_STANDING:
            return []
        return [offer.refusal for offer in self.offered if not offer.possible]

    @property
    def _what(self) -> str:
        return str(self.action.amount) if self.action.amount else f"“{self.action.operation}”"

    def _words(self, offer: Offer) -> str:
        if offer.way == Way.ASK_BACK:
            name = offer.connection.name if offer.connection else ""
            return f"{name} is told to ask the customer. Whether the money comes back, the desk cannot see."
        declared = declaration_of(self.action)
        return f"It is taken back {declared.reversal.in_words}" if declared is not None else ""


def sent_of(case: Case, actions: Sequence[Action]) -> list[Sent]:
    """The actions of a case with what may be done about each."""
    asked = of_actions([action.pk for action in actions]) if actions else {}
    found = []
    for action in actions:
        action.case = case
        reversal = asked.get(action.pk)
        found.append(Sent(action, _TONES.get(action.state, ""), reversal, offers(action, reversal)))
    return found
