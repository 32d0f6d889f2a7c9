"""State machines of the outside: actions and notices."""

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


class NoticeState(models.TextChoices):
    DUE = "due", "Due"
    DELIVERED = "delivered", "Delivered"
    FAILED = "failed", "Not delivered"


NOTICE_MOVES: Mapping[str, frozenset[str]] = {
    NoticeState.DUE: frozenset({NoticeState.DELIVERED, NoticeState.FAILED}),
    NoticeState.DELIVERED: frozenset(),
    NoticeState.FAILED: frozenset(),
}
