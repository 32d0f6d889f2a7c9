"""What the database's troubles mean."""

from django.db import InterfaceError, OperationalError

# Deadlock, serialization failure, lock time-out, statement time-out.
_ASKS_FOR_ANOTHER_TRY = frozenset({"40P01", "40001", "55P03", "57014"})


def is_busy(error: BaseException) -> bool:
    """Whether the database only asks for another try."""
    return getattr(error.__cause__, "sqlstate", None) in _ASKS_FOR_ANOTHER_TRY


def is_lost(error: BaseException) -> bool:
    """Whether the connection to the database is gone: nothing more can be done with it now."""
    return isinstance(error, OperationalError | InterfaceError) and not is_busy(error)
