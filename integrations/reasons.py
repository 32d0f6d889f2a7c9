"""Why somebody switches something: asked for each switch, kept in the audit log."""

from opsdesk.lib.errors import DomainError

LONGEST_REASON = 200


class NothingToSwitch(DomainError):
    """Somebody else was first."""


class ReasonMissing(DomainError):
    """The audit log keeps why."""

    message = "Say why in a few words."


def checked(reason: str) -> str:
    """The reason as it is kept; raises ReasonMissing."""
    words = reason.strip()[:LONGEST_REASON]
    if not words:
        raise ReasonMissing
    return words
