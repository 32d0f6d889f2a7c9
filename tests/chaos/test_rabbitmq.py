"""RabbitMQ as broker: a desk runs on it, and what it confirmed it still has after it was killed. Long tests."""

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from kombu import Connection

from opsdesk.embedded.addresses import ROOT
from tests.chaos import ordinary, outcome
from tests.chaos.brokers import own_broker
from tests.chaos.ordinary import FAST_TRACK, INSTANT
from tests.chaos.rabbit import Rabbit, needs_rabbitmq, rabbit_in
from tests.chaos.whole_desk import WholeDesk

pytestmark = [pytest.mark.long, pytest.mark.contract, needs_rabbitmq]
RINGS, KILLS = 3_000, 2
QUEUE = "engine"
DONE = "SELECT FROM workflows_case WHERE key = %s AND state = 'done'"
# Rings as the doorbell does, one after the other; the number of each that raised nothing is written down.
RINGER = f"""
import sys, time
import django
django.setup()
from celery import current_app
number = 0
while number < {RINGS}:
    number += 1
    try:
        current_app.send_task("workflows.tick", args=[number], queue="{QUEUE}", retry=False)
        print(number, flush=True)
    except Exception as error:
        print(f"{{number}}: {{error!r}}", file=sys.stderr, flush=True)
        time.sleep(0.2)
"""


def test_what_it_confirmed_it_still_has_after_it_was_killed_twice(tmp_path: Path) -> None:
    with rabbit_in(tmp_path / "rabbit") as rabbit:
        sent = ring_while_it_is_killed(rabbit, tmp_path)
        kept = all_in_the_queue(rabbit)

    print(f"{len(sent)} of {RINGS} rings were confirmed, {len(kept)} lie in the queue")
    assert len(sent) > RINGS // 2
    assert set(sent) <= set(kept)


def ring_while_it_is_killed(rabbit: Rabbit, folder: Path) -> list[int]:
    """Numbers of the rings that were said to have arrived."""
    out, errors = folder / "sent", folder / "not-sent"
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "opsdesk.settings", "BROKER_URL": rabbit.url}
    with out.open("w") as sent, errors.open("w") as refused:
        ringer = subprocess.Popen(
            [sys.executable, "-c", RINGER], cwd=ROOT, env=environment, stdout=sent, stderr=refused
        )
        try:
            for kill in range(1, KILLS + 1):
                wait_for_lines(out, kill * RINGS // (KILLS + 2), ringer, errors)
                rabbit.kill()
                rabbit.start()
            assert ringer.wait(300) == 0, errors.read_text()[-2_000:]
        finally:
            ringer.kill()
    assert errors.read_text().strip(), "Nothing was refused: it was not killed while it was rung."
    return [int(line) for line in out.read_text().split()]


def wait_for_lines(out: Path, many: int, writer: "subprocess.Popen[bytes]", errors: Path) -> None:
    end = time.monotonic() + 120
    while out.read_text().count("\n") < many:
        assert writer.poll() is None and time.monotonic() < end, errors.read_text()[-2_000:]
        time.sleep(0.02)


def all_in_the_queue(rabbit: Rabbit) -> list[int]:
    """Numbers of all rings that lie there."""
    found = []
    with Connection(rabbit.url) as connection, connection.channel() as channel:
        while (message := channel.basic_get(QUEUE, no_ack=True)) is not None:
            [number], *_ = json.loads(message.body)
            found.append(number)
    return found


def test_a_desk_runs_on_it(tmp_path: Path) -> None:
    with own_broker(tmp_path / "redis") as redis, rabbit_in(tmp_path / "rabbit") as rabbit:
        urls = {"REDIS_URL": redis.urls()["REDIS_URL"], "BROKER_URL": rabbit.url}
        with WholeDesk(tmp_path, **urls) as desk:
            desk.run("-m", "tests.chaos.ordinary", "4", log=tmp_path / "ordinary.log")
            desk.let_windows_end()
            for number, articles in enumerate((INSTANT, FAST_TRACK, INSTANT, FAST_TRACK)):
                request = ordinary.request_for(number, articles, at=datetime.now(UTC))
                assert desk.shop.deliver(request).status == 202
                desk.wait_until(lambda key=request.reference: bool(desk.rows(DONE, key)), "not done", seconds=120)
            said = json.loads(doctor(desk, tmp_path))
            assert {"about": "broker", "verdict": "good", "words": "The broker answers.", "advice": ""} in said[
                "opinions"
            ]
            desk.come_to_rest(seconds=60)
            assert outcome.assert_every_case_came_to_rest(desk, requests=4) == {"done": 4}
            assert outcome.assert_effects_fit(desk) == 4
            outcome.assert_invariants_hold(desk, tmp_path)


def doctor(desk: WholeDesk, folder: Path) -> str:
    """What the doctor says, whether or not all is well."""
    process = desk.spawn("manage.py", "doctor", "--json", log=folder / "doctor.log")
    assert process.wait(120) in (0, 1)
    written = (folder / "doctor.log").read_text()
    return written[written.index("{") :]
