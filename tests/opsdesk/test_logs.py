"""Logs: one event, one line, valid JSON in production, with the ids of what it is about."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest
import structlog
from celery import current_app
from structlog.testing import capture_logs

from auditlog.services import Actor, record
from opsdesk import celery as desk_celery
from opsdesk.settings import BASE_DIR
from tests import factories
from workflows.engine import running
from workflows.engine.outcomes import Done

HOSTILE = "a\r\nb\x1b[31mred\x1b[0m\u2028c\x00d\x85e\ud800f\"{}'"
PROGRAM = f"""
import logging, sys
from opsdesk import logs
logs.configure({{}})
import structlog
log = structlog.get_logger("tried")
hostile = {HOSTILE!r}
log.info("said", value=hostile, number=float("nan"), thing=object(), many=[1, 2], nothing=None, yes=True)
log.info(hostile)
logging.getLogger("other").warning("a line from outside: %s", hostile)
log.info("long", value="x" * 1_000_000)
try:
    raise ValueError(hostile + "y" * 1_000_000)
except ValueError:
    log.exception("broke")
    logging.getLogger("other").exception("broke too")
import warnings
warnings.warn("odd\\nthing", stacklevel=1)
"""


def lines_of(program: str, **environment: str) -> list[str]:
    """What a process of its own writes."""
    found = subprocess.run(
        [sys.executable, "-c", program],
        cwd=BASE_DIR,
        env={**os.environ, **environment},
        capture_output=True,
        timeout=120,
        check=True,
    )
    return found.stderr.decode().removesuffix("\n").split("\n")


def test_in_production_each_event_is_one_line_of_valid_json():
    lines = lines_of(PROGRAM, OPSDESK_LOG_JSON="1")

    def no_constant(name: str) -> Any:
        raise AssertionError(f"{name} is no JSON")

    events = [json.loads(line, parse_constant=no_constant) for line in lines]
    assert [each["event"].partition(":")[0].partition("\r")[0] for each in events[:6]] == [
        "said", "a", "a line from outside", "long", "broke", "broke too",
    ]  # fmt: skip
    assert len(events) == 7
    assert events[0]["value"] == HOSTILE and events[0]["number"] == "nan" and events[0]["yes"] is True
    assert all(len(line) < 20_000 and line.isprintable() for line in lines)
    assert events[3]["value"].endswith("… (1000000 characters)")
    assert "odd" in events[6]["event"] and events[6]["logger"] == "py.warnings"
    assert all(each["timestamp"].endswith("Z") and each["level"] for each in events)


@pytest.mark.parametrize("as_json", ["0", "1"])
def test_a_link_that_is_a_right_is_not_written_down(as_json):
    program = """
import logging
from opsdesk import logs
logs.configure({})
import structlog
structlog.get_logger("tried").warning("request_finished", request="POST /answers/Gr3GG_fc-Q/", code=422)
logging.getLogger("django.request").warning("Unprocessable Content: %s", "/answers/Gr3GG_fc-Q/")
"""
    lines = lines_of(program, OPSDESK_LOG_JSON=as_json)

    assert len(lines) == 2 and all("/answers/" in line for line in lines)
    assert not any("Gr3GG" in line for line in lines)


def test_on_a_terminal_text_from_outside_neither_breaks_a_line_nor_colours_it():
    lines = lines_of(PROGRAM.partition("try:")[0], OPSDESK_LOG_JSON="0")

    assert len(lines) == 4
    assert not any("\x1b" in line or "\r" in line or "\x00" in line for line in lines)


def test_what_gunicorn_says_is_one_event_a_line_too():
    program = """
exec(open("gunicorn.conf.py").read())
from gunicorn.config import Config
logger = Lines(Config())
logger.info("Booting worker with pid: %s", "1\\n2")
"""
    (line,) = lines_of(program, OPSDESK_LOG_JSON="1")

    assert json.loads(line)["event"] == "Booting worker with pid: 1\n2"


@pytest.fixture
def task():
    """A task as a worker runs it."""

    class Task:
        name = "workflows.tick"

    desk_celery._say_which_task(task_id="task-7", task=Task())
    yield Task
    desk_celery._say_it_no_more()


def test_all_entries_of_one_task_carry_its_id(organization, task):
    said = {"actor": Actor.desk(), "organization_id": organization.pk, "subject": ("run", 1), "reason": "Tried."}
    entries = [record("workflows.run.started", **said), record("workflows.run.finished", **said)]

    assert {entry.request_id for entry in entries} == {"task-7"}


def test_the_next_task_does_not_carry_it(task):
    desk_celery._say_it_no_more()

    assert structlog.contextvars.get_contextvars() == {}


def test_a_real_task_is_named_while_it_runs(db):
    seen = []

    @current_app.task(name="tried.task")
    def tried() -> None:
        seen.append(structlog.contextvars.get_contextvars())

    try:
        result = tried.apply()
    finally:
        current_app.tasks.pop("tried.task")
    assert seen == [{"task_id": result.id, "task": "tried.task"}]


def test_a_step_speaks_of_its_run_and_case(probe):
    said = []

    def speak(context):
        said.append(structlog.contextvars.get_contextvars())
        return Done("Said.")

    probe.second(speak)
    first, second = probe.runs(2)

    running.advance(running.claim())

    assert said == [
        {"run_id": first.pk, "case_id": first.case_id}, {"run_id": second.pk, "case_id": second.case_id},
    ]  # fmt: skip
    assert structlog.contextvars.get_contextvars() == {}


def test_sending_speaks_of_its_action_run_and_case(organization, monkeypatch):
    from integrations import sending

    run = factories.make_run(factories.make_case(organization))
    action = factories.make_action(run)

    def broken(connection):
        raise RuntimeError("no gateway today")

    monkeypatch.setattr(sending, "connector_of", broken)
    # A logger keeps the set-up of its first use, and a test before may have set logging up anew.
    monkeypatch.setattr(sending, "log", structlog.get_logger(sending.__name__))
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        sending._try(action)
    structlog.contextvars.clear_contextvars()

    (line,) = [each for each in lines if each["event"] == "action_broke"]
    assert (line["action_id"], line["run_id"], line["case_id"]) == (action.pk, run.pk, run.case_id)
