"""Nothing is called outside while a transaction is open: every test that calls anything is a proof of it.

A call that waits holds the row locks of its transaction for as long, and what it did stands when that is rolled back.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import wraps
from typing import Any

import pytest
from django.core.mail import EmailMessage
from django.db import connections


class CalledInTransaction(BaseException):
    """No Exception, so that nothing which keeps one case's trouble from another can swallow it."""


def in_transaction() -> bool:
    """Whether this thread has a transaction open, not counting the one that a test is wrapped in."""
    return any(
        not block._from_testcase
        for connection in connections.all(initialized_only=True)
        for block in connection.atomic_blocks
    )


def outside_transactions(call: Callable[..., Any], what: str) -> Callable[..., Any]:
    """The same call, refused while a transaction is open."""

    @wraps(call)
    def guarded(*args: Any, **options: Any) -> Any:
        if in_transaction():
            raise CalledInTransaction(f"{what} while a transaction is open.")
        return call(*args, **options)

    return guarded


@pytest.fixture(scope="session", autouse=True)
def _no_call_in_a_transaction() -> Iterator[None]:
    from integrations.http import door, lent

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(door, "exchange", outside_transactions(door.exchange, "An HTTP call"))
        patch.setattr(lent, "exchange", outside_transactions(lent.exchange, "A chat message"))
        patch.setattr(EmailMessage, "send", outside_transactions(EmailMessage.send, "A mail"))
        # Threads that call have no connection of their own: whoever starts them must not wait in a transaction.
        submit = outside_transactions(ThreadPoolExecutor.submit, "Work for other threads")
        patch.setattr(ThreadPoolExecutor, "submit", submit)
        yield
