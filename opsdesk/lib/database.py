"""What the database's troubles mean."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from django.db import Error, InterfaceError, OperationalError

Result = TypeVar("Result")
MOST_TRIES = 3
# Seconds before another try, at most: whoever was in the way needs a moment.
_PAUSE = 0.1

# Deadlock, serialization failure, lock time-out, statement time-out.
_ASKS_FOR_ANOTHER_TRY = frozenset({"40P01", "40001", "55P03", "57014"})


def is_busy(error: BaseException) -> bool:
    """Whether the database only asks for another try."""
    return getattr(error.__cause__, "sqlstate", None) in _ASKS_FOR_ANOTHER_TRY


def patiently(act: Callable[[], Result]) -> Result:
    """Do one whole transaction, again while the database only asks for that, three times at most; raises the last."""
    for _ in range(MOST_TRIES - 1):
        try:
            return act()
        except Error as refusal:
            if not is_busy(refusal):
                raise
        time.sleep(random.uniform(0, _PAUSE))  # noqa: S311 - nobody has to guess it
    return act()


def is_lost(error: BaseException) -> bool:
    """Whether the connection to the database is gone: nothing more can be done with it now."""
    return isinstance(error, OperationalError | InterfaceError) and not is_busy(error)
