"""State machines of the outside: actions, breakers and notices."""

from collections.abc import Mapping

from django.db import models


class ActionState(models.TextChoices):
    RESERVED = "reserved", "Ready to send"
    SENDING = "sending", "Being sent"
    UNKNOWN = "unknown", "Answer lost"
    SUCCEEDED = "succeeded", "Accepted, not verified"
    VERIFIED = "verified", "Verified"
    MISMATCHED = "mismatched", "Verification differs"
    FAILED = "failed", "Refused"


# An intent is born reserved: authorization and reservation are checked in the transaction that creates it.
# A lost answer is `unknown`, never failed; only the same key, a look-up or news from outside leads out of it.
ACTION_MOVES: Mapping[str, frozenset[str]] = {
    ActionState.RESERVED: frozenset({ActionState.SENDING, ActionState.FAILED}),
    ActionState.SENDING: frozenset(
        {ActionState.RESERVED, ActionState.SUCCEEDED, ActionState.UNKNOWN, ActionState.FAILED}
    ),
    ActionState.UNKNOWN: frozenset({ActionState.SENDING, ActionState.SUCCEEDED, ActionState.FAILED}),
    ActionState.SUCCEEDED: frozenset({ActionState.VERIFIED, ActionState.MISMATCHED}),
    ActionState.VERIFIED: frozenset(),
    ActionState.MISMATCHED: frozenset({ActionState.VERIFIED}),
    ActionState.FAILED: frozenset(),
}
# A try that sends and reads back is written once, when both have come back.
ACTION_WRITTEN_AT_ONCE = (
    (ActionState.SENDING, ActionState.VERIFIED),
    (ActionState.SENDING, ActionState.MISMATCHED),
)
ACTION_IN_DOUBT = frozenset({ActionState.SENDING, ActionState.UNKNOWN})


class Way(models.TextChoices):
    """How what was done is met: undone, or, where nothing can undo it, its money asked back."""

    TAKE_BACK = "take_back", "taken back"
    ASK_BACK = "ask_back", "asked back"


class ReversalState(models.TextChoices):
    ASKED = "asked", "Asked for"
    DONE = "done", "Done"
    REFUSED = "refused", "Refused"
    FAILED = "failed", "Could not be done"


# People refuse it, or its time runs out; the other side refuses it. After either, another one may be asked for.
REVERSAL_MOVES: Mapping[str, frozenset[str]] = {
    ReversalState.ASKED: frozenset({ReversalState.DONE, ReversalState.REFUSED, ReversalState.FAILED}),
    ReversalState.DONE: frozenset(),
    ReversalState.REFUSED: frozenset(),
    ReversalState.FAILED: frozenset(),
}
REVERSAL_STANDING = frozenset({ReversalState.ASKED, ReversalState.DONE})


class BreakerState(models.TextChoices):
    CLOSED = "closed", "Closed: calls go out"
    OPEN = "open", "Open: calls are held"
    HALF_OPEN = "half_open", "Half-open: one call finds out"


# Calls decide open → half-open → closed or open again; staff may force it open or closed from wherever it is.
BREAKER_MOVES: Mapping[str, frozenset[str]] = {
    BreakerState.CLOSED: frozenset({BreakerState.OPEN}),
    BreakerState.OPEN: frozenset({BreakerState.HALF_OPEN, BreakerState.CLOSED}),
    BreakerState.HALF_OPEN: frozenset({BreakerState.CLOSED, BreakerState.OPEN}),
}


class NoticeState(models.TextChoices):
    DUE = "due", "Queued"
    SENT = "sent", "Sent, arrival not confirmed"
    DELIVERED = "delivered", "Delivered"
    RETRYING = "retrying", "Failed, tried again"
    FAILED = "failed", "Given up"


# Where the channel confirms, a notice is delivered; where it only takes the message, it is sent and no more is known.
# One that was given up goes out again when a person says so.
NOTICE_MOVES: Mapping[str, frozenset[str]] = {
    NoticeState.DUE: frozenset({NoticeState.SENT, NoticeState.DELIVERED, NoticeState.RETRYING, NoticeState.FAILED}),
    NoticeState.RETRYING: frozenset(
        {NoticeState.SENT, NoticeState.DELIVERED, NoticeState.RETRYING, NoticeState.FAILED}
    ),
    NoticeState.SENT: frozenset(),
    NoticeState.DELIVERED: frozenset(),
    NoticeState.FAILED: frozenset({NoticeState.DUE}),
}
NOTICE_WAITING = frozenset({NoticeState.DUE, NoticeState.RETRYING})


class ReconciliationState(models.TextChoices):
    DUE = "due", "Due"
    RUNNING = "running", "Being compared"
    DONE = "done", "Done"
    FAILED = "failed", "Could not be read"


# A connection has at most one under way; one whose worker died, or whose gateway was away, is due again.
RECONCILIATION_MOVES: Mapping[str, frozenset[str]] = {
    ReconciliationState.DUE: frozenset({ReconciliationState.RUNNING}),
    ReconciliationState.RUNNING: frozenset(
        {ReconciliationState.DUE, ReconciliationState.DONE, ReconciliationState.FAILED}
    ),
    ReconciliationState.DONE: frozenset(),
    ReconciliationState.FAILED: frozenset(),
}


class BreakState(models.TextChoices):
    OPEN = "open", "Open"
    SETTLED = "settled", "Settled by a person"
    GONE = "gone", "No longer differs"
    RECORDED = "recorded", "Recorded as it is"


BREAK_MOVES: Mapping[str, frozenset[str]] = {
    BreakState.OPEN: frozenset({BreakState.SETTLED, BreakState.GONE}),
    BreakState.SETTLED: frozenset(),
    BreakState.GONE: frozenset(),
    # Written once, when an effect of ours was found that the database did not know to be done.
    BreakState.RECORDED: frozenset(),
}


class BreakKind(models.TextChoices):
    """In what the gateway and the desk differ about a refund."""

    MISSING_HERE = "missing_here", "The desk does not know it"
    MISSING_THERE = "missing_there", "The gateway does not know it"
    AMOUNT = "amount", "Another amount"
    CURRENCY = "currency", "Another currency"
    STATUS = "status", "Another outcome"
    LOST_INTENT = "lost_intent", "Made under a key of the desk that it does not count"
    NOT_DONE_HERE = "not_done_here", "Done at the gateway, not yet done for the desk"


class Remedy(models.TextChoices):
    """What a person does about a break."""

    TAKE_OVER = "take_over", "Take over what the gateway shows"
    IT_WAS = "it_was", "It was for this case: let the case go on after it"
    LEAVE = "leave", "Leave it as it is: it is settled elsewhere"


class HoldKind(models.TextChoices):
    """What keeps work from going out."""

    OFF = "off", "switched off"
    PAUSED = "paused", "sending is paused"
    OPERATION_OFF = "operation_off", "operation switched off"
    WINDOW = "window", "maintenance"
    BREAKER = "breaker", "breaker open"
    QUIET = "quiet", "asked to stay away"
    LIMIT = "limit", "limit reached"
    BUDGET = "budget", "retry budget used up"
