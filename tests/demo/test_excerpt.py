"""The excerpt: small, attributed, complete enough for the facts, and moved to the recent past."""

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta

import pytest

from opsdesk.demo import excerpt, records
from opsdesk.demo.records import DATA, ZONE, Excerpt

LOAD_DAYS = [date(2026, 1, 1), date(2026, 3, 30), date(2027, 2, 28), date(2028, 2, 29), date(2030, 12, 31)]


def _original() -> Excerpt:
    return Excerpt.read(0)


def test_the_excerpt_is_small_and_names_its_source() -> None:
    readme = (DATA / "README.md").read_text()

    assert sum(file.stat().st_size for file in DATA.iterdir()) < 1_000_000
    for part in ("CC BY 4.0", "UCI Machine Learning Repository", "Chen, D. (2015)", "excerpt.py"):
        assert part in readme


def test_the_requests_come_in_the_order_of_the_source() -> None:
    requests = _original().requests

    assert 700 <= len(requests) <= 900
    assert [r.requested_at for r in requests] == sorted(r.requested_at for r in requests)
    assert len({r.reference for r in requests}) == len(requests)


def test_a_request_asks_for_the_sum_of_its_lines() -> None:
    for request in _original().requests:
        assert request.amount_minor == sum(line.quantity * line.unit_price_minor for line in request.lines)
        assert request.amount_minor > 0


def test_the_odd_requests_of_the_source_are_kept() -> None:
    requests = _original().requests

    skus = {line.sku for request in requests for line in request.lines}
    assert {"D", "M", "POST", "AMAZONFEE", "BANK CHARGES"} <= skus
    assert sum(request.customer is None for request in requests) == 38
    assert sum(request.order is None for request in requests) == 123
    assert max(request.amount_minor for request in requests) == 3_897_000


def test_every_reference_inside_the_excerpt_leads_somewhere() -> None:
    cut = _original()

    customers = {customer.reference for customer in cut.customers}
    orders = {order.number: order for order in cut.orders}
    assert {order.customer for order in cut.orders} <= customers
    assert {request.customer for request in cut.requests} - {None} == customers
    for request in cut.requests:
        if request.order:
            assert orders[request.order].customer == request.customer
            assert orders[request.order].ordered_at <= request.requested_at
    assert {refund.order for refund in cut.past_refunds} - {None} <= orders.keys()


def test_the_excerpt_alone_gives_the_purchases_and_returns_that_the_source_counted() -> None:
    """The cut leaves out lines, but none that a count of a requested article needs."""
    cut = _original()
    bought: dict[tuple[str, str], list[tuple[datetime, int]]] = defaultdict(list)
    returned: dict[tuple[str, str], int] = defaultdict(int)
    for order in cut.orders:
        for line in order.lines:
            bought[order.customer, line.sku].append((order.ordered_at, line.quantity))
    for refund in cut.past_refunds:
        for line in refund.lines:
            returned[refund.customer, line.sku] += line.quantity
    counted = {}
    for row in records._rows("request_lines"):
        if row["bought_before"]:
            before = counted.get((row["reference"], row["sku"]), (0, 0))
            now = int(row["bought_before"]), int(row["returned_so_far"])
            counted[row["reference"], row["sku"]] = max(before, now)

    found = {}
    for request in cut.requests:
        for line in request.lines:
            article = request.customer or "", line.sku
            returned[article] += line.quantity
            before = sum(n for moment, n in bought[article] if moment <= request.requested_at)
            if request.customer:
                found[request.reference, line.sku] = before, returned[article]

    assert len(counted) > 1900
    assert found == counted


def test_past_refunds_that_fit_never_exceed_their_order() -> None:
    cut = _original()
    totals = {order.number: order.total_minor for order in cut.orders}

    refunded = {
        number: sum(refund.amount_minor for refund in refunds) for number, refunds in cut.refunded_before().items()
    }

    assert len(refunded) > 400
    assert all(amount <= totals[number] for number, amount in refunded.items())
    assert any(refund.order and not refund.fits for refund in cut.past_refunds)


@pytest.mark.parametrize("today", LOAD_DAYS)
def test_loading_moves_the_last_request_into_the_week_before(today: date) -> None:
    moved = Excerpt.read(records.weeks_until(today))

    last = moved.requests[-1].requested_at.astimezone(ZONE).date()
    assert today - timedelta(days=7) <= last < today


@pytest.mark.parametrize("today", LOAD_DAYS)
def test_moving_keeps_weekday_and_wall_clock(today: date) -> None:
    moved = Excerpt.read(records.weeks_until(today))

    for before, after in zip(_original().requests, moved.requests, strict=True):
        old, new = before.requested_at, after.requested_at
        assert (old.weekday(), old.time()) == (new.weekday(), new.time())
    assert all(order.ordered_at.astimezone(UTC) for order in moved.orders)


def test_the_cut_makes_the_same_bytes_again(tmp_path) -> None:
    article = {"StockCode": "D", "Description": " Discount ", "UnitPrice": "2.5", "Country": "EIRE"}
    bought = {"InvoiceNo": "536001", "Quantity": "4", "InvoiceDate": "2011-05-01 10:00:00", "CustomerID": "7"}
    returned = bought | {"InvoiceNo": "C537001", "Quantity": "-4", "InvoiceDate": "2011-06-02 10:00:00"}
    asked = {"InvoiceNo": "C537001", "requested_at": "2011-06-02 10:00:00", "customer": "7", "amount": "10.0"}
    match = {"sku": "D", "quantity": "4", "amount": "10.0", "matched_invoice": "536001"}
    counts = {"bought_before": "4", "returned_so_far": "4"}
    earlier = asked | {"InvoiceNo": "C536900", "requested_at": "2011-05-02 10:00:00"}
    lines = [bought | article, returned | article, returned | article | {"InvoiceNo": "C536900"}]
    sources = excerpt.Sources(lines, [earlier, asked], {"C537001": [match | counts]})

    cut = excerpt.cut(sources, "2011-06-01")
    sizes = [cut.write(tmp_path), cut.write(tmp_path)]
    first = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    excerpt.cut(sources, "2011-06-01").write(tmp_path)

    assert sizes[0] == sizes[1] == sum(map(len, first.values()))
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == first
    assert [row["order"] for row in cut.requests] == ["536001"]
    assert [row["reason"] for row in cut.requests] == ["discount"]
    assert [row["reference"] for row in cut.past_refunds] == ["C536900"]
    assert excerpt.oddities(cut)["special code, no article"] == 1
