"""`kill -9` of one process after the other while requests arrive: nothing is lost, nothing is done twice."""

import contextlib
import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest

from opsdesk.demo.shop import Answer
from tests.chaos import ordinary, outcome
from tests.chaos.ordinary import FAST_TRACK, INSTANT
from tests.chaos.whole_desk import CHAOS, Replay, Stopwatch, WholeDesk, seed_from_environment

VICTIMS = ("worker", "web", "beat", "valkey", "postgres", "gateway")
CHILDREN = ("a child of worker", "a child of web")
RECOVERS_WITHIN = 90.0
# A new process, a refund asked for after the kill, a case that leaves by the clock: by them a desk is well again.
WELL = ("runs again", "refunds", "keeps time")
HELD = "takes up what was held"
# Only calls that move money go wrong here, and none for a whole day as after an error that is repeated for its key:
# how long a recovery takes shall not hang on a run of bad luck.
SHARES = {fault: share for fault, share in CHAOS.items() if fault != "500_before"}
POSTS = {"shares": SHARES, "paths": "/v1/refunds", "method": "POST"}
_LEASES = """
    SELECT 'run', id, epoch FROM workflows_run WHERE state = 'running'
    UNION ALL SELECT 'action', id, epoch FROM integrations_action WHERE lease_until IS NOT NULL
"""


class Assassin:
    """Kills, and asks of the desk that it gets well again by itself."""

    def __init__(self, desk: WholeDesk, folder: Path, *, most_kills: int) -> None:
        self.seed = seed_from_environment()
        print(f"OPSDESK_CHAOS_SEED={self.seed}")
        self._desk = desk
        self._probes: Iterator[int] = count()
        self._senders: list[threading.Thread] = []
        self._answers: list[Answer] = []
        self._watches: list[tuple[str, Stopwatch]] = []
        self._last_probes: list[str] = []
        self._orphans: set[tuple[tuple[str, int], int]] = set()
        desk.run("-m", "tests.chaos.ordinary", str(2 * most_kills), log=folder / "ordinary.log")
        desk.let_windows_end()
        self._misbehave()

    def _misbehave(self) -> None:
        """A killed gateway has forgotten how."""
        self._desk.gateway.control("chaos", {"seed": self.seed, **POSTS})

    def kill(self, victim: str) -> Mapping[str, float]:
        """Kill, and wait until the desk is well; what the dead held may take longer, and is judged in the end."""
        # What the database knows has to be asked before it dies, what the others hold after they stand still.
        before = self._leases()
        dying = self._desk.freeze(victim)
        held = dict((before if victim == "postgres" else self._leases()).items() - self._orphans)
        self._orphans |= held.items()
        watch = Stopwatch()
        for process in dying:
            process.kill()
        self._watches.append((victim, watch))
        watch.watch("runs again", lambda: self._desk.runs_again(victim, instead_of=dying))
        instant, fast_track = self._probe(INSTANT), self._probe(FAST_TRACK)
        watch.watch("refunds", lambda: self._is_done(instant))
        watch.watch("keeps time", lambda: self._is_done(fast_track))
        self._last_probes = [instant, fast_track]
        watch.watch(HELD, lambda: not held.items() & self._leases().items())
        self._assert_came(victim, watch, *WELL)
        if victim == "gateway":
            self._misbehave()
        return watch.seconds

    def _assert_came(self, victim: str, watch: Stopwatch, *parts: str) -> None:
        missing = watch.wait(*parts, at_most=RECOVERS_WITHIN)
        assert not missing, (
            f"{RECOVERS_WITHIN:.0f} s after {victim} was killed the desk does not show: {missing};"
            f" what came: {watch.seconds}; it wrote:\n{self._desk.tail()}\n{self._stories_of_probes()}"
        )

    def _stories_of_probes(self) -> str:
        """What became of the last two."""
        rows = self._desk.rows("SELECT id, key FROM workflows_case WHERE key = ANY(%s)", self._last_probes)
        return "\n".join(f"{key}:\n{outcome.story_of(self._desk, pk)}" for pk, key in rows)

    def _probe(self, articles: int) -> str:
        """Send an ordinary request, again and again until the desk takes it; returns its reference."""
        request = ordinary.request_for(next(self._probes), articles, at=datetime.now(UTC))
        sender = threading.Thread(target=lambda: self._answers.append(self._desk.shop.deliver(request)), daemon=True)
        sender.start()
        self._senders.append(sender)
        return request.reference

    def _is_done(self, reference: str) -> bool:
        return bool(self._desk.rows("SELECT FROM workflows_case WHERE key = %s AND state = 'done'", reference))

    def _leases(self) -> dict[tuple[str, int], int]:
        """What is in somebody's hands, and the how-manieth these are."""
        return {(kind, pk): epoch for kind, pk, epoch in self._desk.rows(_LEASES)}

    def judge(self) -> int:
        """Whatever a dead process held was taken up in time, every probe was taken; returns how many probes."""
        for victim, watch in self._watches:
            self._assert_came(victim, watch, HELD)
        for sender in self._senders:
            sender.join(60)
        assert sum(answer.taken for answer in self._answers) == len(self._senders)
        return len(self._senders)

    def report(self) -> str:
        """The longest times of each victim."""
        by_victim: dict[str, list[dict[str, float]]] = defaultdict(list)
        for victim, watch in self._watches:
            by_victim[victim].append(watch.seconds)
        lines = []
        for victim, times in by_victim.items():
            longest = {part: max(one[part] for one in times) for part in (*WELL, HELD)}
            words = ", ".join(f"{part} {seconds:.1f} s" for part, seconds in longest.items())
            lines.append(f"{victim} (killed {len(times)} times, the longest): {words}")
        return "\n".join(lines)

    def leave(self) -> None:
        """Ask no more of a desk that is taken down."""
        for _, watch in self._watches:
            watch.give_up()


def kill_during_replay(
    desk: WholeDesk, folder: Path, *, requests: int, speed: float, order: Callable[[int], Iterator[str]], kills: int
) -> None:
    """Kill one after the other for as long as requests arrive, at least so many; wait for rest, and judge."""
    assassin = Assassin(desk, folder, most_kills=200)
    victims, killed = order(assassin.seed), 0
    began = time.monotonic()
    with contextlib.ExitStack() as last:
        replay = Replay(desk, folder / "replay.log", count=requests, seed=assassin.seed, speed=speed)
        last.callback(replay.end)
        last.callback(assassin.leave)
        desk.wait_until(lambda: desk.number("SELECT count(*) FROM workflows_case") > 0, "no request arrived")
        while replay.runs and (victim := next(victims, "")):
            print(f"[{time.monotonic() - began:5.0f} s] {victim}: {dict(assassin.kill(victim))}", flush=True)
            killed += 1
        print(f"[{time.monotonic() - began:5.0f} s] {replay.finish(seconds=600)}")
        assert killed >= kills, f"only {killed} were killed while requests arrived"
        probes = assassin.judge()
    desk.come_to_rest(seconds=600, but_for_lost_answers=True)
    print(f"{desk.let_a_day_pass()} answers stayed lost for a day")
    desk.come_to_rest(seconds=300)
    ends = outcome.assert_every_case_came_to_rest(desk, requests=requests + probes)
    print(
        f"[{time.monotonic() - began:5.0f} s] {dict(ends)}, {outcome.assert_effects_fit(desk)} refunds at the gateway"
    )
    print(assassin.report())
    outcome.assert_invariants_hold(desk, folder)


def once(seed: int) -> Iterator[str]:
    """Each service, the worker first: what it holds is taken up when its lease is over."""
    return iter(VICTIMS)


def again_and_again(seed: int) -> Iterator[str]:
    """Services and single children of them, in a drawn order, for ever."""
    chance = random.Random(seed)
    while True:
        yield from chance.sample((*VICTIMS, *CHILDREN), len(VICTIMS) + len(CHILDREN))


@pytest.mark.long
def test_each_process_is_killed_once_while_requests_arrive(tmp_path: Path) -> None:
    with WholeDesk(tmp_path) as desk:
        kill_during_replay(desk, tmp_path, requests=40, speed=0.6, order=once, kills=len(VICTIMS))


@pytest.mark.long
def test_processes_are_killed_all_the_time_while_500_requests_arrive(tmp_path: Path) -> None:
    with WholeDesk(tmp_path) as desk:
        kill_during_replay(desk, tmp_path, requests=500, speed=2, order=again_and_again, kills=16)
