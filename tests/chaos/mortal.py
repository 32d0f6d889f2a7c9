"""One desk whose work is done by processes that die at crash points, and what must have come of it in the end."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path
from signal import SIGKILL
from typing import Any

from django.db import connection

from approvals.models import Review
from approvals.states import REVIEW_FINAL, ReviewState
from integrations.models import Action, Connection, Notice, Payment
from integrations.states import NoticeState
from opsdesk.embedded.addresses import ROOT
from opsdesk.invariants import check_all
from tests.plugins.line import Line, pass_time
from tests.plugins.sandbox import Gateway, Inbox
from workflows.engine.repairing import MOST_LOST_LEASES
from workflows.models import Case, Event, Run
from workflows.states import RUN_ACTIVE, EventState, RunState, Tier

# Of each kind one: paid at once, leaving by the clock, stopped by an objection, put before people.
AMOUNTS = {"instant": "20.00", "leaves": "80.00", "objected": "90.00", "reviewed": "200.00"}
BESIDE = 1_000  # what somebody refunds in the gateway's own dashboard, in pence
LEASE = timedelta(seconds=61)
MOST_ROUNDS = 12
_numbers = count(1)


class Errands:
    """The processes: one at a time, each told where to die, or nowhere."""

    def __init__(self, gateway: Gateway, inbox: Inbox, errors: Path) -> None:
        environment = {
            **os.environ,
            "OPSDESK_OUTBOUND_EXCEPTIONS": f"127.0.0.1:{gateway.port}",
            "OPSDESK_SMTP_PORT": str(inbox.smtp_port),
            "OPSDESK_LOG_LEVEL": "WARNING",
            "BROKER_URL": "memory://",  # nobody listens: the errands are the workers
        }
        self.errors = errors
        with errors.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.errands", str(connection.settings_dict["NAME"])],
                cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=output, text=True,
            )  # fmt: skip
        assert self._next() == {"ready": True}
        self.acknowledged: set[str] = set()

    def run(self, errand: str, *arguments: Any, crash: str = "") -> bool:
        """Have an errand done; False when its process killed itself where it was told to."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"errand": errand, "arguments": arguments, "crash": crash}) + "\n")
        self._process.stdin.flush()
        while "status" not in (line := self._next()):
            self.acknowledged.add(line["acknowledged"])
        assert line["status"] in ((0, -SIGKILL) if crash else (0,)), f"{errand}: {line}\n{self.complaints()}"
        return bool(line["status"] == 0)

    def complaints(self) -> str:
        """The end of what the processes wrote."""
        return self.errors.read_text()[-6_000:]

    def _next(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        assert line, self.complaints()
        return dict(json.loads(line))

    def end(self) -> None:
        """No more errands."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(30)


@dataclass
class Town:
    """A desk, the outside world, and the processes that work between them."""

    line: Line
    inbox: Inbox
    errands: Errands
    hits: Counter[str]

    @property
    def gateway(self) -> Gateway:
        return self.line.gateway


class Story:
    """Four refund requests from the webhook to the money; at each of the points, in turn, a process dies on the way."""

    def __init__(self, town: Town, points: Sequence[str]) -> None:
        self.town, self.points, self.ahead = town, points, list(points)
        town.inbox.empty()
        self.told = False
        self.wishes: dict[str, list[str]] = {}
        self.keys: dict[str, str] = {}
        for kind, amount in AMOUNTS.items():
            customer = f"customer{next(_numbers)}"
            said = town.line.request(town.line.paid(customer=customer), amount, customer=customer)
            self.keys[kind] = said["reference"]
            message = f"msg_{said['reference']}"
            body = json.dumps({"type": "refund.requested", "data": said})
            self.wishes[kind] = [f"/hooks/{town.line.organization.slug}/shop/", message, body]

    def errand(self, name: str, *arguments: Any) -> None:
        """Have something done, by a process that dies at the next point if it comes by there."""
        wish = f"{self.ahead[0]}:1" if self.ahead else ""
        if not self.town.errands.run(name, *arguments, crash=wish):
            self.town.hits[self.ahead.pop(0)] += 1

    def die_at(self, point: str, errand: str = "work") -> None:
        """Another death beforehand, without which the point would not be passed."""
        assert not self.town.errands.run(errand, crash=f"{point}:1"), f"{errand} never came by {point}"
        pass_time(LEASE)

    def cases(self, *kinds: str) -> list[int]:
        """Keys of the rows of these requests, as far as they are there."""
        keys = [self.keys[kind] for kind in kinds or AMOUNTS]
        return list(Case.objects.filter(key__in=keys).values_list("pk", flat=True))

    def post(self, *kinds: str) -> None:
        """The shop sends what was not acknowledged, again and again."""
        while left := [
            self.wishes[kind] for kind in kinds or AMOUNTS if self.wishes[kind][1] not in self.town.errands.acknowledged
        ]:
            self.errand("post", left)

    def tell(self) -> None:
        """Money goes back in the gateway's dashboard, beside the desk, and the gateway says so."""
        self.told = True
        case = Case.objects.get(key=self.keys["instant"])
        self.town.gateway.refund_in_the_dashboard(case.target, BESIDE)
        charge = {"id": "ch_1", "object": "charge", "payment_intent": case.target, "amount_refunded": 2_000 + BESIDE}
        self.town.line.news("charge.refunded", charge)

    def go_on(self) -> None:
        """Everything goes its way until nothing is under way: people do what is left to them, time passes."""
        for _ in range(MOST_ROUNDS):
            ahead = len(self.ahead)
            self.post()
            self.errand("work")
            self.ask_people()
            if self.is_over():
                return
            # What a dead process held comes back first: half an hour without a mail, and people decide instead.
            pass_time(LEASE if len(self.ahead) < ahead else timedelta(minutes=31))
        raise AssertionError(f"{self.points}: it never came to rest: {self.left()}\n{self.town.errands.complaints()}")

    def ask_people(self) -> None:
        """Everybody does what is theirs to do now."""
        waiting = Review.objects.filter(state=ReviewState.OPEN)
        # Whoever is shown an error clicks again, before anybody else has looked.
        while waiting.filter(case__in=self.cases("objected"), tier=Tier.FAST_TRACK):
            self.errand("object_to", self.cases("objected"))
        if waiting.filter(case__in=self.cases("objected", "reviewed"), tier=Tier.FULL_REVIEW):
            self.errand("vote", self.cases("objected", "reviewed"))
        if Case.objects.filter(state="failed"):
            self.errand("repair", self.cases())

    def is_over(self) -> bool:
        """Whether every request is done and nothing is under way."""
        done = Case.objects.filter(pk__in=self.cases(), state="done").count() == len(AMOUNTS)
        return done and not self.left()

    def left(self) -> dict[str, list[Any]]:
        """What is still under way in the whole desk."""
        left = {
            "cases": Case.objects.exclude(state="done").values_list("pk", "state", "standing"),
            "events": Event.objects.filter(state=EventState.RECEIVED).values_list("pk", "source"),
            "runs": Run.objects.filter(state__in=[*RUN_ACTIVE, RunState.FAILED]).values_list("pk", "state", "reason"),
            "reviews": Review.objects.exclude(state__in=REVIEW_FINAL).values_list("pk", "state"),
            "actions": Action.objects.exclude(due_at=None).values_list("pk", "state", "message"),
            "notices": Notice.objects.exclude(state=NoticeState.DELIVERED).values_list("pk", "state"),
            "payments": Payment.objects.exclude(reread_at=None).values_list("pk", "reread_at"),
        }
        return {name: list(rows[:5]) for name, rows in left.items() if rows}

    def judge(self) -> None:
        """Nothing was lost, nothing was done twice, and no process died elsewhere."""
        assert not self.ahead, f"{self.ahead[0]} was never passed"
        events = Event.objects.filter(dedupe_key__in=[wish[1] for wish in self.wishes.values()])
        assert events.count() == len(AMOUNTS)
        effects = [effect for effect in self.town.gateway.effects() if effect["kind"] == "refund"]
        for kind, key in self.keys.items():
            case = Case.objects.get(key=key)
            gone = [effect["amount"] for effect in effects if effect["payment"] == case.target]
            beside = [BESIDE] if self.told and kind == "instant" else []
            assert sorted(gone) == sorted([case.amount_minor, *beside]), f"{self.points}: {kind} had the effects {gone}"
            assert Payment.objects.get(reference=case.target).refunded_minor == sum(gone)
        self._judge_mails()

    def _judge_mails(self) -> None:
        """Each mail came, and twice only where a postman died between handing it over and noting it."""
        cases = self.cases("leaves", "objected")
        told = Notice.objects.filter(case__in=cases, channel=Notice.Channel.MAIL)
        came = Counter((mail["rcpt_to"][0], mail["subject"]) for mail in self.town.inbox.messages())
        assert told.count() >= len(cases)
        unsure = len({"notice.sent", "notice.before_commit"} & set(self.points))
        for notice in told:
            many = came[notice.recipient.email, notice.subject]
            assert 1 <= many <= 1 + unsure, f"{self.points}: {notice.subject} came {many} times"


def assert_sound(town: Town) -> None:
    """Every invariant holds, and each had something to look at."""
    findings = list(check_all(town.gateway.effects()))
    assert [(finding.name, finding.population, finding.wrong) for finding in findings if not finding.holds] == []


def _lose_a_worker(story: Story) -> None:
    """Something for the sweeper."""
    story.post()
    story.die_at("claim.after_commit")


def _lose_an_answer(story: Story) -> None:
    """Money went back, and nobody here knows."""
    story.post()
    story.die_at("call.after")


def _poison(story: Story) -> None:
    """One request whose worker has died three times."""
    story.post("reviewed")
    for _ in range(MOST_LOST_LEASES):
        story.die_at("claim.after_commit")


def _park(story: Story) -> None:
    """The same, and it waits for a person."""
    _poison(story)
    story.town.errands.run("work")


def _break_a_step(story: Story) -> None:
    """A step that asks the gateway breaks as nobody planned for."""
    story.post()
    _speak(story, "nobody knows it")
    while story.ahead:
        story.errand("work")
        pass_time(LEASE)
    _speak(story, "stripe")


def _speak(story: Story, connector: str) -> None:
    Connection.objects.filter(pk=story.town.line.connection.pk).update(connector=connector)


# What has to go wrong before points of a family are passed at all.
PREPARATIONS: dict[str, Callable[[Story], None]] = {
    "sweep": _lose_a_worker,
    "look_up": _lose_an_answer,
    "poison": _poison,
    "repair": _park,
    "failure": _break_a_step,
}


def tell_story(town: Town, *points: str) -> None:
    """One story with a death at each point of a family, judged."""
    story = Story(town, points)
    if prepare := PREPARATIONS.get(points[0].partition(".")[0]):
        prepare(story)
    story.go_on()
    if story.ahead:
        story.tell()
        story.go_on()
    story.judge()
