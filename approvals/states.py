"""The state machines of a review and of a question, and its timers. Read them as “from this state to any of these”."""

from collections.abc import Mapping

from django.db import models


class ReviewState(models.TextChoices):
    OPEN = "open", "Waiting for a decision"
    ASKED = "asked", "Waiting for an answer"
    APPROVING = "approving", "Approved, can be taken back"
    REJECTING = "rejecting", "Rejected, can be taken back"
    APPROVED = "approved", "Approved"
    REJECTED = "rejected", "Rejected"
    VOID = "void", "No longer needed"


REVIEW_FINAL = frozenset({ReviewState.APPROVED, ReviewState.REJECTED, ReviewState.VOID})
REVIEW_MOVES: Mapping[str, frozenset[str]] = {
    # The last vote opens a short window for second thoughts; only the objection timer approves directly.
    ReviewState.OPEN: frozenset(
        {ReviewState.ASKED, ReviewState.APPROVING, ReviewState.REJECTING, ReviewState.APPROVED, ReviewState.VOID}
    ),
    # While the requester is asked, nothing is decided and no clock runs.
    ReviewState.ASKED: frozenset({ReviewState.OPEN, ReviewState.VOID}),
    ReviewState.APPROVING: frozenset({ReviewState.APPROVED, ReviewState.OPEN, ReviewState.VOID}),
    ReviewState.REJECTING: frozenset({ReviewState.REJECTED, ReviewState.OPEN, ReviewState.VOID}),
    ReviewState.APPROVED: frozenset(),
    ReviewState.REJECTED: frozenset(),
    ReviewState.VOID: frozenset(),
}


class SecondOpinionState(models.TextChoices):
    OPEN = "open", "Not answered yet"
    AGREED = "agreed", "Decided the same way"
    DISAGREED = "disagreed", "Decided differently"


# Answered once; what was decided stands either way.
SECOND_OPINION_MOVES: Mapping[str, frozenset[str]] = {
    SecondOpinionState.OPEN: frozenset({SecondOpinionState.AGREED, SecondOpinionState.DISAGREED}),
    SecondOpinionState.AGREED: frozenset(),
    SecondOpinionState.DISAGREED: frozenset(),
}


class QuestionState(models.TextChoices):
    OPEN = "open", "Waits for an answer"
    ANSWERED = "answered", "Answered"
    WITHDRAWN = "withdrawn", "No longer asked"


QUESTION_MOVES: Mapping[str, frozenset[str]] = {
    QuestionState.OPEN: frozenset({QuestionState.ANSWERED, QuestionState.WITHDRAWN}),
    QuestionState.ANSWERED: frozenset(),
    QuestionState.WITHDRAWN: frozenset(),
}


class Verdict(models.TextChoices):
    APPROVE = "approve", "Approve"
    REJECT = "reject", "Reject"


class Timer(models.TextChoices):
    """What time does to a review; the label begins the sentence that says that it broke."""

    SETTLE = "settle", "Carrying the decision out"
    LEAVE = "leave", "Letting it leave"
    WINDOW = "window", "Starting its clock"
    UNTOLD = "untold", "Asking people, since no notice arrived,"
    WAKE = "wake", "Putting it back into the queue"
    GIVE = "give", "Giving it to somebody"
    LADDER = "ladder", "Its ladder"
