"""Refusals and troubles of the engine."""

from datetime import timedelta

from opsdesk.lib.errors import DomainError
from workflows.states import FailureKind


class Unpublishable(DomainError):
    """A draft has something that could not run."""


class NotADraft(DomainError):
    """Only a draft can be edited, published or thrown away."""


class NotInForce(DomainError):
    """Only what is in force can be taken out of it."""


class ChangedMeanwhile(DomainError):
    """A draft no longer says what the person who publishes it has looked at."""


class NeedsSecondPerson(DomainError):
    """Who changed a draft last does not put it in force."""


class BadPack(DomainError):
    """A workflow pack cannot be read, or holds something that no workflow has."""


class NotRepairable(DomainError):
    """The run is in no state to be repaired."""

    message = "This run has not failed: there is nothing to repair."


class NotFitting(DomainError):
    """What a person wants to do with a run does not fit where the run stands."""


class Unreadable(DomainError):
    """An event's body cannot be understood; it is quarantined with the text as reason."""


class StepFailed(Exception):
    """A step could not do its work; `kind` steers whether it is tried again or shown to a person."""

    def __init__(
        self,
        kind: FailureKind,
        message: str,
        *,
        retry_after: timedelta | None = None,
        connection: str = "",
        operation: str = "",
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.retry_after = retry_after
        self.connection = connection
        self.operation = operation

    @property
    def waits_on(self) -> str:
        """The connection and the operation that failed, as a waiting run names them."""
        return f"{self.connection}/{self.operation}" if self.operation else ""
