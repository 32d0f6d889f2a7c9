"""Bad days of a broker: it is silent for a minute, and it flaps. Long tests."""

import time
from pathlib import Path

import pytest
import requests

from tests.chaos import outcome
from tests.chaos.brokers import bad_line, own_broker
from tests.chaos.traffic import Traffic, real_requests
from tests.chaos.whole_desk import WholeDesk

# A page that a person opens meanwhile.
PAGE_WITHIN = 2.0
BACK_WITHIN = 180.0
pytestmark = pytest.mark.long


def slowest_page(desk: WholeDesk, seconds: float) -> float:
    """Open a page again and again for so long; the longest it took."""
    slowest, end = 0.0, time.monotonic() + seconds
    while time.monotonic() < end:
        answer = requests.get(f"{desk.url}/sign-in/", timeout=30)
        assert answer.status_code == 200
        slowest = max(slowest, answer.elapsed.total_seconds())
        time.sleep(0.2)
    return slowest


def judge(desk: WholeDesk, folder: Path, *, count: int, seconds: float) -> None:
    """Everything came to rest, once."""
    desk.come_to_rest(seconds=seconds)
    ends = outcome.assert_every_case_came_to_rest(desk, requests=count)
    print(f"{dict(ends)}, {outcome.assert_effects_fit(desk)} refunds at the gateway")
    outcome.assert_invariants_hold(desk, folder)


@pytest.mark.alone
def test_a_broker_that_falls_silent_for_a_minute_holds_up_no_page_and_loses_nothing(tmp_path: Path) -> None:
    with (
        own_broker(tmp_path / "broker") as broker,
        bad_line(broker.port) as line,
        WholeDesk(tmp_path, **broker.urls(line.port)) as desk,
    ):
        desk.let_windows_end()
        line.fall_silent()
        with Traffic(desk, real_requests(60), per_second=2) as traffic:
            slowest = slowest_page(desk, 60)
            traffic.finish(seconds=60)
        print(f"the slowest page took {slowest:.2f} s; {traffic.times(202)}")
        assert set(traffic.statuses) == {202}
        line.speak()
        judge(desk, tmp_path, count=60, seconds=BACK_WITHIN)
        assert slowest < PAGE_WITHIN
        assert max(took for *_, took in traffic.answers) < PAGE_WITHIN


def test_a_broker_that_flaps_loses_nothing(tmp_path: Path) -> None:
    with (
        own_broker(tmp_path / "broker") as broker,
        bad_line(broker.port) as line,
        WholeDesk(tmp_path, **broker.urls(line.port)) as desk,
    ):
        desk.let_windows_end()
        with Traffic(desk, real_requests(120), per_second=1) as traffic:
            for _ in range(40):
                time.sleep(2)
                line.fall_silent()
                line.cut()
                time.sleep(1)
                line.speak()
            traffic.finish(seconds=60)
        judge(desk, tmp_path, count=120, seconds=BACK_WITHIN)
