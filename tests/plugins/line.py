"""The whole line in one process: the workers' doors are opened by hand, the gateway is a process of its own.

The database's clock cannot be moved, so time passes by moving what is due: `Line.let_pass(hours=1)`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from django.db.models import DateTimeField, F
from django.db.models.functions import Now

from accounts.models import Organization, User
from approvals.models import ReasonCode, Review
from approvals.services import Rationale, decide
from approvals.states import REVIEW_FINAL, Verdict
from approvals.tasks import settle_due
from integrations.models import (
    Action,
    Breaker,
    Call,
    Connection,
    Customer,
    Endpoint,
    MaintenanceWindow,
    Notice,
    Order,
    OrderLine,
    Payment,
    Permit,
    Throttle,
)
from integrations.secrets import encrypt
from integrations.tasks import deliver_notices, send_due
from opsdesk.invariants import check_all
from opsdesk.lib import clock
from tests.factories import Cast, make_desk
from tests.plugins.sandbox import Gateway
from workflows.models import Case, Event, Run
from workflows.tasks import sweep, tick

CUSTOMER = "17548"
SHOP_SECRET = "whsec_c2hvcCBvZiB0aGUgdGVzdHM="
SKU = "22556"
# Far above what any test needs; reaching it means that something turns in circles.
MOST_ROUNDS = 200
_numbers = count(1)


@dataclass
class Line:
    """One desk and its gateway. Amounts are texts in pounds: up to 50 instant, up to 100 fast-track, above people."""

    organization: Organization
    cast: Cast
    gateway: Gateway
    connection: Connection

    def paid(self, *, amount: str = "500.00", currency: str = "GBP", customer: str = CUSTOMER, order: str = "") -> str:
        """An order of 300 plasters ten days ago, paid at the gateway, known to the shop; its number."""
        number = order or f"{536_000 + next(_numbers)}"
        minor = _minor(amount)
        placed_at = clock.now() - timedelta(days=10, minutes=5)
        self.gateway.seed(
            [
                {
                    "id": f"pi_{number}",
                    "amount": minor,
                    "currency": currency,
                    "created": int(placed_at.timestamp()),
                    "customer": customer,
                    "metadata": {"order": number, "customer": customer},
                }
            ]
        )
        Customer.objects.get_or_create(
            organization=self.organization,
            reference=customer,
            defaults={"name": f"Customer {customer}", "since": clock.now() - timedelta(days=400, minutes=5)},
        )
        row = Order.objects.create(
            organization=self.organization,
            number=number,
            customer=customer,
            placed_at=placed_at,
            total_minor=minor,
            currency=currency,
            payment=f"pi_{number}",
        )
        OrderLine.objects.create(order=row, sku=SKU, description="PLASTERS", quantity=300, unit_price_minor=165)
        return number

    def request(self, order: str, amount: str | None, **changes: Any) -> dict[str, Any]:
        """What the shop says when it asks for money back; a change to None takes a field away."""
        reference = f"C{next(_numbers):06d}"
        said = {
            "reference": reference,
            "order": order,
            "payment": f"pi_{order}",
            "customer": CUSTOMER,
            "amount": amount,
            "currency": "GBP",
            "reason": "returned",
            "requested_at": f"{clock.now():%Y-%m-%dT%H:%M:%SZ}",
            "requested_by": "shop form",
            "lines": [{"sku": SKU, "description": "PLASTERS", "quantity": 1, "unit_price": "1.65"}],
            **changes,
        }
        return {name: value for name, value in said.items() if value is not None}

    def hear(self, kind: str, data: dict[str, Any], *, endpoint: str = "shop", key: str = "") -> Event:
        """Store an event as the intake does, byte for byte."""
        body = json.dumps({"type": kind, "data": data}).encode()
        return self.store(body, endpoint=endpoint, key=key)

    def store(self, body: bytes, *, endpoint: str = "shop", key: str = "", reader: str = "standard") -> Event:
        """The row of an acknowledged webhook."""
        return Event.objects.create(
            organization=self.organization,
            source=f"{self.organization.slug}/{endpoint}",
            dedupe_key=key or f"msg_{next(_numbers)}",
            reader=reader,
            body=body,
            body_hash="0" * 64,
        )

    def ask(self, amount: str | None, *, order: str = "", **changes: Any) -> Case:
        """Pay an order (or take one), ask for some of it back, take the request in; gives the new case."""
        said = self.request(order or self.paid(), amount, **changes)
        event = self.hear("refund.requested", said)
        tick_intake()
        event.refresh_from_db()
        assert event.case is not None, event.reason
        return event.case

    def work(self) -> None:
        """Open every door until nothing is due."""
        for _ in range(MOST_ROUNDS):
            if not tick() + send_due() + settle_due():
                return
        raise AssertionError("The line never came to rest.")

    def let_pass(self, **length: float) -> None:
        """Let time pass, as `timedelta` takes it, and work on what is due then."""
        pass_time(timedelta(**length))
        self.work()

    def post(self) -> None:
        """Deliver the mails that are due, then start the windows of those that arrived."""
        deliver_notices()
        self.work()

    def news(self, kind: str, about: dict[str, Any]) -> Event:
        """A webhook of the gateway about a refund or a charge."""
        body = json.dumps(
            {"id": "evt_1", "object": "event", "type": kind, "created": 1_700_000_000, "data": {"object": about}}
        )
        return self.store(body.encode(), endpoint="gateway", reader="stripe")

    def refunds(self, case: Case | None = None) -> list[dict[str, Any]]:
        """What really went back, by the gateway's own log, of one case or of all."""
        effects = [effect for effect in self.gateway.effects() if effect["kind"] == "refund"]
        if case is None:
            return effects
        keys = {str(key) for key in Action.objects.filter(case=case).values_list("key", flat=True)}
        return [effect for effect in effects if effect["idempotency_key"] in keys]

    def assert_sound(self) -> None:
        """Every invariant holds, asked with the gateway's own log."""
        wrong = {finding.name: finding.wrong for finding in check_all(self.gateway.effects()) if finding.wrong}
        assert wrong == {}


def tick_intake() -> None:
    """Take in what arrived, and nothing else."""
    from workflows.engine.intake import take_in

    while take_in():
        pass


def pass_time(length: timedelta) -> None:
    """Make everything that is due later, or happened, so much older."""
    for model, names in {
        Run: ("wake_at", "lease_until", "waiting_since", "started_at"),
        Action: ("due_at", "lease_until", "first_sent_at", "succeeded_at"),
        Review: ("objection_ends_at", "settles_at", "opened_at"),
        Notice: ("due_at", "delivered_at", "created_at", "tried_at"),
        Payment: ("reread_at",),
        Event: ("received_at",),
        Breaker: ("moved_at", "probe_at", "probe_until", "quiet_until"),
        Throttle: ("filled_at", "stretch_at"),
        Permit: ("until",),
        MaintenanceWindow: ("starts_at", "ends_at"),
        Call: ("at",),
    }.items():
        for name in names:
            field: Any = model._meta.get_field(name)
            assert isinstance(field, DateTimeField)
            model._default_manager.filter(**{f"{name}__isnull": False}).update(**{name: F(name) - length})


def vote(review: Review, voter: User, verdict: Verdict = Verdict.APPROVE) -> Review:
    """Vote on what the screen shows now, with the first reason of the list."""
    code = ReasonCode.objects.filter(organization_id=review.organization_id, verdict=verdict, text_needed=False).first()
    assert code is not None
    return decide(review.pk, voter=voter, verdict=verdict, rationale=Rationale(code), seen=review.content_hash)


def open_review_of(case: Case) -> Review:
    """The review that waits for people."""
    return Review.objects.exclude(state__in=REVIEW_FINAL).get(case=case)


def make_line(gateway: Gateway, settings: Any, slug: str = "wholesale-uk") -> Line:
    """A desk whose connection leads to the gateway process."""
    settings.OUTBOUND_EXCEPTIONS = [f"127.0.0.1:{gateway.port}"]
    organization, cast = make_desk(slug, suffix="" if slug == "wholesale-uk" else f"-{slug}")
    connection = Connection.objects.get(organization=organization, slug="gateway")
    connection.base_url, connection.secret = gateway.url, encrypt(gateway.api_key)
    connection.save(update_fields=["base_url", "secret"])
    shop = Connection.objects.create(organization=organization, slug="shop", name="Shop", connector="shop")
    Endpoint.objects.create(
        organization=organization,
        connection=shop,
        slug="shop",
        scheme=Endpoint.Scheme.STANDARD,
        secret=encrypt(SHOP_SECRET),
    )
    return Line(organization, cast, gateway, connection)


@pytest.fixture
def line(gateway: Gateway, settings: Any, db: None) -> Line:
    """The whole line, with a gateway that has never run."""
    return make_line(gateway, settings)


@pytest.fixture
def committed_line(gateway: Gateway, settings: Any, transactional_db: None) -> Line:
    """The same where everything is committed, so that threads see it."""
    return make_line(gateway, settings)


def due_now(rows: Iterable[Any]) -> None:
    """Have runs or actions looked at without waiting."""
    for row in rows:
        name = "wake_at" if isinstance(row, Run) else "due_at"
        type(row)._default_manager.filter(pk=row.pk).update(**{name: Now()})


def swept() -> int:
    """What the sweeper gave back."""
    return sweep()


Step = Callable[[], Any]


def _minor(amount: str) -> int:
    return int(amount.replace(".", ""))
