"""Search: one field for cases, customers, payments, orders, amounts and words."""

import re
from collections.abc import Iterable

from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET

from accounts.access import requires
from accounts.models import Membership
from accounts.roles import Permission
from integrations.models import Customer, Payment
from opsdesk.lib.requests import OpsRequest
from opsdesk.lib.typed import amount_as_typed
from workflows.finding import SHORTEST_WORD, with_words
from workflows.models import Case

SHOWN = 50
LONGEST = 100
_NUMBER = re.compile(r"(?:case-|#)?([0-9]{1,18})", re.IGNORECASE)


@require_GET
@requires(Permission.SEE_DESK)
def search(request: OpsRequest) -> HttpResponse:
    """Cases that `q` names; when it names exactly one, that one opens at once."""
    asked = request.GET.get("q", "").replace("\x00", "").strip()[:LONGEST]
    named = _newest(_named(request.membership, asked)) if asked else []
    if len(named) == 1:
        return redirect("approvals:case", named[0])
    found = named
    if asked and len(named) < SHOWN:
        found = sorted({*named, *_newest(_alike(request.membership, asked))}, reverse=True)[:SHOWN]
    context = {
        "asked": asked,
        "found": list(_cases(request.membership).filter(pk__in=found).defer("data")) if found else [],
        "most": SHOWN,
    }
    return render(request, "opsdesk/search.html", context)


def _cases(member: Membership) -> "QuerySet[Case]":
    return Case.objects.visible_to(member).order_by("-pk")


def _newest(ways: "Iterable[QuerySet[Case]]") -> list[int]:
    """The keys of the newest cases that any of the ways finds, newest first; each way goes over its own index."""
    first, *more = (way.values_list("pk", flat=True)[: SHOWN + 1] for way in ways)
    return sorted(set(first.union(*more, all=True)), reverse=True)[:SHOWN]


def _named(member: Membership, asked: str) -> "list[QuerySet[Case]]":
    """Cases whose own number, reference, customer, payment or order it is."""
    cases = _cases(member)
    payments = Payment.objects.filter(organization_id=member.organization_id, order=asked)
    ways = [
        cases.filter(key__in={asked, asked.upper()}),
        cases.filter(party=asked),
        cases.filter(target=asked),
        cases.filter(target__in=payments.values("reference")[:SHOWN]),
    ]
    number = _NUMBER.fullmatch(asked)
    return ways if number is None else [*ways, cases.filter(pk=int(number[1]))]


def _alike(member: Membership, asked: str) -> "list[QuerySet[Case]]":
    """Cases in which these words occur, of customers with such a name, or over such an amount."""
    cases, amount = _cases(member), amount_as_typed(asked, member.organization.currency)
    ways = [with_words(cases, asked)]
    if len(asked) >= SHORTEST_WORD:
        customers = Customer.objects.filter(organization_id=member.organization_id, name__icontains=asked)
        ways.append(cases.filter(party__in=customers.order_by().values("reference")[:SHOWN]))
    if amount is not None:
        ways.append(cases.filter(currency=amount.currency, amount_minor=amount.minor))
    return ways
