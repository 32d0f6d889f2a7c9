"""Processes of a running desk die: all workers at once, one after the other, the broker, the web before it answers.

One desk serves all tests here; each asks for refunds of its own and judges what came of everything so far. Where
nothing else is meant, leases of the dead are ended by hand: nobody waits for a minute to pass.
"""

import os
import random
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import psutil
import psycopg
import pytest

from opsdesk.demo import cast
from opsdesk.demo.records import RefundRequest
from opsdesk.demo.shop import Shop
from opsdesk.embedded.desk import answers
from tests.chaos import ordinary, outcome
from tests.chaos.brokers import OwnBroker, own_broker
from tests.chaos.ordinary import FAST_TRACK, INSTANT
from tests.chaos.traffic import Traffic
from tests.chaos.whole_desk import WholeDesk, beside, seed_from_environment
from tests.plugins.desk import free_ports

# What is promised, and how long a test waits before it calls a desk stuck.
BACK_WITHIN, STUCK_AFTER = 90.0, 300.0
PURCHASES = 800
# Long enough that a process is seen with a run in its hands, and killed then.
SLOW = {"shares": {"slow=2": 1.0}, "paths": "/v1/payment_intents", "seed": 1}


@dataclass
class Place:
    """A desk with a broker of its own, and everything that was asked of it."""

    desk: WholeDesk
    broker: OwnBroker
    folder: Path
    asked: list[str] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=count)

    def requests(self, many: int, articles: int = INSTANT) -> list[RefundRequest]:
        """New requests, not sent yet."""
        made = [ordinary.request_for(next(self.numbers), articles, at=datetime.now(UTC)) for _ in range(many)]
        self.asked += [request.reference for request in made]
        return made

    def ask(self, many: int, articles: int = INSTANT) -> list[str]:
        """Send new requests; returns their references."""
        made = self.requests(many, articles)
        assert all(self.desk.shop.deliver(request).taken for request in made)
        return [request.reference for request in made]

    def done(self, references: list[str]) -> int:
        """How many of them are done."""
        words = "SELECT count(*) FROM workflows_case WHERE key = ANY(%s) AND state = 'done'"
        return self.desk.number(words, references)

    def wait_until_done(self, references: list[str], *, ending_leases: bool = False) -> float:
        """Wait until all are done; returns how long that took, in seconds."""
        began = time.monotonic()
        while self.done(references) < len(references):
            assert time.monotonic() - began < STUCK_AFTER, (
                f"after {STUCK_AFTER} s only {self.done(references)} of {len(references)} are done:\n{self.desk.tail()}"
            )
            if ending_leases:
                self.end_leases_of_the_dead()
            time.sleep(0.2)
        return time.monotonic() - began

    def in_hand(self) -> int:
        """How many runs are in the hands of a worker."""
        return self.desk.number("SELECT count(*) FROM workflows_run WHERE state = 'running'")

    def holders(self) -> list[int]:
        """The processes that have, or had when they died, a run in their hands."""
        owners = self.desk.rows("SELECT DISTINCT lease_owner FROM workflows_run WHERE state = 'running'")
        return [int(owner.rpartition(":")[2]) for (owner,) in owners]

    def end_leases_of_the_dead(self) -> None:
        """What no living process holds any more is taken up at the next sweep instead of after a minute."""
        dead = [f"%:{pid}" for pid in self.holders() if not psutil.pid_exists(pid)]
        self.desk.change(
            "UPDATE workflows_run SET lease_until = now() WHERE state = 'running' AND lease_owner LIKE ANY(%s)", dead
        )

    def slow_gateway(self) -> None:
        """Have reading a payment take its time."""
        self.desk.gateway.control("chaos", SLOW)

    def judge(self, *, invariants: bool = False) -> None:
        """Everything that was ever asked is done once; with the invariants this takes some seconds more."""
        self.desk.come_to_rest(seconds=STUCK_AFTER)
        ends = outcome.assert_every_case_came_to_rest(self.desk, requests=len(self.asked))
        assert ends == {"done": len(self.asked)}
        assert outcome.assert_effects_fit(self.desk) == len(self.asked)
        if invariants:
            outcome.assert_invariants_hold(self.desk, self.folder)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The desk of these tests."""
    folder = tmp_path_factory.mktemp("processes")
    with own_broker(folder / "broker") as broker, WholeDesk(folder, **broker.urls()) as desk:
        desk.run("-m", "tests.chaos.ordinary", str(PURCHASES), log=folder / "ordinary.log")
        desk.let_windows_end()
        yield Place(desk, broker, folder)


def lose_the_broker(place: Place, *, before: int, after: int) -> float:
    """Kill the broker with rings in it, ask for more while it is away, start it empty; seconds until all is done."""
    workers = place.desk.freeze("worker")
    asked = place.ask(before)
    place.broker.kill()
    asked += place.ask(after)
    for process in workers:
        with suppress(psutil.NoSuchProcess):
            process.resume()
    place.broker.start()
    return place.wait_until_done(asked)


def test_a_broker_that_comes_back_empty_takes_nothing_along(place: Place) -> None:
    print(f"20 due runs were done {lose_the_broker(place, before=10, after=10):.1f} s after it came back")

    place.judge()


@pytest.mark.long
def test_a_broker_that_comes_back_empty_takes_nothing_of_300_along(place: Place) -> None:
    took = lose_the_broker(place, before=150, after=150)

    print(f"300 due runs were done {took:.1f} s after the broker came back empty")
    place.judge()
    assert took < BACK_WITHIN


def kill_all_workers(place: Place, *, instant: int, fast_track: int) -> None:
    """Have them take what lies there, and kill them all in one moment while they ask the gateway."""
    place.slow_gateway()
    workers = place.desk.freeze("worker")
    asked = [*place.ask(instant), *place.ask(fast_track, FAST_TRACK)]
    for process in workers:
        process.resume()
    place.desk.wait_until(lambda: place.in_hand() > 0, "no worker took anything")
    dying = place.desk.freeze("worker")
    held = place.in_hand()
    for process in dying:
        process.kill()
    # What they were sending at that moment is looked up at once.
    place.desk.change("UPDATE integrations_action SET lease_until = now(), due_at = now() WHERE state = 'sending'")
    place.desk.gateway.behave_well()

    took = place.wait_until_done(asked, ending_leases=True)
    print(f"{len(asked)} were done {took:.1f} s after all workers were killed with {held} runs in their hands")
    place.judge(invariants=True)


def test_all_workers_are_killed_at_once_with_runs_in_their_hands(place: Place) -> None:
    kill_all_workers(place, instant=8, fast_track=4)


@pytest.mark.long
def test_all_workers_are_killed_at_once_with_50_under_way(place: Place) -> None:
    kill_all_workers(place, instant=40, fast_track=10)


def kill_children(place: Place, *, times: int) -> None:
    """As the kernel does when memory is short: the child that has the run is gone, its parent is not."""

    def living() -> list[int]:
        return [pid for pid in place.holders() if psutil.pid_exists(pid)]

    asked: list[str] = []
    place.slow_gateway()
    for _ in range(times):
        asked += place.ask(1)
        place.desk.wait_until(lambda: bool(living()), "nobody took the run")
        for pid in living():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    place.desk.gateway.behave_well()

    took = place.wait_until_done(asked, ending_leases=True)
    print(f"{times} children were killed, all their runs were done {took:.1f} s after the last")
    place.judge()


def test_a_child_is_killed_over_each_task(place: Place) -> None:
    kill_children(place, times=3)


@pytest.mark.long
def test_a_child_is_killed_over_each_of_30_tasks(place: Place) -> None:
    kill_children(place, times=30)


def test_a_web_process_that_dies_before_it_answers_is_asked_again(place: Place) -> None:
    (port,) = free_ports(1)
    web = ["-m", "gunicorn", "opsdesk.wsgi:application", "--bind", f"127.0.0.1:{port}", "--threads", "4"]
    shop = Shop(f"http://127.0.0.1:{port}/hooks/{cast.ORGANIZATION}/shop/", cast.SHOP_WEBHOOK_SECRET)
    log = place.folder / "web.log"
    with beside(place.desk, *web, "--no-control-socket", log=log, OPSDESK_CRASH="intake.after_insert:3"):
        place.desk.wait_until(lambda: answers(port), "the second web server did not open")
        replies = [shop.deliver(request) for request in place.requests(7)]

    assert all(reply.taken for reply in replies)
    # Each process stored its third and died over it; that sender heard nothing, and learned it at its next try.
    assert sum(reply.duplicate for reply in replies) == log.read_text().count("crash point intake.after_insert") > 0
    place.judge()


class EveryConnection:
    """Takes all connections that the database has to give, the desk's own as well."""

    def __init__(self, desk: WholeDesk) -> None:
        self._url = desk.database_url
        self._held = [psycopg.connect(self._url, autocommit=True)]

    def take(self) -> None:
        """End everybody else's and take what is free then."""
        own = [held.info.backend_pid for held in self._held]
        self._held[0].execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND pid <> ALL(%s)",
            [own],
        )
        with suppress(psycopg.OperationalError):
            while True:
                self._held.append(psycopg.connect(self._url, autocommit=True))

    def give_back(self) -> None:
        """Let the desk have them."""
        for held in self._held:
            held.close()


def test_without_a_free_connection_the_desk_asks_to_come_again(place: Place) -> None:
    made, every = place.requests(12), EveryConnection(place.desk)
    every.take()
    with Traffic(place.desk, made, per_second=20) as traffic:
        end = time.monotonic() + STUCK_AFTER
        while traffic.statuses[503] < 12:
            assert time.monotonic() < end, traffic.statuses
            every.take()
            time.sleep(0.2)
        every.give_back()
        began = time.monotonic()
        traffic.finish(seconds=STUCK_AFTER)
        print(f"all were taken {time.monotonic() - began:.1f} s after there were connections again")

    assert set(traffic.statuses) <= {202, 200, 503}
    assert traffic.broken == []
    place.wait_until_done([request.reference for request in made])
    place.judge()


def kill_at_random(desk: WholeDesk, chance: random.Random, *, seconds: float) -> int:
    """Kill a service or a child of one every one to three seconds, for so long; returns how many processes."""
    victims, killed, end = (
        ("worker", "web", "beat", "a child of worker", "a child of web"),
        0,
        time.monotonic() + seconds,
    )
    while time.monotonic() < end:
        time.sleep(chance.uniform(1, 3))
        # One that is just being started again is left alone.
        with suppress(KeyError, StopIteration, psutil.Error):
            for process in desk.family(chance.choice(victims)):
                with suppress(psutil.NoSuchProcess):
                    process.kill()
                    killed += 1
    return killed


@pytest.mark.long
@pytest.mark.alone
def test_processes_die_at_random_for_two_minutes(place: Place) -> None:
    seed = seed_from_environment()
    print(f"OPSDESK_CHAOS_SEED={seed}")
    chance = random.Random(seed)
    made = [*place.requests(160), *place.requests(40, FAST_TRACK)]
    chance.shuffle(made)

    with ThreadPoolExecutor(4) as senders:
        sending = [senders.submit(send_slowly, place.desk.shop, made[start::4], 2.0) for start in range(4)]
        killed = kill_at_random(place.desk, chance, seconds=120)
        last = time.monotonic()
        assert all(taken for sender in sending for taken in sender.result(600))
    place.wait_until_done([request.reference for request in made])
    took = time.monotonic() - last
    print(f"{killed} processes were killed in two minutes; 200 of 200 were done {took:.0f} s after the last of them")
    place.judge(invariants=True)
    assert took < BACK_WITHIN


def send_slowly(shop: Shop, requests: list[RefundRequest], pause: float) -> list[bool]:
    """One after the other with a pause in seconds; whether each was taken."""
    taken = []
    for request in requests:
        taken.append(shop.deliver(request).taken)
        time.sleep(pause)
    return taken
