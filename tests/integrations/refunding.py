"""Refunds that are ready to be sent, and what the gateway saw of them."""

from dataclasses import replace
from datetime import timedelta
from functools import partial

from integrations.connectors.stripe.connector import REFUNDS as REFUNDS_OPERATION
from integrations.connectors.stripe.connector import StripeGateway
from integrations.http import Limits
from integrations.models import Action, Connection, Payment
from integrations.operations import add_connector
from integrations.states import ActionState
from tests.factories import make_authorization, make_case, make_decision, make_run
from tests.plugins.line import Line
from workflows.models import Run
from workflows.states import Tier
from workflows.tasks import tick

REFUNDS = "/v1/refunds"
ACT = 3  # position of the step that acts
add_connector("hasty", partial(StripeGateway, limits=Limits(read=0.4, total=0.8)))


class Keyless(StripeGateway):
    """A gateway at which keys mean nothing."""

    operations = (
        replace(REFUNDS_OPERATION, idempotency=replace(REFUNDS_OPERATION.idempotency, key_life=timedelta(0))),
    )


add_connector("keyless", Keyless)


def planned(line: Line, count: int = 1, amount: str = "20.00") -> list[Action]:
    """Instant refunds of so many payments, ready to be sent."""
    for _ in range(count):
        line.ask(amount)
    while tick():
        pass
    actions = list(Action.objects.order_by("pk").select_related("payment"))[-count:]
    assert [action.state for action in actions] == [ActionState.RESERVED] * count
    return actions


def fresh(action: Action) -> Action:
    return Action.objects.select_related("payment", "case").get(pk=action.pk)


def posts(line: Line) -> list[str]:
    """The keys of all refunds that were asked for, in their order."""
    asked = line.gateway.requests()
    return [row["idempotency_key"] for row in asked if row["method"] == "POST" and row["path"] == REFUNDS]


def patiently(line: Line, *, rounds: int = 12, minutes: int = 2) -> None:
    """Look again and again, as the workers would over so many minutes each."""
    for _ in range(rounds):
        line.let_pass(minutes=minutes)


def use(line: Line, connector: str) -> None:
    Connection.objects.filter(pk=line.connection.pk).update(connector=connector)


def ready_to_act(line: Line, payment: Payment, amount: str) -> Run:
    """A run at its last step: decided, authorized, nothing reserved yet."""
    case = make_case(line.organization, amount=amount, target=payment.reference)
    run = make_run(case, position=ACT)
    make_decision(run, tier=Tier.INSTANT)
    make_authorization(run)
    return run
