"""The step kind `gather`: facts from the systems of record, with their source and age."""

from collections.abc import Mapping, Sequence
from typing import Any

from integrations import limits, mirroring, reading
from integrations.evidence import Answer, ask_gateway, collect
from integrations.facts import Evidence, disagreements, facts_of
from integrations.gateways import PaymentSeen, Receipt
from integrations.holds import READ
from integrations.models import Connection
from integrations.queueing import place
from integrations.reading import Refused
from workflows.engine.context import RunContext
from workflows.engine.outcomes import Done, Outcome, Wait
from workflows.errors import StepFailed
from workflows.states import WaitsFor

DEFAULT_GATEWAY = "gateway"
SOURCES = ("request", "payment", "order", "customer")


class Gather:
    """Asks the gateway for the payment and the mirrors for order and customer."""

    name = "gather"
    asks_outside = True
    moves_money = False
    starts_over = False

    def check(self, config: Mapping[str, Any]) -> list[str]:
        """`connection`: slug of the gateway to ask (default: gateway). `sources`: what is asked, for people to read."""
        problems = [f"gather has no setting “{name}”." for name in config if name not in ("connection", "sources")]
        sources = config.get("sources", [])
        if not isinstance(sources, list) or not all(source in SOURCES for source in sources):
            problems.append(f"sources is a list of {', '.join(SOURCES)}.")
        if not isinstance(config.get("connection", ""), str):
            problems.append("connection is the short name of a payment gateway.")
        return problems

    def fetch(self, contexts: Sequence[RunContext]) -> None:
        """Collect the evidence of all cases together."""
        slugs = {context.run.pk: str(context.step.config.get("connection", DEFAULT_GATEWAY)) for context in contexts}
        connections = {
            (connection.organization_id, connection.slug): connection
            for connection in Connection.objects.filter(slug__in=set(slugs.values()))
        }
        found = collect([context.case for context in contexts])
        wishes: dict[int, tuple[Connection, bool]] = {}
        for context in contexts:
            connection = connections.get((context.run.organization_id, slugs[context.run.pk]))
            if not context.case.target:
                continue
            if connection is not None and connection.enabled:
                wishes[context.case.pk] = (connection, context.run.attempt > 0)
            else:
                found[context.case.pk].seen_why = "The gateway's connection is switched off."
        admission = reading.admit(list(wishes.values()))
        refused = {case_id: no for case_id, no in zip(wishes, admission.refused, strict=True) if no is not None}
        asked = {case_id: wish[0] for case_id, wish in wishes.items() if case_id not in refused}
        try:
            answers = ask_gateway({case_id: found[case_id] for case_id in asked}, asked, admission.probes)
        finally:
            limits.give_back(admission.permits)
        for context in contexts:
            case_id = context.case.pk
            answer = answers.get(case_id)
            if case_id in refused:
                context.fetched = (refused[case_id], wishes[case_id][0])
            elif isinstance(answer, StepFailed):
                context.fetched = answer
            else:
                context.fetched = (found[case_id], asked.get(case_id), answer)

    def perform(self, context: RunContext) -> Outcome:
        """Store the facts on the run, and the payment in its mirror."""
        if isinstance(context.fetched[0], Refused):
            return _wait(context, *context.fetched)
        evidence: Evidence
        evidence, connection, answer = context.fetched
        if answer is not None and connection is not None:
            _take(evidence, connection, answer)
        context.run.facts = facts_of(evidence)
        customer = evidence.customer
        if customer is not None and customer.name and context.case.party_name != customer.name:
            context.case.party_name = customer.name
            context.case_changed = True
        gaps = [name for name, fact in context.run.facts.items() if fact["value"] is None]
        differ = disagreements(evidence)
        text = f"{len(context.run.facts) - len(gaps)} facts" + (f", {len(gaps)} not known" if gaps else "")
        context.record(
            "workflows.run.gathered",
            subject=context.run,
            after={"not_known": gaps, "differences": differ},
            reason=f"Gathered {text}. {' '.join(differ)}".strip(),
        )
        return Done(text)


def _wait(context: RunContext, refused: Refused, connection: Connection) -> Wait:
    """Nothing was asked, so no try is used up: what the tries before were for stays as it is."""
    run = context.run
    waits_for = WaitsFor(run.waits_for) if run.attempt and run.waits_for else WaitsFor.CONNECTION
    return Wait(waits_for, refused.words, until=refused.until, on=place(connection, READ))


def _take(evidence: Evidence, connection: Connection, answer: Answer) -> None:
    assert not isinstance(answer, StepFailed)  # noqa: S101 - the engine raised it before
    seen: PaymentSeen | None
    receipts: list[Receipt]
    seen, receipts, why = answer
    evidence.seen, evidence.seen_why = seen, why
    if seen is not None:
        payment = mirroring.take_payment(connection, seen)
        for receipt in receipts:
            mirroring.take_refund(payment, receipt)
