"""Crash points: a process dies at the one that was asked for, and at no other."""

import os
import re
import signal
import subprocess
import sys

import pytest

from opsdesk.embedded.addresses import ROOT
from opsdesk.lib import crashing

ROOMS = ("accounts", "approvals", "auditlog", "integrations", "opsdesk", "workflows")
PROGRAM = """
from opsdesk.lib.crashing import crashpoint
for number in range(5):
    crashpoint("claim.after_commit")
    crashpoint("step.before_commit")
    print(number, flush=True)
"""


def run(wish: str, program: str = PROGRAM) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "OPSDESK_CRASH": wish}
    words = [sys.executable, "-c", program]
    return subprocess.run(words, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("nth", [1, 3])
def test_a_process_kills_itself_at_the_nth_passing(nth):
    ended = run(f"step.before_commit:{nth}")

    assert ended.returncode == -signal.SIGKILL
    assert ended.stdout.split() == [str(number) for number in range(nth - 1)]
    assert "crash point step.before_commit" in ended.stderr


@pytest.mark.parametrize("wish", ["", "step.before_commit:6", "notice.sent:1"])
def test_a_process_that_does_not_come_by_lives(wish):
    ended = run(wish)

    assert (ended.returncode, ended.stdout.split()) == (0, list("01234"))


@pytest.mark.parametrize("wish", ["step.before_comit:1", "step.before_commit", "step.before_commit:0", ":1"])
def test_a_wish_for_an_unknown_point_stops_the_start(wish):
    ended = run(wish)

    assert ended.returncode == 1
    assert "UnknownPoint" in ended.stderr


def test_an_unknown_point_is_an_error():
    ended = run("step.before_commit:1", 'from opsdesk.lib.crashing import crashpoint; crashpoint("nowhere")')

    assert ended.returncode == 1
    assert "The crash point nowhere is not registered." in ended.stderr


def test_every_registered_point_stands_in_the_code_and_no_other():
    sources = [path for room in ROOMS for path in (ROOT / room).rglob("*.py") if path.name != "crashing.py"]
    standing = {
        name
        for path in sources
        for call in re.findall(r"(?:crashpoint|tries\.each)\((.*)\)", path.read_text())
        for name in re.findall(r'"([a-z_]+\.[a-z_]+)"', call)
    }

    assert standing == set(crashing.POINTS)
    assert len(crashing.POINTS) == len(set(crashing.POINTS)) >= 24
