"""Refusals and troubles of the outside."""

from datetime import timedelta
from typing import TYPE_CHECKING

from opsdesk.lib.errors import DomainError
from workflows.states import FailureKind

if TYPE_CHECKING:
    from integrations.models import Call


class CallFailed(Exception):
    """A call brought no usable answer.

    `kind` steers what follows; `effect_possible` is True whenever the other side may have acted all the same
    (answer lost, 5xx): only the same key or a look-up may then go on. `call` is the unsaved log row.
    """

    def __init__(
        self,
        kind: FailureKind,
        message: str,
        *,
        effect_possible: bool,
        retry_after: timedelta | None = None,
        call: "Call | None" = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.effect_possible = effect_possible
        self.retry_after = retry_after
        self.call = call


class NobodyKnows(CallFailed):
    """Whether an effect happened can be found out neither by its key nor by a look-up: a person has to ask."""

    def __init__(self, message: str) -> None:
        super().__init__(FailureKind.DATA, message, effect_possible=True)


class AddressRefused(DomainError):
    """An outbound address is not one the desk may call."""


class TooManyChannels(DomainError):
    """There are as many channels as one may have."""

    message = "There are as many channels as there may be: take one away first."


class NotAuthorized(DomainError):
    """No authorization covers this case, content, amount and payment."""

    message = "No authorization covers this refund as it stands now."


class NotReversible(DomainError):
    """What was done cannot be taken back, not any more, or not a second time."""


class NotEnoughLeft(DomainError):
    """The payment has less left than should go back."""
