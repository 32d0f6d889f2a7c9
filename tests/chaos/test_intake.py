"""Taking in while the rest is away: acknowledged is what is stored, and what is stored is worked off later."""

import contextlib
import http.client
import signal
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from queue import Empty, SimpleQueue
from urllib.parse import quote

from opsdesk.demo.records import Excerpt, RefundRequest, weeks_until
from opsdesk.demo.shop import event_id, event_of
from opsdesk.embedded import processes
from opsdesk.embedded.addresses import Places, places
from opsdesk.embedded.folders import open_folder
from opsdesk.embedded.postgres import Postgres
from tests.chaos import outcome
from tests.chaos.brokers import own_broker
from tests.chaos.whole_desk import WholeDesk
from tests.plugins.servers import throw_away

SENDERS = 4


@dataclass
class Traffic:
    """Real requests posted by a few senders, each again and again until it is taken; every answer is kept."""

    desk: WholeDesk
    requests: Sequence[RefundRequest]
    per_second: float
    answers: list[tuple[str, int, float, float]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def __enter__(self) -> "Traffic":
        self._waiting: SimpleQueue[RefundRequest] = SimpleQueue()
        for request in self.requests:
            self._waiting.put(request)
        self._stopped = threading.Event()
        self._senders = [threading.Thread(target=self._send, daemon=True) for _ in range(SENDERS)]
        for sender in self._senders:
            sender.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped.set()
        for sender in self._senders:
            sender.join(60)

    def _send(self) -> None:
        while not self._stopped.is_set():
            try:
                request = self._waiting.get_nowait()
            except Empty:
                return
            while not self._stopped.is_set() and not self._is_taken(request):
                self._stopped.wait(SENDERS / self.per_second)
            self._stopped.wait(SENDERS / self.per_second)

    def _is_taken(self, request: RefundRequest) -> bool:
        """Post once and keep the answer: key, status, Retry-After, seconds."""
        began = time.monotonic()
        try:
            status, _, retry_after = self.desk.shop._post(event_id(request), event_of(request))
        except (OSError, http.client.HTTPException) as trouble:
            self.broken.append(repr(trouble))
            return False
        self.answers.append((event_id(request), status, retry_after, time.monotonic() - began))
        return 200 <= status < 300

    @property
    def statuses(self) -> Counter[int]:
        """How often each status was answered."""
        return Counter(status for _, status, *_ in list(self.answers))

    def taken(self) -> set[str]:
        """Keys of what was acknowledged."""
        return {key for key, status, *_ in list(self.answers) if 200 <= status < 300}

    def wait_until(self, *, answers: int, of: int, seconds: float) -> None:
        """Wait for so many answers of one status."""
        end = time.monotonic() + seconds
        while self.statuses[of] < answers:
            assert time.monotonic() < end, f"not {answers} times {of}, but {self.statuses}, {self.broken[:3]}"
            time.sleep(0.05)

    def finish(self, *, seconds: float) -> None:
        """Wait until all are taken."""
        end = time.monotonic() + seconds
        while len(self.taken()) < len(self.requests):
            assert time.monotonic() < end, f"{len(self.taken())} of {len(self.requests)} are taken: {self.statuses}"
            time.sleep(0.1)

    def times(self, status: int) -> str:
        """Median, 99th percentile and maximum of the answers of a status, in words."""
        taken = sorted(seconds for _, answered, _, seconds in self.answers if answered == status)
        late = statistics.quantiles(taken, n=100)[98]
        middle = statistics.median(taken)
        return f"{len(taken)} times {status}: median {middle:.3f} s, p99 {late:.3f} s, at most {taken[-1]:.3f} s"


def real_requests(count: int) -> Sequence[RefundRequest]:
    """The first requests of the records."""
    return Excerpt.read(weeks_until(datetime.now(UTC).date())).requests[:count]


@contextmanager
def own_server(folder: Path) -> Iterator[Places]:
    """Places for a server that belongs to the test, not to the desk."""
    own = places(folder)
    open_folder(own.var)
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


@contextmanager
def beside(desk: WholeDesk, *words: str, log: Path) -> Iterator[None]:
    """Have one more process of the desk run."""
    process = desk.spawn(*words, log=log)
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)
