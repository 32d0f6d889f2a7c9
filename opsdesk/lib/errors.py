"""The refusals of the desk: each says in words what was refused and what to do."""


class DomainError(Exception):
    """A rule of the desk refused; the text is meant for the person who asked."""

    message = "That is not possible."

    def __init__(self, message: str = "") -> None:
        super().__init__(message or self.message)

    def __str__(self) -> str:
        return str(self.args[0])


class IllegalMove(DomainError):
    """A state machine was asked for a move its table does not have."""
