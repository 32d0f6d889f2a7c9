"""Collecting evidence for many cases at once: one query a table, one gateway call a payment."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import timedelta
from typing import Any

from django.db.models import Q, Sum

from integrations.breakers import Place
from integrations.errors import CallFailed
from integrations.facts import Evidence
from integrations.gateways import PaymentSeen, Receipt, gateway_of
from integrations.holds import READ
from integrations.lines import lines_of
from integrations.logbook import Logbook
from integrations.models import Call, Connection, Customer, Order, OrderLine, Payment, Refund
from opsdesk.lib import clock
from workflows.errors import StepFailed
from workflows.models import Case
from workflows.states import CASE_FINAL, CaseState, FailureKind

_HISTORY = timedelta(days=90)
# After a call that took so long, a second one could outlast the run's lease.
_SLOW = timedelta(seconds=20)

Answer = tuple[PaymentSeen | None, list[Receipt], str] | StepFailed


def collect(cases: Sequence[Case]) -> dict[int, Evidence]:
    """What the mirrors know about each case, by case id; the gateway's part is added by `ask_gateway`."""
    now = clock.now()
    found = {case.pk: Evidence(case, now) for case in cases}
    organization_ids = {case.organization_id for case in cases}
    parties = {case.party for case in cases if case.party}
    customers = {
        (row.organization_id, row.reference): row
        for row in Customer.objects.filter(organization_id__in=organization_ids, reference__in=parties)
    }
    numbers = {str(case.data.get("order")) for case in cases if case.data.get("order")}
    orders = {
        (row.organization_id, row.number): row
        for row in Order.objects.filter(organization_id__in=organization_ids, number__in=numbers)
    }
    for evidence in found.values():
        case = evidence.case
        evidence.customer = customers.get((case.organization_id, case.party)) if case.party else None
        evidence.order = orders.get((case.organization_id, str(case.data.get("order"))))
    _add_mirrors(found)
    _add_history(found, organization_ids, parties)
    _add_repeats(found)
    return found


def _add_mirrors(found: Mapping[int, Evidence]) -> None:
    targets = {evidence.case.target for evidence in found.values() if evidence.case.target}
    payments = {(row.organization_id, row.reference): row for row in Payment.objects.filter(reference__in=targets)}
    for evidence in found.values():
        evidence.mirror = payments.get((evidence.case.organization_id, evidence.case.target))


def _add_history(found: Mapping[int, Evidence], organization_ids: set[int], parties: set[str]) -> None:
    skus = {sku for evidence in found.values() for sku in lines_of(evidence.case.data).units}
    bought = (
        OrderLine.objects.filter(
            order__organization_id__in=organization_ids,
            order__customer__in=parties,
            sku__in=skus,
            quantity__gt=0,
        )
        .values_list("order__organization_id", "order__customer", "sku", "order__placed_at")
        .annotate(units=Sum("quantity"))
    )
    purchases: dict[tuple[int, str], list[tuple[str, Any, int]]] = {}
    for organization_id, customer, sku, placed_at, units in bought:
        purchases.setdefault((organization_id, customer), []).append((sku, placed_at, units))
    refunds: dict[tuple[int, str], list[tuple[Any, int, str]]] = {}
    moments = [evidence.case.requested_at or evidence.at for evidence in found.values()]
    rows = Refund.objects.filter(
        organization_id__in=organization_ids, customer__in=parties, created_at__gte=min(moments) - _HISTORY
    ).exclude(status=Refund.Status.FAILED)
    for refund in rows:
        place = (refund.organization_id, refund.customer)
        refunds.setdefault(place, []).append((refund.created_at, refund.amount_minor, refund.currency))
    for evidence in found.values():
        place = (evidence.case.organization_id, evidence.case.party)
        moment = evidence.case.requested_at or evidence.at
        for sku, placed_at, units in purchases.get(place, []):
            if placed_at <= moment:
                evidence.bought[sku] += units
        evidence.refunds = refunds.get(place, [])


def _add_repeats(found: Mapping[int, Evidence]) -> None:
    """Other open cases about the same payment, and units this customer has asked back in other cases."""
    parties = {evidence.case.party for evidence in found.values() if evidence.case.party}
    targets = {evidence.case.target for evidence in found.values() if evidence.case.target}
    others = list(
        Case.objects.filter(
            Q(party__in=parties) | Q(target__in=targets),
            organization_id__in={evidence.case.organization_id for evidence in found.values()},
        )
        .exclude(state__in=[CaseState.REJECTED, CaseState.CANCELED])
        .only("organization_id", "party", "target", "state", "data", "requested_at", "opened_at")
    )
    for evidence in found.values():
        case = evidence.case
        for other in others:
            if other.pk == case.pk or other.organization_id != case.organization_id:
                continue
            if case.target and other.target == case.target and other.state not in CASE_FINAL:
                evidence.repeats += 1
            if case.party and other.party == case.party and _counts_against(other, case):
                evidence.returned += lines_of(other.data).units


def _counts_against(other: Case, case: Case) -> bool:
    """Whether another case's units have come back before those of this one: paid for, or asked for earlier.

    Requests come in any order, so of two open ones each may be the earlier to the other.
    """
    asked, before = (each.requested_at or each.opened_at for each in (case, other))
    return other.state == CaseState.DONE or other.pk < case.pk or before < asked


def ask_gateway(
    found: Mapping[int, Evidence], connections: Mapping[int, Connection], probes: Mapping[Place, int]
) -> dict[int, Answer]:
    """Ask each case's gateway for its payment, several at once; `connections` is by case id. The calls are logged."""
    jobs = [(case_id, connections[case_id]) for case_id, evidence in found.items()]
    answers: dict[int, Answer] = {}
    written = Logbook(probes)
    try:
        # All at once: none spends its run's lease waiting for others.
        with ThreadPoolExecutor(max_workers=max(len(jobs), 1)) as pool:
            under_way = [pool.submit(_ask, found[case_id], connection) for case_id, connection in jobs]
            for done in as_completed(under_way):
                case_id, answer, calls = done.result()
                answers[case_id] = answer
                written.add(calls)
    finally:
        written.close()
    return answers


def _ask(evidence: Evidence, connection: Connection) -> tuple[int, Answer, list[Call]]:
    """One gateway's answer, in a thread without a database connection, with its log rows."""
    answer: Answer
    calls: list[Call] = []
    try:
        gateway = gateway_of(connection)
        calls = gateway.calls
        answer = _payment(gateway, evidence)
    except CallFailed as failed:
        if failed.kind == FailureKind.DATA:
            answer = (None, [], f"The gateway does not show this payment: {failed.message}")
        else:
            answer = StepFailed(
                failed.kind,
                failed.message,
                retry_after=failed.retry_after,
                connection=connection.slug,
                operation=READ,
            )
    for call in calls:
        call.part_of = READ
    return evidence.case.pk, answer, calls


def _payment(gateway: Any, evidence: Evidence) -> Answer:
    started = clock.now()
    seen = gateway.payment(evidence.case.target)
    mirror = evidence.mirror
    # Money that went back past the desk has to be known before anything is reserved.
    differs = seen.refunded.minor != (mirror.refunded_minor if mirror else 0)
    if differs and clock.now() - started > _SLOW:
        raise CallFailed(FailureKind.TRANSIENT, "The gateway took too long to be asked further.", effect_possible=False)
    return seen, list(gateway.refunds_of(evidence.case.target)) if differs else [], ""
