"""Storms: a gateway that puts everything off, and one that is down; what is due waits its turn and comes to its end.

The clock is moved by seconds, and told of in seconds since the storm began: time that really passes counts too.
"""

import random
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import yaml
from django.db import connection

from integrations.models import Action, Breaker, Connection
from integrations.secrets import encrypt
from integrations.states import ActionState, BreakerState
from tests.definitions import PACK
from tests.integrations.receiver import Receiver, receiver
from tests.integrations.senders import SHOP_SECRET
from tests.plugins.line import Line
from workflows.engine import failing
from workflows.models import Case, Run
from workflows.publishing import publish_pack
from workflows.states import CaseState
from workflows.tasks import tick

pytestmark = pytest.mark.long
REFUNDS = "/v1/refunds"


@pytest.fixture(autouse=True)
def _pauses_with_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    """As they are outside of tests, drawn from one seed."""
    monkeypatch.setattr(failing, "_FIRST_PAUSE", timedelta(seconds=2))
    monkeypatch.setattr(failing, "random", random.Random(7))


@pytest.fixture
def line(committed_line: Line) -> Line:
    """Where everything is committed: no vacuum takes away what hundreds of looks leave behind in one transaction."""
    return committed_line


class Storm:
    """The moved clock, and every refund that was asked for with the second in which it was."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.moved = 0.0
        self._looks = 0
        self.began = time.time()
        self.calls: list[tuple[float, dict[str, Any]]] = []
        self._seen = max([row["seq"] for row in line.gateway.requests()], default=0)

    @property
    def now(self) -> float:
        return time.time() - self.began + self.moved

    def let_pass(self, seconds: float) -> None:
        """Move the clock, work, and note what was called meanwhile."""
        self.moved += seconds
        self.line.let_pass(seconds=seconds)
        self._vacuum_now_and_then()
        for row in self.line.gateway.requests(after=self._seen):
            self._seen = row["seq"]
            if row["method"] == "POST" and row["path"] == REFUNDS:
                self.calls.append((row["at"] - self.began + self.moved, row))

    def _vacuum_now_and_then(self) -> None:
        """Moving the clock writes every row anew, each second of the storm."""
        self._looks += 1
        if self._looks % 20 == 0:
            with connection.cursor() as cursor:
                cursor.execute("VACUUM workflows_run, integrations_action, integrations_call, workflows_event")

    def retries(self) -> list[tuple[float, dict[str, Any]]]:
        """Every call but the first under its key."""
        known: set[str] = set()
        found = []
        for at, row in self.calls:
            if row["idempotency_key"] in known:
                found.append((at, row))
            known.add(row["idempotency_key"])
        return found


def ask(line: Line, count: int) -> list[Case]:
    """So many instant refunds, planned and not sent."""
    cases = [line.ask("20.00") for _ in range(count)]
    while tick():
        pass
    return cases


def asked_to_wait(fault: str) -> float:
    """Seconds of a fault such as 429=12 or 429=date:12."""
    return float(fault.partition("=")[2].removeprefix("date:"))


def test_a_gateway_that_puts_everything_off_is_called_no_earlier_than_it_says(line: Line):
    """100 refunds, ten minutes of nothing but 429, in seconds and as dates."""
    ask(line, 100)
    waits = [f"429={seconds}" for seconds in range(1, 31, 2)] + [f"429=date:{seconds}" for seconds in range(2, 31, 2)]
    line.gateway.control(
        "chaos", {"seed": 7, "method": "POST", "paths": REFUNDS, "shares": {wait: 1 / len(waits) for wait in waits}}
    )
    storm = Storm(line)
    earliest = 0.0

    while storm.now < 600:
        before = len(storm.calls)
        storm.let_pass(1)
        fresh = storm.calls[before:]
        # What goes out together was not told by one another.
        assert all(at >= earliest for at, _ in fresh), (earliest, fresh)
        earliest = max([earliest, *(at + asked_to_wait(row["fault"]) for at, row in fresh)])

    retries = storm.retries()
    budget = 0.1 * len(storm.calls) + 1.0 * storm.now
    assert len(storm.calls) <= 1.1 * 100 + budget
    assert len(retries) > 50
    assert max(Counter(int(at) for at, _ in retries).values()) <= max(0.05 * len(retries), 10)
    assert max(Action.objects.values_list("attempts", flat=True)) <= 3
    assert line.refunds() == []

    # What was given up waits for a person with a reason; what was not goes out now.
    line.gateway.behave_well()
    for _ in range(10):
        storm.let_pass(30)
    states = Counter(Case.objects.values_list("state", flat=True))
    assert states[CaseState.DONE] + states[CaseState.FAILED] == 100
    assert len(line.refunds()) == states[CaseState.DONE]
    line.assert_sound()


@pytest.fixture
def books(line: Line, settings: Any) -> Iterator[Receiver]:
    """Another system, which hears of news by a workflow of its own."""
    with receiver() as told:
        settings.OUTBOUND_EXCEPTIONS = [*settings.OUTBOUND_EXCEPTIONS, told.url.removeprefix("http://")]
        Connection.objects.create(
            organization=line.organization, slug="books", name="Books", connector="webhook", base_url=told.url,
            secret=encrypt(SHOP_SECRET),
        )  # fmt: skip
        pack = yaml.safe_load(PACK)
        pack |= {"slug": "news", "name": "News", "opened_by": "news.heard", "case_kind": "news", "withdrawn_by": ""}
        del pack["rules"]
        fields = {"event": {"value": "news.heard"}, "reference": "case.key"}
        config = {"connection": "books", "operation": "post", "fields": fields}
        pack["steps"] = [{"key": "tell", "kind": "act", "config": config}]
        publish_pack(line.organization, pack, by=None, reason="To see that it goes on.")
        yield told


def test_a_gateway_that_is_down_is_left_alone_and_everything_is_done_when_it_is_back(line: Line, books: Receiver):
    """500 refunds, five minutes of nothing but 503; another system is told of something meanwhile."""
    cases = ask(line, 500)
    line.gateway.control("chaos", {"seed": 7, "method": "POST", "paths": REFUNDS, "shares": {"503": 1}})
    storm = Storm(line)
    opened = probed = 0.0

    minute = 0
    while storm.now < 300:
        before = len(storm.calls)
        if storm.now >= 60 * minute:
            minute += 1
            line.hear("news.heard", line.request(line.paid(), "1.00"))
        storm.let_pass(1)
        assert len(books.taken) == minute, "Other work waited."
        breaker = Breaker.objects.filter(state=BreakerState.OPEN, operation="refund").first()
        if breaker is not None and not opened:
            opened = breaker.moved_at.timestamp() - storm.calls[0][1]["at"]
        if before and len(storm.calls) > before:
            assert len(storm.calls) == before + 1, "A half-open breaker let more than one through."
            assert not probed or storm.now - probed >= 29
            probed = storm.now

    assert 0 < opened <= 10
    assert len(storm.retries()) <= max(0.1 * len(storm.calls), 1.0 * storm.now)
    assert len(storm.calls) <= 20 + 11
    # An outage uses up no action: nobody has to look at one.
    assert not Case.objects.filter(state=CaseState.FAILED).exists()
    reasons = Run.objects.filter(case__in=cases).values_list("reason", flat=True)
    assert all(reasons)
    assert line.refunds() == []

    line.gateway.behave_well()
    healed = storm.moved
    under_way = Action.objects.exclude(state=ActionState.VERIFIED).filter(moves_money=True)
    while under_way.exists() and storm.moved - healed < 300:
        storm.let_pass(5)

    assert Counter(case.state for case in Case.objects.filter(pk__in=[case.pk for case in cases])) == {"done": 500}
    assert len(line.refunds()) == 500
    assert len({effect["idempotency_key"] for effect in line.refunds()}) == 500
    line.assert_sound()


def test_answers_that_come_too_late_are_looked_up(line: Line):
    """Every refund is made and answered after 29 seconds, longer than anybody listens."""
    cases = ask(line, 20)
    line.gateway.fault("slow=29", method="POST", path=REFUNDS, times=20)

    line.work()
    assert set(Action.objects.values_list("state", flat=True)) <= {ActionState.UNKNOWN, ActionState.RESERVED}
    for _ in range(20):
        line.let_pass(seconds=60)

    assert len(line.refunds()) == 20
    assert Counter(case.state for case in Case.objects.filter(pk__in=[case.pk for case in cases])) == {"done": 20}
    line.assert_sound()
