"""The step kind `gather`: facts from the systems of record, with their source and age."""

from collections.abc import Mapping, Sequence
from typing import Any

from integrations import mirroring
from integrations.evidence import Answer, ask_gateway, collect
from integrations.facts import Evidence, disagreements, facts_of
from integrations.gateways import PaymentSeen, Receipt
from integrations.models import Connection
from workflows.engine.context import RunContext
from workflows.engine.outcomes import Done, Outcome
from workflows.errors import StepFailed


class Gather:
    """Asks the gateway for the payment and the mirrors for order and customer."""

    name = "gather"
    asks_outside = True
    moves_money = False
    starts_over = False

    def check(self, config: Mapping[str, Any]) -> list[str]:
        """`connection`: slug of the gateway to ask (default: gateway)."""
        return [f"gather has no setting “{name}”." for name in config if name not in ("connection", "sources")]

    def fetch(self, contexts: Sequence[RunContext]) -> None:
        """Collect the evidence of all cases together."""
        slugs = {context.run.pk: str(context.step.config.get("connection", "gateway")) for context in contexts}
        connections = {
            (connection.organization_id, connection.slug): connection
            for connection in Connection.objects.filter(slug__in=set(slugs.values()))
        }
        found = collect([context.case for context in contexts])
        asked: dict[int, Connection] = {}
        for context in contexts:
            connection = connections.get((context.run.organization_id, slugs[context.run.pk]))
            if connection is not None and connection.enabled:
                asked[context.case.pk] = connection
            elif context.case.target:
                found[context.case.pk].seen_why = "The gateway's connection is switched off."
        answers = ask_gateway({case_id: found[case_id] for case_id in asked}, asked)
        for context in contexts:
            answer = answers.get(context.case.pk)
            if isinstance(answer, StepFailed):
                context.fetched = answer
            else:
                context.fetched = (found[context.case.pk], asked.get(context.case.pk), answer)

    def perform(self, context: RunContext) -> Outcome:
        """Store the facts on the run, and the payment in its mirror."""
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
