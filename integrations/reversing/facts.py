"""What is known about an action that is to be taken back, as facts that rules and people read."""

from typing import Any

from integrations.models import Reversal
from integrations.reversing.offers import declaration_of, offer_of
from integrations.states import Way
from opsdesk.lib import clock
from workflows.facts import FactType, declare, known

declare(
    FactType("original.operation", "text", "", "desk", "What was done that is to be taken back.", "What was done"),
    FactType("original.hours", "count", "hours", "desk", "Hours since the other side accepted it.", "Hours since"),
    FactType("reversal.way", "text", "", "desk", "Whether it is taken back, or its money asked back.", "Way"),
    FactType("reversal.extent", "text", "", "connector", "How much of it can be taken back.", "Taken back"),
    FactType("reversal.possible", "flag", "", "desk", "Whether that is still possible.", "Still possible"),
    FactType("reversal.cost", "text", "", "connector", "What the other side asks for it.", "Cost"),
)  # fmt: skip


def facts_of(reversal: Reversal) -> dict[str, Any]:
    """The facts of one reversal now."""
    action, now = reversal.original, clock.now()
    declared = declaration_of(action)
    since = action.succeeded_at or action.created_at
    taking_back = reversal.way == Way.TAKE_BACK and declared is not None
    found: dict[str, Any] = {
        "amount": known(reversal.case.amount_minor, "desk", now),
        "currency": known(reversal.case.currency, "desk", now),
        "original.operation": known(action.operation, "desk", now),
        "original.hours": known(int((now - since).total_seconds() // 3600), "desk", now),
        "reversal.way": known(reversal.get_way_display(), "desk", now),
        # Asked apart from this reversal itself, beside which there is no other.
        "reversal.possible": known(offer_of(action, Way(reversal.way), None).possible, "desk", now),
    }
    if taking_back and declared is not None:
        found["reversal.extent"] = known(declared.reversal.extent.label, "connector", now)
        found["reversal.cost"] = known(declared.reversal.cost_words, "connector", now)
    return found
