"""The same commands with servers given by URL: a PostgreSQL and a Redis as Debian packages them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from opsdesk.embedded.addresses import ROOT
from tests.chaos import ordinary, outcome
from tests.chaos.given import debian_postgres, debian_redis, needs_debian_servers
from tests.chaos.ordinary import FAST_TRACK, INSTANT
from tests.chaos.whole_desk import WholeDesk

pytestmark = [pytest.mark.contract(), pytest.mark.long(), needs_debian_servers]
# Of the session under which this runs, not of the one that it starts.
OWN = ("OPSDESK_VAR", "OPSDESK_TEST_SOCKET", "OPSDESK_REQUIRE_ALL", "PYTEST_XDIST_WORKER", "PYTEST_ADDOPTS")


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The three variables."""
    folder = tmp_path_factory.mktemp("given")
    with debian_postgres(folder) as database, debian_redis(folder) as redis:
        yield {"DATABASE_URL": database, "REDIS_URL": f"{redis}/0", "BROKER_URL": f"{redis}/1"}


def refund(desk: WholeDesk, number: int, articles: int) -> None:
    """Ask for money back and wait until it is seen at the gateway."""
    request = ordinary.request_for(number, articles, at=datetime.now(UTC))
    assert desk.shop.deliver(request).status == 202
    done = "SELECT FROM workflows_case WHERE key = %s AND state = 'done'"
    desk.wait_until(lambda: bool(desk.rows(done, request.reference)), f"{request.reference} was not done", seconds=90)


def test_a_desk_runs_on_them_and_keeps_its_data_there(given: dict[str, str], tmp_path: Path) -> None:
    with WholeDesk(tmp_path, **given) as desk:
        desk.run("-m", "tests.chaos.ordinary", "3", log=tmp_path / "ordinary.log")
        desk.let_windows_end()
        refund(desk, 0, INSTANT)
        refund(desk, 1, FAST_TRACK)
        assert not {"postgres", "valkey"} & set(desk.processes())
        assert desk.stop() == 0
        assert desk.processes() == {}

        desk.start()

        refund(desk, 2, INSTANT)
        desk.come_to_rest(seconds=60)
        assert outcome.assert_every_case_came_to_rest(desk, requests=3) == {"done": 3}
        assert outcome.assert_effects_fit(desk) == 3
        outcome.assert_invariants_hold(desk, tmp_path)
        assert not desk.places.postgres.exists()
        assert not desk.places.valkey.exists()


def test_tests_run_on_them(given: dict[str, str]) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in OWN} | given
    some = ["tests/workflows/test_running.py", "tests/integrations/test_intake.py", "tests/approvals/test_policies.py"]

    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *some],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )

    assert run.returncode == 0, run.stdout[-4_000:]
    assert " passed" in run.stdout
