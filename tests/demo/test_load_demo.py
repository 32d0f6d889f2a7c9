"""Loading the demonstration: complete, recent, agreeing with the gateway, and harmless when repeated."""

from collections.abc import Iterator
from datetime import timedelta
from io import StringIO

import pytest
from django.conf import LazySettings
from django.core.management import call_command
from django.db.models import F, Sum
from django.http import HttpRequest

from accounts.models import Membership, Organization, User
from accounts.roles import Role
from approvals.models import Policy, ReasonCode, Stage, TierSettings
from auditlog.models import Entry
from integrations.models import Connection, Customer, Endpoint, Order, OrderLine, Payment, Refund
from integrations.secrets import decrypt
from opsdesk.demo import cast, mirrors, records
from opsdesk.lib import clock
from tests.plugins.sandbox import Gateway
from workflows.models import Rule, WorkflowVersion
from workflows.states import Tier, VersionState

pytestmark = pytest.mark.django_db
EVERYTHING = (
    *(Organization, User, Membership, Connection, Endpoint, TierSettings, Stage, ReasonCode, Policy),
    *(Rule, WorkflowVersion, Customer, Order, OrderLine, Payment, Refund, Entry),
)


@pytest.fixture(autouse=True)
def _gateway(settings: LazySettings, gateway: Gateway) -> Iterator[Gateway]:
    settings.GATEWAY_PORT = gateway.port
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # the real one takes its time
    yield gateway


def _load(*options: str) -> str:
    said = StringIO()
    call_command("load_demo", *options, stdout=said)
    return said.getvalue()


def _counts() -> dict[str, int]:
    return {model.__name__: model.objects.count() for model in EVERYTHING}


def test_everybody_can_sign_in_and_has_a_role(client) -> None:
    said = _load()

    for member in cast.CAST:
        assert client.login(request=HttpRequest(), username=member.username, password=cast.PASSWORD)
        assert member.username in said
    roles = dict(Membership.objects.values_list("user__username", "role"))
    assert roles == {member.username: member.role for member in cast.CAST}
    assert set(roles.values()) == {Role.OPERATOR, Role.MANAGER, Role.ADMIN, Role.AUDITOR}


def test_the_refund_workflow_and_its_thresholds_are_in_force() -> None:
    _load()

    unverified, version = WorkflowVersion.objects.filter(state=VersionState.PUBLISHED).order_by("opened_by")
    policy = Policy.objects.get(state=VersionState.PUBLISHED)
    assert (version.workflow.slug, version.opened_by) == ("refund", "refund.requested")
    assert (version.triggers.get().kind, unverified.triggers.get().kind) == ("form", "age")
    assert list(policy.thresholds.values_list("currency", "above_minor", "tier")) == [
        ("GBP", 0, Tier.INSTANT),
        ("GBP", 2_000, Tier.FAST_TRACK),
        ("GBP", 10_000, Tier.FULL_REVIEW),
    ]


def test_the_secrets_are_encrypted_and_are_the_demonstrations() -> None:
    _load()

    gateway, shop = Endpoint.objects.get(slug="gateway"), Endpoint.objects.get(slug="shop")
    key = Connection.objects.get(slug="gateway").secret
    assert decrypt(key) == cast.GATEWAY_KEY
    assert decrypt(gateway.secret) == cast.GATEWAY_WEBHOOK_SECRET
    assert decrypt(shop.secret) == cast.SHOP_WEBHOOK_SECRET
    assert not {cast.GATEWAY_KEY, cast.SHOP_WEBHOOK_SECRET} & {key, gateway.secret, shop.secret}


def test_every_record_of_the_excerpt_is_there_and_lies_in_the_past() -> None:
    _load()

    original = records.Excerpt.read(0)
    assert Customer.objects.count() == len(original.customers)
    assert Order.objects.count() == len(original.orders)
    assert OrderLine.objects.count() == sum(len(order.lines) for order in original.orders)
    assert Refund.objects.count() == sum(map(len, original.refunded_before().values()))
    newest = max(Order.objects.latest("placed_at").placed_at, Refund.objects.latest("created_at").created_at)
    assert clock.now() - timedelta(days=10) < newest < clock.now()


def test_payments_are_the_sums_of_their_orders_and_refunds() -> None:
    _load()

    payments = {payment.order: payment for payment in Payment.objects.annotate(back=Sum("refunds__amount_minor"))}
    for order in Order.objects.exclude(payment=""):
        assert payments[order.number].captured_minor == order.total_minor
    assert all(payment.refunded_minor == (payment.back or 0) for payment in payments.values())
    assert Payment.objects.filter(refunded_minor__gt=0).count() > 400
    assert not Payment.objects.filter(refunded_minor__gt=F("captured_minor")).exists()


def test_gateway_and_copies_agree_on_payments_and_past_refunds(_gateway: Gateway) -> None:
    _load()

    for payment in Payment.objects.filter(refunded_minor__gt=0).order_by("pk")[:20]:
        intent = _gateway.get(f"/v1/payment_intents/{payment.reference}?expand[]=latest_charge").json
        listed = _gateway.get(f"/v1/refunds?payment_intent={payment.reference}").json["data"]
        own = payment.refunds.values_list("reference", "amount_minor", "created_at")
        assert intent["amount_received"] == payment.captured_minor
        assert intent["latest_charge"]["amount_refunded"] == payment.refunded_minor
        assert intent["metadata"]["order"] == payment.order
        assert {(row["id"], row["amount"], row["created"]) for row in listed} == {
            (reference, amount, int(moment.timestamp())) for reference, amount, moment in own
        }


def test_loading_again_changes_nothing() -> None:
    _load()
    before, weeks = _counts(), mirrors.loaded_weeks(Organization.objects.get())

    _load()

    assert _counts() == before
    assert mirrors.loaded_weeks(Organization.objects.get()) == weeks
    assert before["Entry"] > 20


def test_loading_later_keeps_the_moments_and_what_somebody_changed(time_machine) -> None:
    _load()
    newest = Order.objects.latest("placed_at").placed_at
    ReasonCode.objects.filter(code="goodwill").update(label="As a courtesy", enabled=False)

    time_machine.move_to(clock.now() + timedelta(weeks=5))
    _load()

    assert Order.objects.latest("placed_at").placed_at == newest
    assert ReasonCode.objects.get(code="goodwill").label == "As a courtesy"


def test_a_desk_in_use_is_left_alone_when_asked_to() -> None:
    Organization.objects.create(name="Acme", slug="acme")
    before = _counts()

    said = _load("--if-empty")

    assert _counts() == before
    assert "not loaded" in said


def test_without_the_gateway_the_loading_succeeds_and_says_so(settings: LazySettings) -> None:
    settings.GATEWAY_PORT = 9

    said = _load()

    assert "not running" in said
    assert Payment.objects.exists()
