"""Taking in while the rest is away: acknowledged is what is stored, and what is stored is worked off later."""

import contextlib
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from opsdesk.embedded import processes
from opsdesk.embedded.addresses import Places, places
from opsdesk.embedded.folders import open_folder
from opsdesk.embedded.postgres import Postgres
from tests.chaos import outcome
from tests.chaos.brokers import own_broker
from tests.chaos.traffic import Traffic, real_requests
from tests.chaos.whole_desk import WholeDesk, beside
from tests.plugins.migrated import copy_cluster
from tests.plugins.servers import throw_away


@contextmanager
def own_server(folder: Path) -> Iterator[Places]:
    """Places for a server that belongs to the test, not to the desk; what it will hold is migrated."""
    own = places(folder)
    open_folder(own.var)
    copy_cluster(own)
    try:
        yield own
    finally:
        throw_away(own)


@contextmanager
def started(server: Postgres) -> Iterator[processes.Process]:
    """Have it run; it may be killed meanwhile."""
    server.prepare()
    service = server.service()
    process = processes.launch(service, server.places.var, log=server.places.var / f"{service.name}.log")
    try:
        processes.wait_until_ready(service, process)
        yield process
    finally:
        processes.stop([(service, process)])


@pytest.mark.long
def test_without_database_nothing_is_acknowledged_and_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    requests = real_requests(120)
    with own_server(tmp_path / "database") as own, contextlib.ExitStack() as running:
        database = Postgres(own)
        server = running.enter_context(started(database))
        url = f"postgresql://opsdesk@/opsdesk?host={quote(str(own.sockets), safe='')}"
        with WholeDesk(tmp_path, DATABASE_URL=url) as desk:
            desk.let_windows_end()
            with Traffic(desk, requests, per_second=20) as traffic:
                traffic.wait_until(answers=30, of=202, seconds=60)
                server.send_signal(signal.SIGQUIT)  # at once, whatever is under way
                server.wait(30)
                traffic.wait_until(answers=60, of=503, seconds=120)
                running.enter_context(started(database))
                traffic.finish(seconds=120)

            print(traffic.times(202), traffic.times(503), sep="\n")
            assert set(traffic.statuses) <= {202, 200, 503}
            assert traffic.broken == []
            assert all(retry_after > 0 for _, status, retry_after, _ in traffic.answers if status == 503)
            stored = [key for (key,) in desk.rows("SELECT dedupe_key FROM workflows_event WHERE source LIKE '%%/shop'")]
            assert sorted(stored) == sorted(traffic.taken())

            desk.come_to_rest(seconds=180)
            outcome.assert_every_case_came_to_rest(desk, requests=len(requests))
            outcome.assert_effects_fit(desk)


@pytest.mark.long
def test_a_database_that_stops_at_once_five_times_under_load_loses_nothing(tmp_path: Path) -> None:
    requests = real_requests(240)
    with own_server(tmp_path / "database") as own, contextlib.ExitStack() as running:
        database = Postgres(own)
        server = running.enter_context(started(database))
        url = f"postgresql://opsdesk@/opsdesk?host={quote(str(own.sockets), safe='')}"
        with WholeDesk(tmp_path, DATABASE_URL=url) as desk:
            desk.let_windows_end()
            with Traffic(desk, requests, per_second=10) as traffic:
                for stop in range(1, 6):
                    traffic.wait_until(answers=35 * stop, of=202, seconds=120)
                    server.send_signal(signal.SIGQUIT)
                    server.wait(30)
                    server = running.enter_context(started(database))
                traffic.finish(seconds=120)
            print(traffic.statuses, traffic.times(202), sep="\n")
            assert set(traffic.statuses) <= {202, 200, 503}
            assert traffic.broken == []
            stored = [key for (key,) in desk.rows("SELECT dedupe_key FROM workflows_event WHERE source LIKE '%%/shop'")]
            assert sorted(stored) == sorted(traffic.taken())

            desk.come_to_rest(seconds=240)
            outcome.assert_every_case_came_to_rest(desk, requests=len(requests))
            print(f"{outcome.assert_effects_fit(desk)} refunds at the gateway")
            outcome.assert_invariants_hold(desk, tmp_path)


def test_without_workers_and_broker_all_is_taken_and_worked_off_later(tmp_path: Path) -> None:
    requests = real_requests(100)
    with own_broker(tmp_path / "broker") as broker, WholeDesk(tmp_path, "--without-workers", **broker.urls()) as desk:
        desk.let_windows_end()
        broker.kill()
        with Traffic(desk, requests, per_second=40) as traffic:
            traffic.finish(seconds=120)
        print(traffic.times(202))
        assert set(traffic.statuses) == {202}
        assert traffic.broken == []
        assert desk.number("SELECT count(*) FROM workflows_event WHERE state = 'received'") == len(requests)

        broker.start()
        celery = ["-m", "celery", "--app", "opsdesk"]
        with (
            beside(desk, *celery, "worker", "--concurrency", "2", log=tmp_path / "worker.log"),
            beside(desk, *celery, "beat", "--scheduler", "celery.beat:Scheduler", log=tmp_path / "beat.log"),
        ):
            desk.come_to_rest(seconds=180)
            outcome.assert_every_case_came_to_rest(desk, requests=len(requests))
            assert outcome.assert_effects_fit(desk)
