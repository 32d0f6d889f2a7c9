"""B10, C4, C6: a database that is away, slow, or fails after it has committed. Never a 2xx without a row."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from cryptography.fernet import Fernet
from django.db import OperationalError, connection

from tests.integrations.senders import Reply, Sender, refund_requested
from workflows.models import Event

BODY = refund_requested()
# Deadlock, serialization failure, lock not available, statement cancelled.
TROUBLES = [
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
    psycopg.errors.LockNotAvailable,
    psycopg.errors.QueryCanceled,
]
pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def somebody_else() -> Iterator[psycopg.Connection[Any]]:
    """A second connection to the same database."""
    parameters = connection.get_connection_params()
    wanted = {"host", "port", "user", "password", "dbname"}
    with psycopg.connect(**{name: parameters[name] for name in wanted & set(parameters)}, autocommit=True) as other:
        yield other


def kill_our_connection() -> None:
    assert connection.connection is not None
    with somebody_else() as other:
        other.execute("SELECT pg_terminate_backend(%s)", [connection.connection.info.backend_pid])


def asks_to_come_again(reply: Reply) -> bool:
    return (reply.status, reply.headers["retry-after"]) == (503, "5") and "error" in reply.json


def test_a_connection_that_died_between_two_requests_is_replaced(shop: Sender):
    assert shop.send(BODY).status == 202
    kill_our_connection()

    assert shop.send(BODY).status == 202
    assert Event.objects.count() == 2


def test_without_a_database_the_sender_is_asked_to_come_again_at_once(
    shop: Sender, monkeypatch: pytest.MonkeyPatch, rings: list[str]
):
    connection.close()
    with monkeypatch.context() as away:
        away.setitem(connection.settings_dict, "HOST", "/nowhere/at/all")
        started = time.monotonic()
        replies = [shop.send(BODY, message="msg_1") for _ in range(3)]
        took = time.monotonic() - started

    assert all(asks_to_come_again(reply) for reply in replies)
    assert took < 2
    assert rings == []
    assert shop.send(BODY, message="msg_1").status == 202
    assert Event.objects.count() == 1


def failing(when: str, trouble: Callable[[], Exception]) -> Callable[..., Any]:
    """A fault in the database: statements that begin with `when` end in trouble."""

    def wrapper(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        if sql.strip().startswith(when):
            raise trouble()
        return execute(sql, *rest)

    return wrapper


@pytest.mark.parametrize("when", ["SELECT", "INSERT"])
@pytest.mark.parametrize("kind", TROUBLES)
def test_whatever_the_database_refuses_is_never_acknowledged(shop: Sender, when: str, kind: type[psycopg.Error]):
    def trouble() -> Exception:
        error = OperationalError("injected")
        error.__cause__ = kind("injected")
        return error

    with connection.execute_wrapper(failing(when, trouble)):
        reply = shop.send(BODY)

    assert asks_to_come_again(reply)
    assert not Event.objects.exists()


def test_an_error_after_the_commit_is_cleared_up_by_the_second_delivery(shop: Sender):
    def lost_after_commit(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        result = execute(sql, *rest)
        if sql.strip().startswith("INSERT"):
            kill_our_connection()
            raise OperationalError("server closed the connection unexpectedly")
        return result

    with connection.execute_wrapper(lost_after_commit):
        first = shop.send(BODY, message="msg_1")
    again = shop.send(BODY, message="msg_1")

    assert asks_to_come_again(first)
    assert again.status == 200
    assert again.json == {"duplicate": Event.objects.get().pk}


def test_a_locked_table_does_not_hold_the_sender_for_ever(shop: Sender):
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '200ms'")
    with somebody_else() as other, other.transaction():
        other.execute("LOCK TABLE workflows_event IN ACCESS EXCLUSIVE MODE")
        locked = shop.send(BODY, message="msg_1")

    assert asks_to_come_again(locked)
    assert shop.send(BODY, message="msg_1").status == 202


def test_a_secret_that_no_key_opens_is_our_trouble_and_not_the_senders(shop: Sender, settings: Any):
    settings.FIELD_KEYS = [Fernet.generate_key().decode()]

    assert asks_to_come_again(shop.send(BODY))
    assert not Event.objects.exists()
