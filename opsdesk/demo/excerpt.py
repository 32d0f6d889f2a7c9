"""Cut the demonstration excerpt out of the Online Retail records.

Run by hand when the cut itself changes; the result is kept in the project:

    python opsdesk/demo/excerpt.py LINES REFUNDS MATCHED [--since 2011-06-01]

LINES are all invoice lines, REFUNDS one row a refund, MATCHED the refund lines joined with the purchases
before them. The same sources give the same bytes. `data/README.md` says what is cut and why.
"""

import argparse
import csv
import gzip
import io
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

Row = dict[str, str]

DATA = Path(__file__).parent / "data"
SINCE = "2011-06-01"
ENORMOUS_MINOR = 100_000  # 1,000.00 GBP: about one request in fifty

# The source gives no reason; these codes are its own way to say that a line is not an article.
REASON_OF_CODE = {
    "D": "discount",
    "M": "adjustment",
    "POST": "postage",
    "C2": "postage",
    "S": "samples",
    "AMAZONFEE": "fee",
    "BANK CHARGES": "fee",
    "CRUK": "donation",
}


@dataclass(frozen=True)
class Sources:
    """The three source files, whole, in their own order."""

    lines: list[Row]
    refunds: list[Row]
    matched: dict[str, list[Row]]  # refund number -> its matched lines

    @classmethod
    def read(cls, lines: Path, refunds: Path, matched: Path) -> "Sources":
        """Read all three; `.gz` files are unpacked on the way."""
        by_refund: dict[str, list[Row]] = defaultdict(list)
        for row in _read(matched):
            by_refund[row["cancel_invoice"]].append(row)
        clean = [{**row, "CustomerID": _customer(row["CustomerID"])} for row in _read(lines)]
        asked = [{**row, "customer": _customer(row["customer"])} for row in _read(refunds)]
        return cls(clean, asked, by_refund)


@dataclass
class Cut:
    """The tables of the excerpt, each a list of rows ready to be written."""

    requests: list[Row] = field(default_factory=list)
    request_lines: list[Row] = field(default_factory=list)
    customers: list[Row] = field(default_factory=list)
    orders: list[Row] = field(default_factory=list)
    order_lines: list[Row] = field(default_factory=list)
    past_refunds: list[Row] = field(default_factory=list)
    past_refund_lines: list[Row] = field(default_factory=list)

    def write(self, folder: Path) -> int:
        """Write one `.csv.gz` a table and return the bytes of all of them."""
        return sum(_write(folder / f"{name}.csv.gz", rows) for name, rows in vars(self).items())


def cut(sources: Sources, since: str) -> Cut:
    """Take the refund requests from `since` on, and of their customers what the facts about them need."""
    result = Cut()
    lines_of: dict[str, list[Row]] = defaultdict(list)
    for line in sources.lines:
        lines_of[line["InvoiceNo"]].append(line)

    asked = [refund for refund in sources.refunds if refund["requested_at"] >= since]
    for refund in asked:
        _add_request(result, refund, lines_of[refund["InvoiceNo"]], sources.matched)

    customers = {row["customer"] for row in asked if row["customer"]}
    returned = {(line["CustomerID"], line["StockCode"]) for row in asked for line in lines_of[row["InvoiceNo"]]}
    pointed_at = {row["order"] for row in result.requests if row["order"]}
    _add_orders(result, lines_of, customers, returned, pointed_at)
    _add_customers(result, sources.lines, customers)
    for refund in sources.refunds:
        if refund["requested_at"] < since and refund["customer"] in customers:
            _add_past_refund(result, refund, lines_of[refund["InvoiceNo"]], sources.matched, returned)
    return result


def oddities(result: Cut) -> dict[str, int]:
    """Count the requests that are odd, by the way in which they are (one request may be odd in several)."""
    totals = {row["number"]: int(row["total_minor"]) for row in result.orders}
    lines: dict[str, list[Row]] = defaultdict(list)
    for line in result.request_lines:
        lines[line["reference"]].append(line)
    counts: Counter[str] = Counter()
    for request in result.requests:
        amount, own = int(request["amount_minor"]), lines[request["reference"]]
        matched = [line for line in own if line["bought_before"]]
        found = {
            "no customer": not request["customer"],
            "no order to point to": not request["order"],
            "an article never bought": any(line["bought_before"] == "0" for line in matched),
            "more returned than bought": any(
                0 < int(line["bought_before"]) < int(line["returned_so_far"]) for line in matched
            ),
            "special code, no article": any(line["sku"] in REASON_OF_CODE for line in own),
            "more than its order": bool(request["order"]) and amount > totals[request["order"]],
            "enormous": amount >= ENORMOUS_MINOR,
        }
        counts.update(name for name, odd in found.items() if odd)
        counts["odd in any way"] += any(found.values())
    return dict(counts)


def _add_request(result: Cut, refund: Row, lines: list[Row], matched: dict[str, list[Row]]) -> None:
    number = refund["InvoiceNo"]
    result.requests.append(
        {
            "reference": number,
            "requested_at": refund["requested_at"],
            "customer": refund["customer"],
            "order": _order(matched.get(number, [])),
            "amount_minor": _minor(Decimal(refund["amount"])),
            "reason": _reason(lines),
        }
    )
    answers: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for answer in matched.get(number, []):
        answers[answer["sku"], answer["quantity"]].append(answer)
    for line in lines:
        article = _article(line)
        found = answers[article["sku"], article["quantity"]]
        if number in matched and not found:
            raise ValueError(f"{number}: {article['sku']} is missing among the matched lines.")
        answer = found.pop(0) if found else {}
        result.request_lines.append(
            {
                "reference": number,
                **article,
                "description": line["Description"].strip(),
                "bought_before": answer.get("bought_before", ""),
                "returned_so_far": answer.get("returned_so_far", ""),
            }
        )


def _add_orders(
    result: Cut,
    lines_of: dict[str, list[Row]],
    customers: set[str],
    returned: set[tuple[str, str]],
    pointed_at: set[str],
) -> None:
    for number, lines in lines_of.items():
        first = lines[0]
        if first["CustomerID"] not in customers or not number.isdigit():
            continue
        total = sum((int(line["Quantity"]) * Decimal(line["UnitPrice"]) for line in lines), Decimal())
        result.orders.append(
            {
                "number": number,
                "ordered_at": first["InvoiceDate"],
                "customer": first["CustomerID"],
                "total_minor": _minor(total),
            }
        )
        result.order_lines.extend(
            {"order": number, **_article(line), "description": line["Description"].strip()}
            for line in lines
            if number in pointed_at or (line["CustomerID"], line["StockCode"]) in returned
        )


def _add_customers(result: Cut, lines: list[Row], customers: set[str]) -> None:
    country: Row = {}
    first_purchase: Row = {}
    for line in lines:
        reference = line["CustomerID"]
        country.setdefault(reference, line["Country"])
        if line["InvoiceNo"].isdigit():
            first_purchase.setdefault(reference, line["InvoiceDate"])
    result.customers.extend(
        {
            "reference": reference,
            "country": country[reference],
            "first_purchase_at": first_purchase.get(reference, ""),
        }
        for reference in sorted(customers)
    )


def _add_past_refund(
    result: Cut,
    refund: Row,
    lines: list[Row],
    matched: dict[str, list[Row]],
    returned: set[tuple[str, str]],
) -> None:
    number = refund["InvoiceNo"]
    result.past_refunds.append(
        {
            "reference": number,
            "refunded_at": refund["requested_at"],
            "customer": refund["customer"],
            "order": _order(matched.get(number, [])),
            "amount_minor": _minor(Decimal(refund["amount"])),
        }
    )
    result.past_refund_lines.extend(
        {"reference": number, **_article(line)} for line in lines if (line["CustomerID"], line["StockCode"]) in returned
    )


def _article(line: Row) -> Row:
    return {
        "sku": line["StockCode"],
        "quantity": str(abs(int(line["Quantity"]))),
        "unit_price_minor": _minor(Decimal(line["UnitPrice"])),
    }


def _order(matched: Iterable[Row]) -> str:
    """Name the purchase that the largest share of the refunded amount points to, the later one when equal."""
    share: dict[str, Decimal] = defaultdict(Decimal)
    for line in matched:
        if line["matched_invoice"]:
            share[line["matched_invoice"]] += Decimal(line["amount"])
    return max(share, key=lambda number: (share[number], number)) if share else ""


def _reason(lines: list[Row]) -> str:
    codes = {line["StockCode"] for line in lines}
    named = {REASON_OF_CODE[code] for code in codes if code in REASON_OF_CODE}
    return named.pop() if len(named) == 1 and codes <= REASON_OF_CODE.keys() else "returned"


def _customer(text: str) -> str:
    return text.removesuffix(".0")


def _minor(amount: Decimal) -> str:
    return str((amount * 100).quantize(Decimal(1), ROUND_HALF_UP))


def _read(path: Path) -> Iterator[Row]:
    content = path.read_bytes()
    text = gzip.decompress(content) if path.suffix == ".gz" else content
    yield from csv.DictReader(io.StringIO(text.decode()))


def _write(path: Path, rows: list[Row]) -> int:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return path.write_bytes(gzip.compress(text.getvalue().encode(), mtime=0))  # no time: same bytes again


def main() -> None:
    """Cut, write and say what came out."""
    parser = argparse.ArgumentParser(description="Cut the demonstration excerpt out of the Online Retail records.")
    parser.add_argument("lines", type=Path, help="all invoice lines, CSV")
    parser.add_argument("refunds", type=Path, help="one row a refund, CSV")
    parser.add_argument("matched", type=Path, help="refund lines joined with earlier purchases, CSV")
    parser.add_argument("--since", default=SINCE, help=f"first day of the requests, default {SINCE}")
    parser.add_argument("--out", type=Path, default=DATA, help="folder to write to, default the project's own")
    chosen = parser.parse_args()

    result = cut(Sources.read(chosen.lines, chosen.refunds, chosen.matched), chosen.since)
    size = result.write(chosen.out)

    say = [f"{name:18} {len(rows):6} rows" for name, rows in vars(result).items()]
    requests = len(result.requests)
    say += [f"{name:26} {n:4} of {requests}  {n / requests:6.1%}" for name, n in oddities(result).items()]
    sys.stdout.write("\n".join([*say, f"{size:,} bytes in all", ""]))


if __name__ == "__main__":
    main()
