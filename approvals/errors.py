"""Refusals of the approvals app: each is shown to the person in place."""

from opsdesk.lib.errors import DomainError


class AlreadyDecided(DomainError):
    """Somebody else was first."""

    message = "This case is already decided."


class SelfApproval(DomainError):
    """Four eyes: whoever asked for it, would get it, or changed its content does not vote."""

    message = "You asked for this or changed its content, so somebody else has to decide it."


class NotAVoter(DomainError):
    """The person is not in the team whose votes this stage needs."""

    message = "You are not in the team that decides this."


class VotedBefore(DomainError):
    """One person, one vote."""

    message = "You have already voted on this case."


class ContentChanged(DomainError):
    """The case is no longer what the person looked at."""

    message = "The case changed while you looked at it: read it again, then decide."


class RationaleMissing(DomainError):
    """The tier or the reason code asks for a sentence."""


class NothingToRefund(DomainError):
    """An approval would have no payment to send money back to."""

    message = "No payment is named, so there is nothing the money could go back to: correct the request, or reject it."


class TooLate(DomainError):
    """The window for taking a decision back has passed."""

    message = "It can no longer be taken back: the decision has taken effect."


class HeldByAnother(DomainError):
    """Somebody else has it open to decide it."""

    message = "Somebody else has this case open: take it over first."


class AbsenceRefused(DomainError):
    """Time off that cannot be agreed as it was entered."""
