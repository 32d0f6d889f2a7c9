"""Asked to stop under load: every process ends in time, no answer is cut off, nothing is left held."""

import http.client
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from opsdesk.demo.records import RefundRequest
from opsdesk.demo.shop import event_id
from tests.chaos import ordinary, outcome
from tests.chaos.ordinary import FULL_REVIEW, INSTANT
from tests.chaos.traffic import Traffic
from tests.chaos.whole_desk import WholeDesk

STOPPED = ("worker", "web", "beat", "jobs")
ENDS_WITHIN = 30.0
LONGEST_LEASE = 60.0
_LEASES = """
    SELECT coalesce(max(extract(epoch FROM lease_until - now())), 0) FROM (
        SELECT lease_until FROM workflows_run WHERE state = 'running'
        UNION ALL SELECT lease_until FROM integrations_action WHERE lease_until IS NOT NULL
    ) AS held
"""


class Listening(Traffic):
    """Traffic that tells a request nobody took from one whose answer was cut off."""

    def _is_taken(self, request: RefundRequest) -> bool:
        known = len(self.broken)
        taken = super()._is_taken(request)
        # Refused: nobody listened for a moment. Reset: the kernel had it, no process did, unless it is stored.
        for trouble in self.broken[known:]:
            stored = self.desk.number("SELECT count(*) FROM workflows_event WHERE dedupe_key = %s", event_id(request))
            if "Refused" not in trouble and not ("Reset" in trouble and not stored):
                self.cut_off.append(f"{event_id(request)}: {trouble}")
        return taken

    def __enter__(self) -> "Listening":
        self.cut_off: list[str] = []
        super().__enter__()
        return self


def ordinary_requests(count: int) -> list[RefundRequest]:
    """Small ones that leave by themselves, and some that ask for people."""
    now = datetime.now(UTC)
    return [ordinary.request_for(each, FULL_REVIEW if each % 5 == 0 else INSTANT, at=now) for each in range(count)]


def stop_twice(desk: WholeDesk, service: str) -> float:
    """Ask a service to end, and once more while it does; returns how long it took."""
    leader = desk.leader(service)
    began = time.monotonic()
    leader.terminate()
    time.sleep(0.3)
    if leader.is_running() and leader.status() != psutil.STATUS_ZOMBIE:
        leader.terminate()
    psutil.wait_procs([leader], timeout=2 * ENDS_WITHIN)
    return time.monotonic() - began


def stop_under_load(desk: WholeDesk, folder: Path, *, requests: int, per_second: float, rounds: int) -> None:
    """Stop each process while requests arrive and refunds leave; the supervisor starts it again."""
    desk.run("-m", "tests.chaos.ordinary", str(requests), log=folder / "ordinary.log")
    desk.gateway.control("chaos", {"seed": 1, "shares": {"slow=1": 0.3}, "paths": "/v1/refunds", "method": "POST"})
    order = iter(STOPPED * rounds)
    with Listening(desk, ordinary_requests(requests), per_second) as traffic:
        for number, service in enumerate(order, start=1):
            traffic.wait_until(answers=number * requests // (len(STOPPED) * rounds + 1), of=202, seconds=120)
            taken = stop_twice(desk, service)
            held = float(desk.rows(_LEASES)[0][0])
            print(f"{service} ended {taken:.1f} s after it was asked; the longest lease is {held:.0f} s")
            assert taken < ENDS_WITHIN, f"{service} took {taken:.1f} s to end:\n{desk.tail()}"
            assert held <= LONGEST_LEASE
            desk.wait_until(lambda name=service: bool(desk.processes().get(name)), f"{service} did not come back")
        traffic.finish(seconds=180)
        assert not traffic.cut_off, traffic.cut_off
        print(dict(traffic.statuses), f"{len(traffic.broken)} times nobody listened")
    desk.come_to_rest(seconds=240)
    outcome.assert_every_case_came_to_rest(desk, requests=requests)
    outcome.assert_effects_fit(desk)
    ended = desk.number("SELECT count(*) FROM opsdesk_heartbeat WHERE ended_at IS NOT NULL AND kind <> 'task'")
    assert ended >= len(STOPPED), "a process that was asked to end did not say so"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[WholeDesk]:
    with WholeDesk(tmp_path) as desk:
        yield desk


def page(desk: WholeDesk, path: str) -> int:
    """The status of a page."""
    line = http.client.HTTPConnection("127.0.0.1", desk.ports["OPSDESK_PORT"], timeout=30)
    try:
        line.request("GET", path)
        return line.getresponse().status
    finally:
        line.close()


def test_each_process_stops_gracefully_while_requests_arrive(desk: WholeDesk, tmp_path: Path) -> None:
    stop_under_load(desk, tmp_path, requests=40, per_second=6, rounds=1)

    # A ring for a task of another release is dropped with a line in the log; the worker goes on.
    desk.run("-c", _STRANGE_RING, log=tmp_path / "ring.log")
    desk.wait_for("workflows.from_tomorrow", seconds=60)
    looked = "SELECT count(*) FROM opsdesk_heartbeat WHERE kind = 'task' AND last_seen_at > now() - interval '20 s'"
    desk.wait_until(lambda: desk.number(looked) >= 5, "periodic work stopped")
    assert page(desk, "/readyz") == 200


_STRANGE_RING = """
import django
django.setup()
from celery import current_app
current_app.send_task("workflows.from_tomorrow", queue="engine")
"""


@pytest.mark.long
def test_they_do_so_again_and_again(desk: WholeDesk, tmp_path: Path) -> None:
    stop_under_load(desk, tmp_path, requests=400, per_second=20, rounds=4)
