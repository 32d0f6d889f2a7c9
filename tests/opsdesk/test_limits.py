"""Time-outs: what the database grants each kind of process, and how long a process waits for a silent server."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial

import psycopg
import pytest
from celery import current_app
from django.conf import settings
from django.core.mail import get_connection
from django_rq.connection_utils import get_redis_connection
from kombu import Connection

from opsdesk.lib.servers import LIMITS, database_from_url, redis_with_limits
from opsdesk.settings import BASE_DIR
from tests.races import at_once

SHOW = """
import django
django.setup()
from django.db import connection
with connection.cursor() as cursor:
    for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
        cursor.execute(f"SHOW {name}")
        print(cursor.fetchone()[0])
"""
# A web process is what gunicorn makes of its configuration file; all others say nothing.
WEB = f"""
exec(open("gunicorn.conf.py").read())
{SHOW}
"""


def shown(program: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """What a process of its own says, with the servers of this test session."""
    given = {name: value for name, value in os.environ.items() if name != "OPSDESK_PROCESS"}
    given |= {"DJANGO_SETTINGS_MODULE": "opsdesk.settings", **environment}
    return subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        cwd=BASE_DIR,
        env=given,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("program", "limits"), [(WEB, ["5s", "2s", "15s"]), (SHOW, ["30s", "5s", "1min"])], ids=["web", "worker"]
)
def test_each_kind_of_process_has_its_own_limits(program, limits):
    found = shown(program)

    assert found.stdout.split() == limits, found.stderr


def test_a_kind_nobody_knows_stops_the_start():
    found = shown(SHOW, OPSDESK_PROCESS="wbe")

    assert found.returncode != 0
    assert "OPSDESK_PROCESS must be one of web, worker, not 'wbe'." in found.stderr


@pytest.fixture
def black_hole() -> Iterator[int]:
    """The port of a server that takes every connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as listener:
        yield listener.getsockname()[1]


def ask_database(port: int) -> None:
    entry = database_from_url(f"postgresql://desk@127.0.0.1:{port}/desk", LIMITS["worker"])
    psycopg.connect(host="127.0.0.1", port=port, user="desk", **entry["OPTIONS"])


def ask_errands(port: int) -> None:
    url = redis_with_limits(f"redis://127.0.0.1:{port}/0", seconds=5)
    get_redis_connection({**settings.RQ_QUEUES["default"], "URL": url}).ping()


def ask_broker(port: int) -> None:
    """With the options that all processes have; one try, for who tries again is in no hurry."""
    options = current_app.conf.broker_transport_options
    Connection(f"redis://127.0.0.1:{port}/1", transport_options=options).ensure_connection(max_retries=1, timeout=1)


def send_mail(port: int) -> None:
    get_connection("django.core.mail.backends.smtp.EmailBackend", host="127.0.0.1", port=port).open()


def test_no_server_that_is_silent_holds_a_process_for_long(black_hole):
    asked = [ask_database, ask_errands, ask_broker, send_mail]
    took = {}

    def ask(what) -> None:
        began = time.monotonic()
        try:
            what(black_hole)
        finally:
            took[what.__name__] = time.monotonic() - began

    results = at_once(*(partial(ask, what) for what in asked))

    assert [result for result in results if not isinstance(result, Exception)] == []
    # Each has given up by itself; ten seconds are promised, the rest is the machine's.
    assert max(took.values()) < 20, took


def test_what_a_url_says_of_time_outs_counts_more():
    assert redis_with_limits("redis://:pw@host:1/2", seconds=5) == (
        "redis://:pw@host:1/2?socket_connect_timeout=5&socket_timeout=5"
    )
    assert redis_with_limits("unix:///run/redis?db=1&socket_timeout=9", seconds=5) == (
        "unix:///run/redis?db=1&socket_timeout=9&socket_connect_timeout=5"
    )
