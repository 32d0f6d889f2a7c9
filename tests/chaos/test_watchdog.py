"""What stops is told within three minutes, by whichever process still lives; it goes when all is well again."""

import http.client
import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.chaos.whole_desk import WholeDesk

TOLD_WITHIN = 180.0
WELL_WITHIN = 180.0
_OPEN = "SELECT kind, subject FROM workflows_alert WHERE cleared_at IS NULL"


def asked(desk: WholeDesk, path: str) -> tuple[int, dict[str, Any]]:
    """Status and document of a page for machines."""
    line = http.client.HTTPConnection("127.0.0.1", desk.ports["OPSDESK_PORT"], timeout=30)
    try:
        line.request("GET", path)
        answer = line.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        line.close()


def kinds(desk: WholeDesk) -> set[str]:
    """The kinds of the alerts that stand."""
    return {kind for kind, _ in desk.rows(_OPEN)}


def hold(desk: WholeDesk, *services: str) -> Callable[[], None]:
    """Let services stand still without ending; returns what lets them go on."""
    held = [process for service in services for process in desk.freeze(service)]

    def go_on() -> None:
        for process in held:
            process.resume()

    return go_on


def told(desk: WholeDesk, wanted: set[str], began: float) -> None:
    """Wait until these alerts stand, and say how long it took."""
    desk.wait_until(lambda: wanted <= kinds(desk), f"not told: {wanted}, but {kinds(desk)}", seconds=2 * TOLD_WITHIN)
    seconds = time.monotonic() - began
    print(f"{sorted(wanted)} told after {seconds:.0f} s")
    assert seconds < TOLD_WITHIN, f"{wanted} took {seconds:.0f} s"


@pytest.mark.long
def test_what_stands_still_is_told_and_is_over_when_it_goes_on(tmp_path: Path) -> None:
    with WholeDesk(tmp_path) as desk:
        desk.wait_until(lambda: asked(desk, "/readyz")[0] == 200, "it was never ready", seconds=90)

        go_on, began = hold(desk, "beat"), time.monotonic()
        told(desk, {"beat_stopped", "task_silent"}, began)
        status, document = asked(desk, "/readyz")
        assert (status, document["database"], document["ready"]) == (503, "ok", False)
        assert document["beat"].startswith("silent for")
        go_on()
        desk.wait_until(lambda: not kinds(desk), f"still {kinds(desk)}", seconds=WELL_WITHIN)

        # The workers and the jobs process: events are taken in, nobody looks at them.
        go_on, began = hold(desk, "worker", "jobs"), time.monotonic()
        desk.run("manage.py", "replay", "--count", "3", "--seed", "1", log=tmp_path / "replay.log")
        told(desk, {"worker_died", "queue_unserved", "task_silent", "queue_grows"}, began)
        go_on()
        desk.wait_until(lambda: not kinds(desk), f"still {kinds(desk)}", seconds=WELL_WITHIN)


@pytest.mark.long
def test_without_its_database_a_process_lives_and_is_not_ready(tmp_path: Path) -> None:
    with WholeDesk(tmp_path, "--without-demo") as desk:
        desk.wait_until(lambda: asked(desk, "/readyz")[0] == 200, "it was never ready", seconds=90)
        postgres: list[psutil.Process] = desk.processes()["postgres"]
        for process in postgres:
            process.send_signal(signal.SIGSTOP)
        try:
            assert asked(desk, "/healthz") == (200, {"alive": True})
        finally:
            for process in postgres:
                process.send_signal(signal.SIGCONT)
        desk.wait_until(lambda: asked(desk, "/readyz")[0] == 200, "it did not come back", seconds=90)
