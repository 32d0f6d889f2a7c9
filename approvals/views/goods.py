"""What was bought and what is asked back, line by line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from integrations.models import OrderLine
from opsdesk.lib.money import BadAmount, Money
from workflows.models import Case

_MOST_ASKED = 200
_MOST_ORDERED = 500


@dataclass(frozen=True, slots=True)
class Line:
    """One article. `ordered` is None where the order does not hold it, `asked` where nothing of it is asked back."""

    description: str
    sku: str
    each: str
    ordered: int | None
    asked: int | None = None
    sum: str = ""


@dataclass(frozen=True, slots=True)
class Goods:
    """The lines that are asked about, the other lines of the order, and where lines and amount differ."""

    order: str
    on_file: bool
    asked: Sequence[Line]
    others: Sequence[Line]
    difference: str

    def __bool__(self) -> bool:
        return bool(self.asked or self.others)


def goods_of(case: Case) -> Goods:
    """Lines of the request beside those of the order it names; one statement."""
    order = case.data.get("order")
    number = str(order)[:60] if isinstance(order, str | int) else ""
    ordered = _ordered(case, number) if number else []
    requested = case.data.get("lines")
    sent = [line for line in requested if isinstance(line, Mapping)] if isinstance(requested, list) else []
    units: dict[str, int] = {}
    for line in ordered:
        units[line.sku] = units.get(line.sku, 0) + line.quantity
    asked = [_asked(line, units, case.currency) for line in sent[:_MOST_ASKED]]
    skus = {line.sku for line in asked}
    others = [
        Line(line.description, line.sku, str(line.unit_price), line.quantity)
        for line in ordered
        if line.sku not in skus
    ]
    total = _total(sent, case.currency)
    differs = total is not None and case.amount is not None and total != case.amount
    words = f"These lines add up to {total}, {case.amount} is asked." if differs else ""
    return Goods(number, bool(ordered), asked, others, words)


def _ordered(case: Case, number: str) -> list[OrderLine]:
    rows = OrderLine.objects.filter(order__organization_id=case.organization_id, order__number=number)
    return list(rows.select_related("order").order_by("pk")[:_MOST_ORDERED])


def _asked(line: Mapping[str, Any], units: Mapping[str, int], currency: str) -> Line:
    sku, quantity = str(line.get("sku", ""))[:40], line.get("quantity")
    counted = quantity if isinstance(quantity, int) and not isinstance(quantity, bool) else None
    each = _money(line.get("unit_price"), currency)
    return Line(
        description=str(line.get("description", ""))[:120],
        sku=sku,
        each=str(each) if each is not None else "not readable",
        ordered=units.get(sku),
        asked=counted,
        sum=str(Money(each.minor * counted, currency)) if each is not None and counted is not None else "",
    )


def _money(text: object, currency: str) -> Money | None:
    try:
        return Money.parse(text, currency)
    except BadAmount:
        return None


def _total(lines: Sequence[Mapping[str, Any]], currency: str) -> Money | None:
    """What the lines add up to; None when there are none or one cannot be read."""
    total = 0
    for line in lines:
        each, quantity = _money(line.get("unit_price"), currency), line.get("quantity")
        if each is None or not isinstance(quantity, int) or isinstance(quantity, bool):
            return None
        total += each.minor * quantity
    return Money(total, currency) if lines else None
