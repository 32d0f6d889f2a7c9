"""The database refuses one statement in ten and asks for another try: nothing is lost, nothing is done twice."""

import random
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import DatabaseError, connection

from accounts.models import User
from approvals.models import Review
from approvals.states import ReviewState
from approvals.tasks import settle_due
from integrations.tasks import deliver_notices, send_due
from tests.plugins.line import Line, pass_time, vote
from workflows.engine import repairing
from workflows.models import Case, Run
from workflows.states import RunState
from workflows.tasks import sweep, tick

SHARE = 0.1
# Deadlock, serialization failure, lock time-out, statement time-out.
REFUSALS = ("40P01", "40001", "55P03", "57014")
SEED = 20_261_121
TROUBLED_ROUNDS = 15
# Votes take effect, windows end: each takes one of them.
ROUNDS_AFTER = 4


class Refusing:
    """An execute wrapper that has the server itself refuse, so that the transaction is really broken."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self.refused: Counter[str] = Counter()

    def __call__(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if self._chance.random() < SHARE:
            code = self._chance.choice(REFUSALS)
            self.refused[code] += 1
            refusal = f"DO $$ BEGIN RAISE EXCEPTION 'injected' USING ERRCODE = '{code}'; END $$"
            return execute(refusal, None, False, context)
        return execute(sql, params, many, context)


def decide_what_is_open() -> None:
    """Votes of a person who is shown an error now and then, and clicks again."""
    ben = User.objects.get(username="ben")
    for review in Review.objects.filter(state=ReviewState.OPEN, tier="full_review"):
        vote(review, ben)


DOORS: tuple[Callable[[], object], ...] = (sweep, tick, send_due, settle_due, deliver_notices, decide_what_is_open)


def test_one_statement_in_ten_is_refused_and_every_case_is_done_once(committed_line: Line) -> None:
    line, refusing = committed_line, Refusing(SEED)
    asked = {f"customer{number}": amount for number, amount in enumerate(["20.00", "35.00", "80.00", "200.00"] * 3)}
    for customer, amount in asked.items():
        said = line.request(line.paid(customer=customer), amount, customer=customer)
        line.hear("refund.requested", said)

    broken: Counter[str] = Counter()
    for _ in range(TROUBLED_ROUNDS):
        with connection.execute_wrapper(refusing):
            for door in DOORS:
                try:
                    door()
                except DatabaseError as error:
                    broken[type(error).__name__] += 1
        pass_time(timedelta(seconds=61))

    assert set(refusing.refused) == set(REFUSALS)
    assert sum(refusing.refused.values()) > 50
    # The database is well again: what was tried too often is taken up by a person, all else by itself.
    for _ in range(ROUNDS_AFTER):
        sweep()
        for run in Run.objects.filter(state=RunState.FAILED):
            assert run.reason.startswith(("The database was too busy", "The worker died or came to no end 3 times"))
            repairing.retry(run.pk, by=line.cast.maya, reason="The database is well again.")
        line.post()
        decide_what_is_open()
        line.let_pass(minutes=31)
    assert Case.objects.filter(state="done").count() == len(asked), list(
        Case.objects.exclude(state="done").values_list("state", "standing")
    )
    gone = Counter(effect["amount"] for effect in line.refunds())
    assert gone == Counter(int(amount.replace(".", "")) for amount in asked.values())
    line.assert_sound()
    print(f"{dict(refusing.refused)} were refused, {dict(broken)} ended an errand")
