"""What works for long does not grow: a worker over thousands of looks, web processes over thousands of pages. Long."""

import json
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path

import pytest
from django.db import connection

from opsdesk.embedded.addresses import ROOT
from tests.chaos import ordinary
from tests.chaos.ordinary import FULL_REVIEW
from tests.chaos.people import Person
from tests.chaos.whole_desk import WholeDesk

pytestmark = pytest.mark.long
WARM_UP, TASKS = 200, 1_000
# Fifty thousand requests take half an hour: OPSDESK_REQUESTS=50000 for who has it.
REQUESTS_OF_WARM_UP, REQUESTS, BROWSERS = 1_500, int(os.environ.get("OPSDESK_REQUESTS", "6000")), 4
# A thousand looks, and a thousand requests, may cost so many megabytes.
A_THOUSAND_TASKS, A_THOUSAND_REQUESTS = 1.0, 0.5
# What the allocator keeps or gives back between two looks at it, whatever was done.
NOISE = 3.0


@pytest.mark.django_db(transaction=True)
def test_a_worker_does_not_grow_with_the_runs_it_moves_and_the_ones_that_break() -> None:
    command = [sys.executable, "-m", "tests.chaos.growing", str(connection.settings_dict["NAME"])]
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "opsdesk.settings", "OPSDESK_LOG_LEVEL": "CRITICAL"}

    found = subprocess.run(
        [*command, str(WARM_UP), str(TASKS)],
        cwd=ROOT, env={**environment, "BROKER_URL": "memory://"}, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert found.returncode == 0, found.stderr[-3_000:]
    said = json.loads(found.stdout.splitlines()[-1])
    print(said)
    assert said["failed"] * 9 == pytest.approx(said["succeeded"], rel=0.01)
    assert said["after"] - said["before"] < A_THOUSAND_TASKS * TASKS / 1000 + NOISE


def test_web_processes_do_not_grow_with_the_pages_they_show(tmp_path: Path) -> None:
    with WholeDesk(tmp_path) as desk:
        desk.run("-m", "tests.chaos.ordinary", "20", log=tmp_path / "ordinary.log")
        for number in range(20):
            desk.shop.deliver(ordinary.request_for(number, FULL_REVIEW, at=datetime.now(UTC)))
        desk.come_to_rest(seconds=120)
        (case,) = desk.rows("SELECT id FROM workflows_case ORDER BY id LIMIT 1")[0]
        pages = ["/", "/queue/", "/runs/", f"/cases/{case}/", "/leaving/", "/stalled/", "/alerts/", "/readyz"]
        browse(desk, pages, REQUESTS_OF_WARM_UP)
        web = desk.processes()["web"]
        before = sum(process.memory_info().rss for process in web)

        browse(desk, pages, REQUESTS)

        assert desk.processes()["web"] == web
        grown = (sum(process.memory_info().rss for process in web) - before) / 1024**2
        print(f"{len(web)} web processes grew by {grown:.1f} MB over {REQUESTS} requests")
        assert grown < A_THOUSAND_REQUESTS * REQUESTS / 1000 + NOISE * len(web)


def browse(desk: WholeDesk, pages: list[str], many: int) -> None:
    """A few people open these pages, so many in all; each opens."""
    odd: list[str] = []

    def open_pages() -> None:
        person = Person(desk.url, "maya")
        person.sign_in()
        for page in islice(cycle(pages), many // BROWSERS):
            status = person.see(page)
            if status != 200:
                odd.append(f"{page}: {status}")

    people = [threading.Thread(target=open_pages) for _ in range(BROWSERS)]
    for person in people:
        person.start()
    for person in people:
        person.join()
    assert not odd, odd[:5]
