"""Real refund requests, a gateway that misbehaves, people who decide: every case comes to a good end."""

import random
import time
from pathlib import Path

import pytest

from tests.chaos import outcome
from tests.chaos.people import Person
from tests.chaos.whole_desk import CHAOS, Replay, WholeDesk, seed_from_environment

# Wrong amounts that move, and refunds that fail after all: such a case cannot be done, and people have to know.
LIES = {"wrong_amount": 0.01, "wrong_answer": 0.01, "pending=1": 0.02, "fails_later=1": 0.01}


class Reviewers:
    """Ada, Ben and Maya, who decide a few open cases whenever they are asked to."""

    def __init__(self, desk: WholeDesk, *, at_most: int, chance: random.Random) -> None:
        self._desk, self._left, self._chance = desk, at_most, chance
        self._people = {name: Person(desk.url, name) for name in ("ada", "ben", "maya")}
        for person in self._people.values():
            person.sign_in()

    def decide_some(self) -> None:
        """Decide up to three of the cases that wait for one of them."""
        waiting = self._desk.rows(
            "SELECT v.case_id, u.username FROM approvals_review v JOIN accounts_user u ON u.id = v.assignee_id"
            " WHERE v.state = 'open' AND v.tier = 'full_review' ORDER BY v.id LIMIT 20"
        )
        for case_id, username in self._chance.sample(waiting, min(3, self._left, len(waiting))):
            self._left -= 1
            verdict = "approve" if self._chance.random() < 0.7 else "reject"
            status = self._people[username].decide(case_id, verdict)
            # 409: a request without a payment cannot be approved. 404: somebody was first.
            assert status in (200, 404, 409), f"CASE-{case_id} was answered {status}"

    def try_failed_again(self) -> int:
        """Maya has every failed case tried again; returns how many."""
        failed = self._desk.rows("SELECT id FROM workflows_case WHERE state = 'failed' ORDER BY id")
        answers = {case_id: self._people["maya"].retry(case_id) for (case_id,) in failed}
        assert set(answers.values()) <= {200}, f"the retries were answered {answers}"
        return len(answers)


class Ordeal:
    """One replay from the first delivery to the judgement."""

    def __init__(self, desk: WholeDesk, folder: Path, *, count: int, decided: int) -> None:
        self._seed = seed_from_environment()
        print(f"OPSDESK_CHAOS_SEED={self._seed}")
        self._desk, self._folder, self._count = desk, folder, count
        desk.let_windows_end()
        self._reviewers = Reviewers(desk, at_most=decided, chance=random.Random(self._seed))
        self._began = time.monotonic()

    def misbehave(self, chaos: dict[str, float]) -> None:
        """The gateway loses and mangles answers and tells each lie; its webhooks come late, twice, mixed."""
        for lie in LIES:
            self._desk.gateway.fault(lie, method="POST", path="/v1/refunds")
        self._desk.gateway.chaos(chaos, seed=self._seed, paths="/v1/refunds")
        self._desk.gateway.webhooks(delay=2, duplicates=0.2, seed=self._seed)

    def replay(self) -> None:
        """Deliver everything as fast as it goes, while people decide."""
        replay = Replay(self._desk, self._folder / "replay.log", count=self._count, seed=self._seed)
        try:
            while replay.runs:
                self._reviewers.decide_some()
                time.sleep(0.5)
            self._say(replay.finish(seconds=1).strip())
        finally:
            replay.end()

    def come_to_rest(self, *, seconds: float) -> None:
        """Until only people are waited for. What stays lost is looked up when its key has died."""
        self._desk.come_to_rest(seconds=seconds, meanwhile=self._reviewers.decide_some, but_for_lost_answers=True)
        self._say(f"{self._desk.let_a_day_pass()} answers stayed lost for a day")
        self._desk.come_to_rest(seconds=seconds, meanwhile=self._reviewers.decide_some)

    def try_failed_again(self, *, seconds: float) -> None:
        """The gateway is well again, and a manager has every failed case tried once more."""
        self._desk.gateway.behave_well()
        self._say(f"{self._reviewers.try_failed_again()} failed cases are tried again")
        self._desk.come_to_rest(seconds=seconds)

    def judge(self) -> None:
        """Every case at a good end, every effect accounted for, every invariant green."""
        ends = outcome.assert_every_case_came_to_rest(self._desk, requests=self._count)
        effects = outcome.assert_effects_fit(self._desk)
        self._say(f"{dict(ends)}, {effects} refunds at the gateway")
        assert ends["done"] > self._count / 4, "so few done cases prove little"
        assert ends["rejected"], "nobody rejected anything"
        # A wrong amount stays with people, however often it is tried again.
        assert ends["failed with a reason"], "no lie of the gateway came out"
        outcome.assert_invariants_hold(self._desk, self._folder)

    def _say(self, text: str) -> None:
        print(f"[{time.monotonic() - self._began:5.0f} s] {text}")


def go_through(
    desk: WholeDesk, folder: Path, *, count: int, decided: int, seconds: float, chaos: dict[str, float]
) -> None:
    """The whole ordeal, judged before and after failed cases were tried again."""
    ordeal = Ordeal(desk, folder, count=count, decided=decided)
    ordeal.misbehave(chaos)
    ordeal.replay()
    ordeal.come_to_rest(seconds=seconds)
    ordeal.judge()
    ordeal.try_failed_again(seconds=seconds)
    ordeal.judge()


@pytest.mark.long
def test_a_short_replay_through_a_bad_gateway_ends_well(tmp_path: Path) -> None:
    with WholeDesk(tmp_path) as desk:
        go_through(desk, tmp_path, count=60, decided=12, seconds=240, chaos=CHAOS)


@pytest.mark.long
def test_500_requests_through_a_bad_gateway_end_well(tmp_path: Path) -> None:
    with WholeDesk(tmp_path) as desk:
        go_through(desk, tmp_path, count=500, decided=100, seconds=900, chaos=CHAOS | LIES)
