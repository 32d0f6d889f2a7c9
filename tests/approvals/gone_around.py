"""What tests of ways around consent begin with, and what none of them may bring about."""

from typing import Any

from approvals.models import Review
from integrations.models import Action, Payment
from tests.plugins.line import Line, open_review_of
from workflows.tasks import tick

APPROVE, ACT = 2, 3  # positions of the steps that ask for consent and that act


def waiting(line: Line, **said: Any) -> Review:
    """A case that waits for one person of the team."""
    case = line.ask("141.48", **said)
    tick()
    return open_review_of(case)


def nothing_moved(line: Line) -> bool:
    """No intent, nothing held, and nothing at the gateway."""
    held = Payment.objects.exclude(reserved_minor=0).exists()
    return not Action.objects.exists() and not held and line.refunds() == []
