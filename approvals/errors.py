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


class AboveCeiling(NotAVoter):
    """The case is above what this person may decide."""

    message = "This is above what you may decide: somebody else has to."


class DayUsedUp(DomainError):
    """One person has approved as much today as one person may."""


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


class WrongAmount(DomainError):
    """Less can be approved than is asked, never more, and never nothing."""


class BadMoment(DomainError):
    """A review cannot be put off until then."""


class NotTogether(DomainError):
    """A case that is decided one by one, not in a bulk."""


class NotAsked(DomainError):
    """There is no question that waits for this answer: answered, no longer asked, too late, or never there."""

    message = "This question no longer waits for an answer."


class NothingSaid(DomainError):
    """A question, an answer or a comment without words."""


class TooLate(DomainError):
    """The window for taking a decision back has passed."""

    message = "It can no longer be taken back: the decision has taken effect."


class HeldByAnother(DomainError):
    """Somebody else has it open to decide it."""

    message = "Somebody else has this case open: take it over first."


class AbsenceRefused(DomainError):
    """Time off that cannot be agreed as it was entered."""
