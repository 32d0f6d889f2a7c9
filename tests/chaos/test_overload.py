"""Twice and five times what the desk can answer, by senders who come again: it keeps its pace and says no at once."""

import asyncio
import random
import time
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest

from opsdesk.demo.shop import event_id, event_of
from tests.chaos import ordinary
from tests.chaos.flood import Ask, Flood, ask, high
from tests.chaos.ordinary import FULL_REVIEW
from tests.chaos.people import Person
from tests.chaos.test_watchdog import hold, kinds
from tests.chaos.whole_desk import WholeDesk

pytestmark = [pytest.mark.long, pytest.mark.alone]
SENDERS, SECONDS = 12, 20.0
# Of ten requests six are for pages, three are webhooks, one is a decision.
MIX = ["pages"] * 6 + ["webhooks"] * 3 + ["decisions"]
REFUSED_WITHIN, WELL_WITHIN = 0.05, 60.0


class Everyday:
    """What is asked of a desk: pages of a person, decisions about a case, ever new webhooks of the shop."""

    def __init__(self, desk: WholeDesk) -> None:
        self._desk, self._numbers, self._chance = desk, count(1_000), random.Random(7)
        person = Person(desk.url, "ada")
        person.sign_in()
        waiting = (
            "SELECT case_id FROM approvals_review WHERE state = 'open' AND tier = 'full_review' ORDER BY id LIMIT 5"
        )
        (cases,) = zip(*desk.rows(waiting), strict=True)
        self._pages = ["/", "/queue/", "/search/?q=ordinary", "/runs/", *(f"/cases/{case}/" for case in cases)]
        self._form = person.filled_in(cases[0], "approve")
        self._cookies = person.cookies

    def draw(self) -> Ask:
        return self.one(self._chance.choice(MIX))

    def one(self, kind: str) -> Ask:
        """A request of this kind."""
        if kind == "pages":
            return ask(kind, "GET", self._chance.choice(self._pages), Cookie=self._cookies)
        if kind == "decisions":
            path, fields = self._form
            form = "application/x-www-form-urlencoded"
            return ask(kind, "POST", path, body=fields.encode(), Cookie=self._cookies, Content_Type=form)
        request = ordinary.request_for(next(self._numbers), FULL_REVIEW, at=datetime.now(UTC))
        body, shop = event_of(request), self._desk.shop
        return ask(kind, "POST", f"/{shop.url.split('/', 3)[3]}", body=body, **shop._headers(event_id(request), body))


def flood(desk: WholeDesk, everyday: Everyday) -> Flood:
    return Flood(desk.ports["OPSDESK_PORT"], everyday.draw)


def costs(desk: WholeDesk, everyday: Everyday) -> dict[str, float]:
    """What one answer of each kind takes, alone."""
    found = {}
    for kind in dict.fromkeys(MIX):
        alone = Flood(desk.ports["OPSDESK_PORT"], lambda kind=kind: everyday.one(kind))  # type: ignore[misc]
        asyncio.run(alone.steadily(1, 3.0))
        found[kind] = high(alone.seconds(served=True), 50)
    return found


def work_done(run: Flood, cost: dict[str, float]) -> float:
    """How much was answered, a second of work for each second that it takes alone: a page is more than a webhook."""
    return sum(cost[kind] * number for kind, number in run.served().items()) / SECONDS


def test_five_times_the_knee_leaves_the_pace_and_the_others_know_at_once(tmp_path: Path) -> None:
    with WholeDesk(tmp_path) as desk:
        desk.run("-m", "tests.chaos.ordinary", "10", log=tmp_path / "ordinary.log")
        for number in range(10):
            desk.shop.deliver(ordinary.request_for(number, FULL_REVIEW, at=datetime.now(UTC)))
        desk.come_to_rest(seconds=120)
        go_on = hold(desk, "worker")  # what arrives here waits: the two processors are for the web
        everyday = Everyday(desk)
        cost = costs(desk, everyday)
        knee = flood(desk, everyday)
        asyncio.run(knee.steadily(SENDERS, SECONDS))
        assert not knee.refused() and not knee.statuses().keys() & {"pages 0", "pages 500", "webhooks 0"}
        pace, most = sum(knee.served().values()) / SECONDS, work_done(knee, cost)
        alone = ", ".join(f"{kind} {took * 1000:.0f} ms" for kind, took in cost.items())
        print(f"one alone takes: {alone}; the knee is at {pace:.0f} a second")

        for times in (1, 2, 5):
            run = flood(desk, everyday)
            asyncio.run(run.at_pace(times * pace, SECONDS))
            kept, no = work_done(run, cost) / most, run.seconds(served=False)
            print(
                f"{times} x: {kept:.0%} of the knee's work, {run.statuses()}, refused in {high(no, 50) * 1000:.0f} ms, "
                f"p95 {high(no, 95) * 1000:.0f} ms, p99 {high(no, 99) * 1000:.0f} ms; pages p95 "
                f"{high(run.seconds(served=True, kind='pages'), 95):.2f} s, decisions "
                f"{high(run.seconds(served=True, kind='decisions'), 95):.2f} s, webhooks "
                f"{high(run.seconds(served=True, kind='webhooks'), 95):.2f} s"
            )
            assert not [answer for answer in run.answers if answer.status in (0, 500, 502)], run.statuses()
            assert all(3 <= int(answer.retry_after) <= 10 for answer in run.refused())
            assert run.share_refused("webhooks") <= run.share_refused("pages")
            assert run.share_refused("decisions") <= run.share_refused("pages")

        assert kept >= 0.8
        assert len(run.refused("pages")) > 100
        assert run.share_refused("decisions") < 0.01
        assert high(no, 95) < REFUSED_WITHIN
        assert kinds(desk) & {"overloaded"}
        assert is_normal_again(desk, everyday) < WELL_WITHIN
        go_on()


def is_normal_again(desk: WholeDesk, everyday: Everyday) -> float:
    """Seconds until fifty requests one after the other were all served within a second."""
    began = time.monotonic()
    while time.monotonic() - began < 2 * WELL_WITHIN:
        calm = flood(desk, everyday)
        for _ in range(50):
            answer = asyncio.run(calm.send(everyday.draw()))
            if not answer.served or answer.seconds > 1:
                break
        else:
            print(f"normal after {time.monotonic() - began:.1f} s")
            return time.monotonic() - began
    return time.monotonic() - began
