"""Running limits, asked in every decision: what went out today, and this case, within what may in a day.

Who splits a request, or changes the currency, comes to the same sum. Decisions that add to one sum are taken one after
the other, under a lock that ends with the transaction, so that two at once cannot both be the last that fits.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from approvals import daysums
from approvals.daysums import Left, wait_for_turn, weigh
from approvals.models import RunningLimit
from opsdesk.lib.money import Money
from workflows import rules
from workflows.engine.context import RunContext
from workflows.models import Authorization, Case, Decision, Rule
from workflows.registry import Demand, Demands
from workflows.states import CaseState, Tier
from workflows.steps.decide import published_rules

_SOURCE = "limits"
_BY_ITSELF = (Tier.INSTANT, Tier.FAST_TRACK)
# These never left, or will not.
_STAYED = (CaseState.REJECTED, CaseState.CANCELED)
_Scope = RunningLimit.Scope


def demands_of(context: RunContext) -> Demands:
    """What the organization's running limits ask for; nothing where it has none."""
    case = context.case
    key = ("running limits", case.organization_id)
    limits = context.batch.remember(key, lambda: list(RunningLimit.objects.filter(organization=case.organization_id)))
    if not limits or case.amount is None:
        return Demands("", ())
    demands = []
    for scope in (_Scope.CUSTOMER, _Scope.ORGANIZATION):
        own = [limit for limit in limits if limit.scope == scope]
        if own and scope == _Scope.CUSTOMER and not case.party:
            words = "The limit a customer has for a day cannot be asked: no customer is named"
            demands.append(Demand(_SOURCE, "undetermined", words, Tier.FULL_REVIEW))
        elif own:
            party = case.party if scope == _Scope.CUSTOMER else ""
            wait_for_turn(case.organization_id, party)
            demands.append(demand_of(own, case.amount, left_today(context, party)))
    return Demands("", (*demands, *_demands_of_rules(context, limits, case.amount)))


def _demands_of_rules(context: RunContext, limits: Sequence[RunningLimit], amount: Money) -> list[Demand]:
    """What the limits of rules that hold here ask for; one whose rule is gone asks for people."""
    workflow_id = context.run.workflow_id
    named: dict[str, list[RunningLimit]] = {}
    for limit in limits:
        if limit.scope == _Scope.RULE and limit.workflow_id == workflow_id:
            named.setdefault(limit.rule, []).append(limit)
    if not named:
        return []
    rule_set = context.batch.remember(("rules", workflow_id), lambda: published_rules(workflow_id))
    known: dict[str, Rule] = {rule.name: rule for rule in rule_set.rules.all()} if rule_set is not None else {}
    demands = []
    for name, own in sorted(named.items()):
        if name not in known:
            words = f"There is a limit for the rule “{name}”, which is not in force, so a person decides"
            demands.append(Demand(_SOURCE, "undetermined", words, Tier.FULL_REVIEW))
        elif rules.evaluate(known[name], context.run.facts).result == "hit":
            wait_for_turn(context.case.organization_id, f"rule {workflow_id} {name}")
            demands.append(demand_of(own, amount, left_today(context, "", rule=name)))
    return demands


def demand_of(limits: Sequence[RunningLimit], amount: Money, left: Left) -> Demand:
    """What limits of one scope say about one more case of this amount."""
    scope, weighed = limits[0].scope, weigh(limits, amount, left)
    if scope == _Scope.RULE:
        verb, where = "left by itself", f"where “{limits[0].rule}” holds"
    else:
        verb = "went out" if scope == _Scope.CUSTOMER else "left by itself"
        where = _Scope(scope).label
    if weighed.own is None:
        words = f"There is no limit in {amount.currency} for what goes out {where} in a day, so a person decides"
        return Demand(_SOURCE, "undetermined", words, Tier.FULL_REVIEW, ("amount", "currency"))
    if weighed.above_amount:
        words = f"{weighed.so_far} {verb} {where} today; with {amount} it would pass {weighed.own.amount}"
        return Demand(_SOURCE, "hit", words, Tier.FULL_REVIEW, ("amount", "currency"))
    if weighed.above_count:
        words = f"{weighed.cases} cases went out {where} today; {weighed.most} may in a day"
        return Demand(_SOURCE, "hit", words, Tier.FULL_REVIEW, ("amount",))
    return Demand(_SOURCE, "miss", f"{weighed.so_far} {verb} {where} today", None)


def left_today(context: RunContext, party: str, *, rule: str = "") -> Left:
    """What was let out today, to a customer, by a rule or in all, the decisions of this batch too.

    To a customer counts what people approved as well; the other limits are about what nobody looked at.
    """
    case, organization_id = context.case, context.case.organization_id
    began = context.batch.remember(("midnight", organization_id), lambda: daysums.midnight(organization_id))
    rows = Decision.objects.filter(organization_id=organization_id, at__gte=began, tier__in=_BY_ITSELF)
    rows = rows.exclude(case=case.pk).exclude(case__state__in=_STAYED)
    if party:
        rows = rows.filter(case__party=party)
    if rule:
        rows = rows.filter(run__workflow=context.run.workflow_id, trace__contains=[_as_hit(rule)])
    amounts = rows.values_list("case", "case__amount_minor", "case__currency")
    found = {pk: (minor, currency) for pk, minor, currency in amounts if minor is not None}
    if party:
        found |= _approved_since(began, case, party)
    for decision in context.batch.pending(Decision):
        other: Case = decision.case
        same = other.organization_id == organization_id and other.pk != case.pk and party in ("", other.party)
        same = same and (not rule or _names(decision, rule))
        if same and decision.tier in _BY_ITSELF and other.amount_minor is not None:
            found[other.pk] = (other.amount_minor, other.currency)
    return list(found.values())


def _approved_since(began: datetime, case: Case, party: str) -> dict[int, tuple[int, str]]:
    """By case, what people approved to a customer: no more than they approved, where that was less than was asked."""
    grants = Authorization.objects.filter(
        organization_id=case.organization_id, case__party=party, at__gte=began, source=Authorization.Source.PEOPLE
    )
    grants = grants.exclude(case=case.pk).exclude(case__state__in=_STAYED)
    return {pk: (minor, currency) for pk, minor, currency in grants.values_list("case", "amount_minor", "currency")}


def wait_for_customer(case: Case) -> None:
    """Let what people approve for a customer wait for decisions about the same customer, and the other way round."""
    limited = RunningLimit.objects.filter(organization=case.organization_id, scope=_Scope.CUSTOMER)
    if case.party and limited.exists():
        wait_for_turn(case.organization_id, case.party)


def _as_hit(rule: str) -> Mapping[str, Any]:
    """How the trace of a decision says that a rule held."""
    return {"result": "hit", "words": rule}


def _names(decision: Decision, rule: str) -> bool:
    return any(_as_hit(rule).items() <= told.items() for told in decision.trace)
