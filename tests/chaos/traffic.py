"""Real requests that a few senders post to a running desk, and every answer to them."""

import http.client
import statistics
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from queue import Empty, SimpleQueue

from opsdesk.demo.records import Excerpt, RefundRequest, weeks_until
from opsdesk.demo.shop import event_id, event_of
from tests.chaos.whole_desk import WholeDesk

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
