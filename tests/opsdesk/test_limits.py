"""Time-outs: what the database grants each kind of process."""

import os
import subprocess
import sys

import pytest

from opsdesk.settings import BASE_DIR

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
