"""Refusals of the accounts app."""

from opsdesk.lib.errors import DomainError


class NotAllowed(DomainError):
    """The person's role does not carry the permission."""

    message = "Your role does not allow that."
