"""Search: one field for cases, customers, payments, orders and amounts."""

import re

from django.db.models import Q, QuerySet
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET

from accounts.access import requires
from accounts.models import Membership
from accounts.roles import Permission
from integrations.models import Customer, Payment
from opsdesk.lib.money import SYMBOLS, BadAmount, Money
from opsdesk.lib.requests import OpsRequest
from workflows.models import Case

SHOWN = 50
LONGEST = 100
# Amounts have no index: they are looked for among this many of the latest cases.
LATEST_CASES = 50_000
_NUMBER = re.compile(r"(?:case-|#)?([0-9]{1,18})", re.IGNORECASE)


@require_GET
@requires(Permission.SEE_DESK)
def search(request: OpsRequest) -> HttpResponse:
    """Cases that `q` names; when it names exactly one, that one opens at once."""
    asked = request.GET.get("q", "").replace("\x00", "").strip()[:LONGEST]
    named = list(_named(request.membership, asked)[:SHOWN]) if asked else []
    if len(named) == 1:
        return redirect("approvals:case", named[0].pk)
    found = named + _alike(request.membership, asked, SHOWN - len(named)) if asked else []
    rows = sorted({case.pk: case for case in found}.values(), key=lambda case: -case.pk)
    return render(request, "opsdesk/search.html", {"asked": asked, "found": rows, "most": SHOWN})


def _cases(member: Membership) -> QuerySet[Case]:
    return Case.objects.visible_to(member).defer("data").order_by("-pk")


def _named(member: Membership, asked: str) -> QuerySet[Case]:
    """Cases whose own number, reference, customer, payment or order it is: each is looked up over an index."""
    number = _NUMBER.fullmatch(asked)
    payments = Payment.objects.filter(organization_id=member.organization_id, order=asked)
    paid = payments.values_list("reference", flat=True)[:SHOWN]
    found = Q(key__in={asked, asked.upper()}) | Q(party=asked) | Q(target__in=[asked, *paid])
    if number is not None:
        found |= Q(pk=int(number[1]))
    return _cases(member).filter(found)


def _alike(member: Membership, asked: str, room: int) -> list[Case]:
    """Cases of customers with such a name, or over such an amount."""
    customers = Customer.objects.filter(organization_id=member.organization_id, name__icontains=asked)
    parties = list(customers.values_list("reference", flat=True)[:SHOWN])
    amount = _amount(member, asked)
    if amount is not None:
        newest = Case.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
        latest = _cases(member).filter(pk__gt=newest - LATEST_CASES)
        return list(latest.filter(amount_minor=amount.minor, currency=amount.currency)[:room])
    return list(_cases(member).filter(party__in=parties)[:room]) if parties else []


def _amount(member: Membership, asked: str) -> Money | None:
    """An amount as people write it: “141.48”, “£141.48”, “141.48 GBP”."""
    text, currency = asked.replace(",", ""), member.organization.currency
    for code, symbol in SYMBOLS.items():
        if text.startswith(symbol):
            text, currency = text.removeprefix(symbol), code
    words = text.split()
    if len(words) == 2 and words[1].isalpha():
        text, currency = words[0], words[1].upper()
    try:
        return Money.parse(text.strip(), currency)
    except BadAmount:
        return None
